"""`publisher.asubscribe`: the twin of `subscribe` for asyncio."""

from __future__ import annotations

import time
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..events import AnyEvent
from ..sink import Cursor
from .driver import Driver
from .outbox import NodeStatus
from .subscription import StopEvent, TakenEntries, make_driver, make_request
from .transport import Question

if TYPE_CHECKING:
    # Where it is used: asyncio would be a fifth of what importing publisher costs.
    from .loops import LoopSignal

_STOP_WAIT_SECONDS = 0.05


class AsyncSubscription:
    """The twin of `Subscription` for asyncio: an async iterator of events. Made by `asubscribe`.

    It connects when the first event is awaited, or with `async with`. A wait that is cancelled ends at once, and loses
    no event. `close` may be called by any thread.
    """

    def __init__(self, driver: Driver, stop: StopEvent | None = None) -> None:
        self._driver = driver
        self._stop = stop
        self._received = TakenEntries()
        self._news: LoopSignal | None = None
        self._close = weakref.finalize(self, driver.close, wait=False)
        self._close.atexit = False

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """The status of each node as of the events that were returned; pass its places as `since` later."""
        return self._received.nodes

    @property
    def closed(self) -> bool:
        """True after `close`, and when `stop` is set."""
        return self._driver.outbox.closed or (self._stop is not None and self._stop.is_set())

    async def read(self, timeout: float) -> list[AnyEvent | NodeStatus]:
        """Returns the events that were received and the nodes' states that changed, at most 1,000.

        Waits at most `timeout` seconds for the first; returns an empty list then, and after `close`.
        """
        news = await self._start()
        deadline = time.monotonic() + timeout
        while not self.closed:
            await self._take(news)
            if entries := self._received.all():
                return entries
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                break
            await news.wait(self._seconds(seconds))
        return []

    async def history(
        self, node: str, luid: str | None = None, *, last: int = 100, timeout: float = 10.0
    ) -> list[AnyEvent] | None:
        """Returns what `Subscription.history` returns."""
        import asyncio

        await self._start()
        asked = asyncio.wrap_future(self._driver.ask_past(Question(node, last=last, luid=luid)))
        try:
            return await asyncio.wait_for(asked, timeout)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Ends the subscription, and a wait, at once; harmless when repeated. Any thread; it does not wait."""
        self._close.detach()
        self._driver.close(wait=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        news = await self._start()
        while not self.closed:
            if (event := self._received.next_event()) is not None:
                return event
            if not await self._take(news):
                await news.wait(self._seconds(None))
        self.close()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _start(self) -> LoopSignal:
        """Connects, the first time; raises what the first connection raises."""
        if self._news is None:
            from .loops import LoopSignal

            self._news = LoopSignal()
            self._driver.outbox.listen(self._news.set)
            self._driver.begin()
        while not self._driver.has_started and not self.closed:
            await self._news.wait(self._seconds(None))
            self._news.clear()
        self._driver.raise_failure()
        return self._news

    async def _take(self, news: LoopSignal) -> bool:
        """Takes what waits; returns whether something did."""
        news.clear()
        entries = self._driver.outbox.take(0.0)
        self._received.add(entries)
        if entries:
            await news.let_others_run()
        return bool(entries)

    def _seconds(self, seconds: float | None) -> float | None:
        """Returns the longest wait, with which `stop` is looked at."""
        if self._stop is None:
            return seconds
        return _STOP_WAIT_SECONDS if seconds is None else min(seconds, _STOP_WAIT_SECONDS)


def asubscribe(
    url: str,
    *,
    nodes: Collection[str] = (),
    since: Mapping[str, Cursor] | None = None,
    stop: StopEvent | None = None,
    base: str = "interfaces",
    password_file: Path | str | None = None,
    token_file: Path | str | None = None,
    ca_file: Path | str | None = None,
    credentials_file: Path | str | None = None,
) -> AsyncSubscription:
    """Returns what `subscribe` returns, for asyncio; it connects when the first event is awaited.

    async for event in publisher.asubscribe("mqtt://broker.lan"):
        print(event.node, event.text())
    """
    files = (password_file, token_file, ca_file, credentials_file)
    return AsyncSubscription(make_driver(make_request(url, nodes, since, base, *files)), stop)
