"""AsyncSink: a sink of coroutines keeps the promises of every sink, and its loop runs between two batches."""

from __future__ import annotations

import asyncio
import gc
import threading
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import pytest

from publisher import AsyncSink, Event, Retry, SinkOptions
from publisher.errors import PluginError
from publisher.testing import FakeSinkContext, SinkConformance, make_events


class Stream(AsyncSink):
    """Appends the ids to a list, after a turn of the loop for each."""

    arrived: list[str]
    away: list[bool]

    async def aopen(self) -> None:
        self.beats = 0
        self.beating = asyncio.create_task(self.beat())

    async def beat(self) -> None:
        while True:
            self.beats += 1
            await asyncio.sleep(0)

    async def apublish(self, events: Sequence[Event]) -> None:
        for index, event in enumerate(events):
            await asyncio.sleep(0)
            if self.away:
                raise Retry("the stream is away", index=index)
            self.arrived.append(event.id)


class TestAsyncSink(SinkConformance):
    @pytest.fixture(autouse=True)
    def destination(self) -> None:
        self.arrived: list[str] = []
        self.away: list[bool] = []
        self.sink = type("BoundStream", (Stream,), {"arrived": self.arrived, "away": self.away})

    def options(self) -> dict[str, Any]:
        return {}

    def received(self) -> Sequence[str]:
        return self.arrived

    @contextmanager
    def broken(self) -> Iterator[None]:
        self.away.append(True)
        yield
        self.away.clear()


def made(sink: type[AsyncSink]) -> AsyncSink:
    return sink(SinkOptions(), FakeSinkContext())


def test_its_loop_runs_between_two_batches_and_ends_with_close() -> None:
    """A client's heartbeat must not stop while nothing changes."""
    beaten = threading.Event()

    class Beating(AsyncSink):
        async def aopen(self) -> None:
            self.task = asyncio.create_task(self.beat())

        async def beat(self) -> None:
            await asyncio.sleep(0.05)
            beaten.set()
            await asyncio.sleep(3600)

        async def apublish(self, events: Sequence[Event]) -> None: ...

    sink = made(Beating)
    sink.open()
    assert beaten.wait(30)
    sink.close()
    assert sink.task.cancelled()  # type: ignore[attr-defined]  # set by aopen
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("loop of sink")]


@pytest.mark.parametrize("error", [Retry("later", index=1), OSError("x"), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_what_a_coroutine_raises_reaches_the_worker_and_the_loop_lives(error: BaseException) -> None:
    faults = [error]

    class Failing(AsyncSink):
        async def apublish(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - it fails before
            if faults:
                raise faults.pop()

    sink = made(Failing)
    sink.open()
    with pytest.raises(type(error) if isinstance(error, Exception) else PluginError) as raised:
        sink.publish(make_events(2))
    assert raised.value is error or raised.value.__cause__ is error
    sink.publish(make_events(2))
    sink.close()


def test_a_cancelled_coroutine_is_a_failure() -> None:
    class Cancelled(AsyncSink):
        async def apublish(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - it fails before
            raise CancelledError

    sink = made(Cancelled)
    with pytest.raises((CancelledError, futures.CancelledError)):
        sink.publish(make_events(1))
    sink.close()


@pytest.fixture
def exiting_loop() -> Iterator[None]:
    """Collects what asyncio leaves of a loop that a SystemExit ended: tasks that it logs, whoever runs then."""
    yield
    gc.collect()


@pytest.mark.usefixtures("exiting_loop")
def test_work_that_comes_while_the_loop_ends_is_refused_and_none_of_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coroutine that nobody awaits is a warning, and warnings are errors here."""
    ending, submitted = threading.Event(), threading.Event()

    class Exiting(AsyncSink):
        async def apublish(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - it fails before
            self.task = asyncio.create_task(self.leave())
            try:
                await asyncio.sleep(3600)
            finally:
                ending.set()
                submitted.wait(20)

        async def leave(self) -> None:
            raise SystemExit(1)

    sink = made(Exiting)
    with futures.ThreadPoolExecutor() as pool:
        first = pool.submit(sink.publish, make_events(1))
        assert ending.wait(20)
        submit, loop = asyncio.run_coroutine_threadsafe, sink._thread
        assert loop

        def submitting(*arguments: Any) -> Any:
            submitted.set()
            loop.join(20)
            return submit(*arguments)

        # The loop ends just before it gets the work.
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submitting)
        with pytest.raises(PluginError, match="the event loop has ended"):
            sink.publish(make_events(1))
        with pytest.raises((PluginError, futures.CancelledError)):
            first.result(20)
    gc.collect()
    with pytest.raises(PluginError, match="the event loop has ended"):
        sink.close()


@pytest.mark.usefixtures("exiting_loop")
def test_a_background_task_that_exits_hangs_nobody() -> None:
    class Exiting(AsyncSink):
        task: asyncio.Task[None] | None = None

        async def apublish(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - it fails before
            # Once: the second batch may still begin, and would end the loop's clean-up, too.
            self.task = self.task or asyncio.create_task(self.leave())
            await asyncio.sleep(3600)

        async def leave(self) -> None:
            raise SystemExit(1)

    sink = made(Exiting)
    with pytest.raises((PluginError, futures.CancelledError)):
        sink.publish(make_events(1))
    with pytest.raises(PluginError, match="the event loop has ended"):
        sink.publish(make_events(1))
    with pytest.raises(PluginError, match="the event loop has ended"):
        sink.close()


def test_a_loop_that_has_ended_before_its_thread_is_no_other_error_of_close() -> None:
    class Silent(AsyncSink):
        async def apublish(self, events: Sequence[Event]) -> None: ...

    sink = made(Silent)
    sink.publish(make_events(1))
    assert sink._thread
    sink._loop.call_soon_threadsafe(sink._stop.set)
    sink._thread.join()
    sink._thread = threading.Thread(target=threading.Event().wait, args=(0.2,))
    sink._thread.start()
    with pytest.raises(PluginError, match="the event loop has ended"):
        sink.close()
