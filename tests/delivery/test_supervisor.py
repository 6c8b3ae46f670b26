"""The workers of all sinks: what marks a loss, and the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.delivery.plan import planned
from publisher.delivery.supervisor import Supervisor
from publisher.delivery.worker import Worker
from publisher.errors import ConfigurationError, JournalError
from publisher.journal.positions import ResendSnapshot
from publisher.sink import SinkOptions
from publisher.testing import Recorder
from tests.fixtures.pipeline import Pipeline
from tests.fixtures.poll import wait_for


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        yield pipeline


def supervised(pipeline: Pipeline, recorder: Recorder, ended: threading.Event | None = None) -> Supervisor:
    """Returns a supervisor whose one sink is hanging in the delivery of its snapshot."""
    supervisor = Supervisor(pipeline.journal, pipeline.log, (ended or threading.Event()).set)
    recorder.hang()
    sink = recorder.sink_type()
    supervisor.change_to(planned({"one": (sink, sink.Options())}), 30.0)
    wait_for(lambda: supervisor.status()["one"].state == "sending")
    return supervisor


def test_a_loss_is_marked_for_a_sink_whose_successor_waits(pipeline: Pipeline) -> None:
    recorder = Recorder()
    supervisor = supervised(pipeline, recorder)
    changed = recorder.sink_type()
    changed.__qualname__ = "Changed"
    supervisor.change_to(planned({"one": (changed, changed.Options())}), 30.0)
    assert not supervisor.settled
    assert supervisor.snapshots_after_loss(7) == {"one": ResendSnapshot("overrun", 7)}
    recorder.flow()
    supervisor.stop(30.0, lambda: None)


def test_the_status_has_a_sink_before_it_delivers(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, seen = Recorder(), list[set[str]]()
    supervisor = Supervisor(pipeline.journal, pipeline.log, lambda: None)
    start = Worker.start

    def start_and_deliver(worker: Worker) -> None:
        start(worker)
        recorder.wait_for_events(1)
        seen.append(set(supervisor.status()))

    monkeypatch.setattr(Worker, "start", start_and_deliver)
    sink = recorder.sink_type()
    supervisor.change_to(planned({"one": (sink, sink.Options())}), 30.0)
    assert seen == [{"one"}]
    supervisor.stop(30.0, lambda: None)


def test_the_core_is_woken_when_a_worker_has_ended(pipeline: Pipeline) -> None:
    recorder, ended = Recorder(), threading.Event()
    supervisor = supervised(pipeline, recorder, ended)
    assert ended.is_set(), "and when the sink was open"
    ended.clear()
    supervisor.change_to({}, 30.0)
    assert not ended.is_set()
    recorder.flow()
    assert ended.wait(30.0)
    supervisor.stop(30.0, lambda: None)


def test_what_is_in_flight_at_the_end_is_delivered_while_the_disk_takes_nothing(pipeline: Pipeline) -> None:
    recorder = Recorder()
    supervisor = supervised(pipeline, recorder)

    def full() -> None:
        recorder.flow()
        raise JournalError("database or disk is full")

    assert supervisor.stop(30.0, full)
    assert (len(recorder.events), recorder.closed) == (3, 1)


def test_the_end_waits_for_a_worker_that_is_retiring(pipeline: Pipeline) -> None:
    recorder = Recorder()
    supervisor = supervised(pipeline, recorder)
    supervisor.change_to({}, 30.0)
    assert supervisor.stop(30.0, recorder.flow)
    assert (len(recorder.events), recorder.closed) == (3, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ValueError("no"), RecursionError()], ids=repr)
def test_a_destination_that_cannot_be_named_is_an_error_of_that_sink(error: BaseException) -> None:
    """It is a property of a plugin's options, and was called on the thread that everybody waits for."""

    class Options(SinkOptions):
        @property
        def destination(self) -> str:
            raise error

    with pytest.raises(ConfigurationError, match="sink 'one': its destination cannot be named"):
        planned({"one": (Recorder().sink_type(), Options())})
