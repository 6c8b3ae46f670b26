"""Copies that many viewers share: made once for all that ask at one time, and held for a while. The server's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from .messages import SseMessages

_HELD_SECONDS = 10.0


class _Numbered(Protocol):
    @property
    def seq(self) -> int: ...


R = TypeVar("R", bound=_Numbered)


class Held(Generic[R]):
    """A value that is forgotten after a while."""

    def __init__(self) -> None:
        self.value: R | None = None
        self._release: asyncio.TimerHandle | None = None

    def hold(self, value: R) -> None:
        """Holds this value instead."""
        self.forget()
        self.value = value
        self._release = asyncio.get_running_loop().call_later(_HELD_SECONDS, self.forget)

    def forget(self) -> None:
        """Holds nothing."""
        self.value = None
        if self._release is not None:
            self._release.cancel()
            self._release = None


class SharedCopy(Generic[R]):
    """The rows in one form. `read` reads them as they are; `newest` returns the newest event that was shown."""

    def __init__(self, read: Callable[[], Awaitable[R]], newest: Callable[[], int]) -> None:
        self._read, self._newest = read, newest
        self._held: Held[R] = Held()
        self._reading: asyncio.Future[None] | None = None
        self._offered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def get(self) -> R:
        """Returns a copy that has everything that was shown before this call."""
        newest, reads = self._newest(), 0
        # The first may have begun before this call; what the second has is as new as can be.
        while (held := self._held.value) is None or (held.seq < newest and reads < 2):
            if self._reading is None or self._reading.done():
                self._reading = asyncio.ensure_future(self._fetch())
            await asyncio.wait((self._reading, self._offered), return_when=asyncio.FIRST_COMPLETED)
            if self._reading.done():
                self._reading.result()
                reads += 1
        return held

    def offer(self, copy: R) -> None:
        """Holds a copy that somebody else made, unless it has a newer one."""
        held = self._held.value
        if held is None or held.seq <= copy.seq:
            self._held.hold(copy)
        self._offered.set_result(None)
        self._offered = asyncio.get_running_loop().create_future()

    async def _fetch(self) -> None:
        copy = await self._read()
        held = self._held.value
        if held is None or held.seq < copy.seq:
            self._held.hold(copy)


class SharedPast:
    """The events after one that somebody had last. `read` returns them; `None` when they are not all there."""

    def __init__(self, read: Callable[[int], Awaitable[SseMessages | None]], reaches: Callable[[int], bool]) -> None:
        self._read, self._reaches = read, reaches
        self._held: Held[_Past] = Held()
        self._reading = asyncio.Lock()

    async def get(self, after: int) -> SseMessages | None:
        """Returns the events after this one, perhaps with some before it; `None` when they are not all there."""
        async with self._reading:
            held = self._held.value
            if held is None or not held.after <= after <= held.seq or not self._reaches(held.seq):
                found = await self._read(after)
                if found is None:
                    return None
                held = _Past(after, found.seq, found)
                self._held.hold(held)
        return held.messages


class _Past(NamedTuple):
    """Events, with the one before them."""

    after: int
    seq: int
    messages: SseMessages
