"""A signal from another thread to an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib


class LoopSignal:
    """Wakes what waits in the loop that was running when it was made. `set` may be called by any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ends a wait, or the next one."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        """Forgets what was set; the loop's thread."""
        self._event.clear()

    async def let_others_run(self) -> None:
        """Ends a step of the loop: what never waits would hold up every other task, and its own cancellation."""
        await asyncio.sleep(0)

    async def wait(self, seconds: float | None) -> None:
        """Waits until it is set, at most so long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
