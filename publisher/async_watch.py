"""`publisher.awatch`: the twin of `watch` for asyncio, with a thread that iterates."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from .client.outbox import Entry, NodeStatus, Outbox
from .events import AnyEvent

if TYPE_CHECKING:
    # Where it is used: asyncio would be a fifth of what importing publisher costs.
    from .client.loops import LoopSignal

_LONGEST_WAIT_SECONDS = 1.0


class ClosableEvents(Protocol):
    """An iterator of events that any thread may end."""

    def __iter__(self) -> Iterator[AnyEvent]: ...
    def close(self) -> None:
        """Ends the iteration."""
        ...


class _Over(Exception):  # noqa: N818 - the end, not an error
    """The events ended by themselves."""


class _Pump:
    """Iterates on a thread of its own, as far as the reader has room: the source's buffer is the queue before it."""

    def __init__(self, events: ClosableEvents) -> None:
        self._events = events
        self._room = threading.Event()
        self.outbox = Outbox(self._room.set)

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._run, name="publisher watch", daemon=True).start()

    def close(self) -> None:
        """Ends the thread, and what the reader waits for."""
        self.outbox.end()
        self._room.set()
        self._events.close()

    def _run(self) -> None:
        try:
            for event in self._events:
                while not (self.outbox.has_room or self.outbox.closed):
                    self._room.wait(_LONGEST_WAIT_SECONDS)
                    self._room.clear()
                self.outbox.put(event)
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self.outbox.end(error)
        else:
            self.outbox.end(_Over())


class AsyncWatch:
    """The twin of `Watch` for asyncio: an async iterator of events. Made by `awatch`.

    It begins when the first event is awaited. A wait that is cancelled ends at once, and loses no event; `close` may be
    called by any thread.
    """

    def __init__(self, events: ClosableEvents) -> None:
        self._pump = _Pump(events)
        self._taken: deque[Entry] = deque()
        self._news: LoopSignal | None = None
        self._close = weakref.finalize(self, self._pump.close)
        self._close.atexit = False

    def close(self) -> None:
        """Ends the iteration at once; harmless when repeated. Any thread."""
        self._close.detach()
        self._pump.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        news = self._start()
        while not self._pump.outbox.closed:
            while self._taken:
                entry = self._taken.popleft()
                if not isinstance(entry, NodeStatus):
                    return entry
            news.clear()
            try:
                self._taken.extend(self._pump.outbox.take(0.0))
            except _Over:
                break
            if self._taken:
                await news.let_others_run()
            else:
                await news.wait(None)
        self.close()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> LoopSignal:
        if self._news is None:
            from .client.loops import LoopSignal

            self._news = LoopSignal()
            self._pump.outbox.listen(self._news.set)
            self._pump.start()
        return self._news
