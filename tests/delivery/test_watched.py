"""A sink whose destination sends something: its worker watches the descriptor between two batches."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from publisher.delivery.inbox import Clock
from publisher.events import Event
from publisher.sink import Retry, Sink, SinkContext, SinkOptions
from tests.faults import no_descriptor_left
from tests.fixtures.pipeline import Pipeline
from tests.fixtures.poll import wait_for


class Line(Sink):
    """Keeps what the other end of a pair of sockets sends."""

    def __init__(self, context: SinkContext, fault: BaseException | None = None, descriptor: object = None) -> None:
        super().__init__(SinkOptions(), context)
        self.far, self.near = socket.socketpair()
        self.near.setblocking(False)
        self.heard: list[tuple[bytes, str]] = []
        self.published: list[int] = []
        self.fault = fault
        self.descriptor = descriptor
        self.refuses = False
        self.asked = self.called = 0

    def publish(self, events: Sequence[Event]) -> None:
        if self.refuses:
            raise Retry("not now", after=3600.0)
        self.published += [event.seq for event in events]

    def fileno(self) -> int | None:
        self.asked += 1
        return self.near.fileno() if self.descriptor is None else self.descriptor  # type: ignore[return-value]  # on purpose

    def ready(self) -> None:
        self.called += 1
        if self.fault is not None:
            raise self.fault
        self.heard.append((self.near.recv(100), threading.current_thread().name))

    def close(self) -> None:
        self.near.close()
        self.far.close()


PAUSE = 0.2


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setattr("publisher.delivery.watched.SHORTEST_PAUSE", PAUSE)
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        pipeline.clock = Clock()  # type: ignore[assignment]  # real waits: they are what is tested
        yield pipeline


def deliver(pipeline: Pipeline, fault: BaseException | None = None, descriptor: object = None) -> Line:
    """Starts a worker; returns its sink when it has the snapshot."""
    made: list[Line] = []

    def make(context: SinkContext) -> Sink:
        made.append(Line(context, fault, descriptor))
        return made[-1]

    pipeline.deliver(make)
    wait_for(lambda: made and made[-1].published and made[-1].asked, what="the snapshot, and the first wait")
    return made[-1]


def far_descriptor() -> int:
    """Returns an open descriptor whose number no other thread gets when it is closed: they get the lowest free one."""
    if sys.platform == "win32":
        return socket.socket().detach()
    import fcntl

    with socket.socket() as one:
        return fcntl.fcntl(one, fcntl.F_DUPFD, 900)


def close_descriptor(number: int) -> None:
    socket.socket(fileno=number).close()


def test_what_the_destination_sends_is_taken_on_the_sinks_thread_while_nothing_is_published(pipeline: Pipeline) -> None:
    line = deliver(pipeline)
    for word in (b"one", b"two"):
        line.far.send(word)
        wait_for(lambda: line.heard and line.heard[-1] == (word, "sink sink"), what="the word")  # noqa: B023  # called at once
    pipeline.change(3)
    wait_for(lambda: line.published[-1] == 3, what="the events")
    assert line.called == 2


def test_news_jobs_and_stopping_end_the_wait_for_a_descriptor(pipeline: Pipeline) -> None:
    line = deliver(pipeline)
    for seq in range(1, 50):
        pipeline.change()
        wait_for(lambda: line.published[-1] == seq, what="the event")  # noqa: B023  # called at once
    ran = threading.Event()
    line.context.call(ran.set)
    assert ran.wait(30)
    assert pipeline.workers[0].stop(30.0)


def test_it_is_taken_during_the_pause_after_a_failure(pipeline: Pipeline) -> None:
    line = deliver(pipeline)
    line.refuses = True
    pipeline.change()
    wait_for(lambda: pipeline.workers[0].status().state == "retrying", what="the pause")
    line.far.send(b"here")
    wait_for(lambda: line.heard, what="the word")
    assert pipeline.workers[0].status().state == "retrying"


@pytest.mark.parametrize("fault", [OSError("gone"), SystemExit(1)])
def test_a_sink_that_raises_there_is_counted_and_keeps_no_processor_busy(
    pipeline: Pipeline, fault: BaseException
) -> None:
    line, began = deliver(pipeline, fault), time.monotonic()
    line.far.send(b"x")  # nobody takes it: the descriptor stays readable
    wait_for(lambda: line.called >= 2, what="another call after the pause")
    assert pipeline.said("ready() failed")
    pipeline.change()
    wait_for(lambda: line.published[-1] == 1, what="the event")
    assert line.called <= 2 + (time.monotonic() - began) / PAUSE, "once in each pause"
    assert pipeline.workers[0].status().failures >= 2


@pytest.mark.parametrize("descriptor", [-1, 1 << 40, "seven", True])
def test_a_descriptor_that_is_none_is_an_error_that_says_so(pipeline: Pipeline, descriptor: object) -> None:
    line = deliver(pipeline, descriptor=descriptor)
    wait_for(lambda: pipeline.said("it must return an open descriptor or None"), what="a line")
    pipeline.change()
    wait_for(lambda: line.published[-1] == 1, what="the event")


def test_a_closed_descriptor_is_an_error_that_says_so_and_keeps_no_processor_busy(pipeline: Pipeline) -> None:
    number, began = far_descriptor(), time.monotonic()
    line = deliver(pipeline, descriptor=number)
    close_descriptor(number)
    pipeline.change()  # ends the wait for what was open when it began
    wait_for(lambda: pipeline.said("fileno() failed"), what="a line")
    assert pipeline.said("which is closed")
    asked = line.asked
    pipeline.change()
    wait_for(lambda: line.published[-1] == 2, what="the event")
    pauses = (time.monotonic() - began) / PAUSE
    assert line.asked <= asked + 3 + pauses
    assert line.called <= 3 + pauses


def test_a_descriptor_that_was_closed_just_now_is_no_error_however_often_it_happens(pipeline: Pipeline) -> None:
    """As of a sink with a thread of its own, which closes a connection while the worker begins to wait."""
    line, number = deliver(pipeline), far_descriptor()
    close_descriptor(number)

    def ready() -> None:
        line.called += 1
        line.descriptor = None

    line.ready = ready  # type: ignore[method-assign]  # the object is all that the worker knows
    for times in (1, 2, 3):
        line.descriptor = number
        pipeline.change()
        wait_for(lambda: line.called == times and line.descriptor is None, what="a call")  # noqa: B023  # called at once
        pipeline.change()
        wait_for(lambda: line.published[-1] == 2 * times, what="a wait without it")  # noqa: B023  # as above
    assert not pipeline.said("failed")


def test_a_connection_that_the_other_end_closed_can_be_read(pipeline: Pipeline) -> None:
    line = deliver(pipeline)
    line.far.close()
    wait_for(lambda: line.heard, what="the end of the connection")
    assert line.heard[0][0] == b""
    assert not pipeline.said("failed")


@pytest.mark.parametrize("seconds", [1e10, float("inf")])
def test_a_job_that_is_due_in_years_ends_no_worker(pipeline: Pipeline, seconds: float) -> None:
    line = deliver(pipeline)
    line.context.call(line.close, seconds)
    line.far.send(b"here")
    wait_for(lambda: line.heard, what="the word")
    pipeline.change()
    wait_for(lambda: line.published[-1] == 1, what="the event")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_process_without_a_descriptor_left_watches_when_it_has_some_again(pipeline: Pipeline) -> None:
    made: list[Line] = []
    with ExitStack() as shortage:

        class Short(Line):
            def fileno(self) -> int | None:
                if self.asked == 0:
                    shortage.enter_context(no_descriptor_left())
                return super().fileno()

        def make(context: SinkContext) -> Sink:
            made.append(Short(context))
            return made[-1]

        pipeline.deliver(make)
        wait_for(lambda: pipeline.said("Too many open files"), what="a line")
        asked = made[0].asked
        wait_for(lambda: made[0].asked > asked + 1, what="two more tries")
    made[0].far.send(b"here")
    wait_for(lambda: made[0].heard, what="the word")
    said = [(line.levelname, line.exc_info) for line in pipeline.records("for its connection")]
    assert said == [("WARNING", None), ("INFO", None)], "once, without a traceback, and its end"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    open_now = Path("/proc/self/fd")
    before = len(list(open_now.iterdir()))
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        pipeline.clock = Clock()  # type: ignore[assignment]  # as above
        deliver(pipeline)
    assert len(list(open_now.iterdir())) <= before
