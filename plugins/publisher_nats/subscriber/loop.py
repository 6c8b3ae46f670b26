"""The event loop of a viewer's connection, which runs on the subscription's thread while there is something to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ViewerLoop:
    """Used on one thread, but for `interrupt`. `news` is set when something came."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._running: asyncio.Task[Any] | None = None
        self.news = asyncio.Event()
        self.is_interrupted = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of the work; raises CancelledError when it is interrupted."""
        self._running = task = self._loop.create_task(work)
        try:
            return self._loop.run_until_complete(task)
        finally:
            self._running = None

    async def wait(self, seconds: float) -> None:
        """Waits for news, at most so long."""
        if not self.is_interrupted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), seconds)

    def interrupt(self) -> None:
        """Ends what runs, and every wait from now on. Any thread."""
        self.is_interrupted = True
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.news.set()
        if self._running is not None:
            self._running.cancel()

    def close(self, *works: Coroutine[Any, Any, object]) -> None:
        """Does these works, which nothing interrupts, and ends everything that is left."""
        for work in works:
            self._loop.run_until_complete(work)
        self._loop.run_until_complete(_cancel_the_rest())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _cancel_the_rest() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
