"""A sink for async libraries: an event loop of its own, which also runs between two batches."""

from __future__ import annotations

import inspect
import threading
from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import PluginError, described
from .events import Event
from .sink import Sink

if TYPE_CHECKING:
    # Where it is used: with ssl in it, it would be a fifth of what importing publisher costs.
    import asyncio

T = TypeVar("T")

# A loop that a background task of the sink has ended is noticed within so many seconds.
_LOOK_SECONDS = 1.0
_ENDED = "the event loop has ended: a task of the sink raised SystemExit or KeyboardInterrupt"


class AsyncSink(Sink):
    """A sink whose `aopen`, `apublish` and `aclose` are async; they promise what `open`, `publish` and `close` do.

    The event loop runs on a thread of its own from the first call to `close`, so that what a library does between two
    batches (heartbeats, reconnects) goes on. Tasks that are left are cancelled by `close`. Whatever else is async, as
    in `cursor`, `check` or `forget`, is awaited by `run`:

        class JetStreamSink(AsyncSink):
            async def aopen(self):
                self.nats = await nats.connect(self.options.url)

            async def apublish(self, events):
                for event in events:
                    await self.nats.jetstream().publish("interfaces", event.json_bytes)

            async def aclose(self):
                await self.nats.close()
    """

    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop
    _stop: asyncio.Event

    async def aopen(self) -> None:
        """Prepares the sink for `apublish`."""

    @abstractmethod
    async def apublish(self, events: Sequence[Event]) -> None:
        """Returns when all events are safe at the destination; raises Retry, Rejected or Ended."""

    async def aclose(self) -> None:
        """Releases everything that the sink holds; called also after an `aopen` that raised."""

    def open(self) -> None:
        return self.run(self.aopen())

    def publish(self, events: Sequence[Event]) -> None:
        return self.run(self.apublish(events))

    def close(self) -> None:
        if self._thread is None:
            return None
        try:
            return self.run(self.aclose())
        finally:
            self._end()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of a coroutine that runs on the sink's loop; raises what it raises.

        Called on the sink's thread, not from a coroutine.
        """
        if self._thread is None:
            self._begin()
        assert self._thread is not None, "it was begun"
        contained = _contained(work)
        try:
            return self._result_of(contained, self._thread)
        finally:
            if inspect.getcoroutinestate(contained) == inspect.CORO_CREATED:
                # The loop ended before it began.
                contained.close()
                work.close()

    def _result_of(self, contained: Coroutine[Any, Any, T], thread: threading.Thread) -> T:
        import asyncio

        try:
            future = asyncio.run_coroutine_threadsafe(contained, self._loop)
        except RuntimeError:  # it is closed
            raise PluginError(_ENDED) from None
        while not wait([future], _LOOK_SECONDS).done:
            if not thread.is_alive():
                raise PluginError(_ENDED)
        return future.result()

    def _begin(self) -> None:
        started: Future[None] = Future()
        name = f"loop of sink {self.context.name}"
        self._thread = threading.Thread(target=self._serve, args=(started,), name=name, daemon=True)
        self._thread.start()
        started.result()

    def _serve(self, started: Future[None]) -> None:
        import asyncio

        try:
            asyncio.run(self._until_stopped(started))
        except BaseException as error:  # noqa: BLE001 - a background task's SystemExit ends the loop, and nothing else
            self.context.log.error("the event loop ended: %s", described(error))

    async def _until_stopped(self, started: Future[None]) -> None:
        import asyncio

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        started.set_result(None)
        await self._stop.wait()

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()


async def _contained(work: Coroutine[Any, Any, T]) -> T:
    """Awaits the work: SystemExit and KeyboardInterrupt would end the loop, and leave the caller waiting for ever."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        raise PluginError(f"it raised {described(error)}") from error
