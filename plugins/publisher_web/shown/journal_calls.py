"""Calls that only the sink's thread may make, for the server's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from publisher import PublisherError, SinkContext

from .interfaces import Unavailable

T = TypeVar("T")
_READ_SECONDS = 20.0
_SLOW = "the journal takes too long to read; try again"


class JournalCalls:
    """Reads the journal for the server's loop: on the sink's thread between two batches, or on a thread of its own."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._reader = ThreadPoolExecutor(1, f"reader of sink {context.name}")

    def close(self) -> None:
        """Ends the thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    async def on_sink_thread(self, call: Callable[[], T]) -> T:
        """Returns what a call returns that only the sink's thread may make; raises Unavailable."""
        answer: Future[T] = Future()
        self._asked.put((call, answer))
        # An equal job that waits already does both.
        self._context.call(self._answer)
        return await _within_time(asyncio.wrap_future(answer))

    async def on_reader(self, call: Callable[[], T]) -> T:
        """Returns what a call returns that any thread may make, and that may take a while; raises Unavailable."""
        return await _within_time(asyncio.get_running_loop().run_in_executor(self._reader, call))

    def _answer(self) -> None:
        """Makes the calls that wait. A job, on the sink's thread."""
        while True:
            try:
                call, answer = self._asked.get_nowait()
            except Empty:
                return
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(call())
                except Exception as error:  # noqa: BLE001  # who asked raises it
                    answer.set_exception(error)


async def _within_time(answer: asyncio.Future[T]) -> T:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await answer
    except PublisherError as error:
        raise Unavailable(str(error)) from error
    except TimeoutError:
        raise Unavailable(_SLOW) from None
