"""Faults of other projects between a change and its delivery; PITFALLS.md lists every fault with its test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from publisher.errors import SourceError
from publisher.journal.journal import Journal
from publisher.sources import Update, Upsert
from publisher.testing import Recorder, ScriptedSource, make_row
from publisher.watcher import watch
from tests.fixtures.journal import begun, changes, crash
from tests.fixtures.pipeline import Pipeline, confirm
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, ETH1, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_deleted_while_it_was_away_is_a_delete_at_the_start_with_what_was_last_known(house: House) -> None:
    """debezium PR#7811: an interface that is removed while nobody watches stays for ever."""
    house.source = ScriptedSource([ETH0, ETH1])
    with house.running(house.settings("one")):
        house.recorders["one"].wait_for_events(3)
        house.source.send(Upsert(make_row("eth1", index=3, nl_mtu=1400)))
        house.recorders["one"].wait_for_seq(1)
    house.source = ScriptedSource([ETH0])
    with house.running(house.settings("one")):
        event = house.recorders["one"].wait_for_seq(2)[-1]
    assert (event.notification_type, event.cause, event.luid) == ("delete_instance", "startup", ETH1.luid)
    assert event.row is not None
    assert event.row.nl_mtu == 1400
    assert not house.errors


def test_a_sink_that_raises_at_every_event_does_not_end_the_watching(house: House) -> None:
    """watchdog#427, #793."""
    one, two = house.recorders.values()
    with house.running(house.settings("one", "two")) as service:
        two.wait_for_events(2)
        one.wait_for_events(2)
        one.publish_faults += [ZeroDivisionError("bug"), SystemExit(1), MemoryError()]
        for mtu in range(1000, 1050):
            house.source.send(Upsert(make_row("eth0", index=2, nl_mtu=mtu)))
        two.wait_for_seq(50)
        wait_for(lambda: service.status()["sinks"]["one"]["failures"], what="the failure to be counted")
    assert not house.errors


def test_what_a_source_told_before_it_failed_is_delivered(house: House) -> None:
    with house.running(house.settings("one")):
        house.recorders["one"].wait_for_events(2)
        house.source.send(*(Upsert(make_row("eth0", index=2, nl_mtu=mtu)) for mtu in range(1000, 1020)))
        house.source.send(SourceError("the kernel went away"))
        house.recorders["one"].wait(lambda recorder: recorder.closed)
    assert house.recorders["one"].seqs == list(range(1, 21))
    assert [str(error) for error in house.errors] == ["the kernel went away"]


def test_a_watch_whose_source_is_closed_before_it_begins_is_empty() -> None:
    class Closed(ScriptedSource):
        def updates(self) -> Iterator[Sequence[Update]]:
            yield from ()

    assert list(watch(source=Closed())) == []


@pytest.mark.parametrize("marked", [False, True], ids=["by a kill", "after its commit"])
def test_a_torn_last_record_costs_that_record_and_nothing_before_it(tmp_path: Path, marked: bool) -> None:
    """fluent-bit#2412, #5166: a restart begins with a file whose last write was cut off.

    A kill in the middle of a commit leaves a mark of the event before: nobody had seen the record. When the mark has
    it, its number may be out in the world, and a new epoch begins, with the snapshot.
    """
    path = tmp_path / "journal.db"
    journal = Journal.open(path, node="nas")
    confirm(journal, "sink", 0, "there")
    table = begun(journal)
    for _ in range(19):
        journal.append(changes(table, 1))
    mark = Path(f"{path}.mark").read_bytes()
    journal.append(changes(table, 1))
    # The write-ahead log, cut within the last page of the last write (sqlite.org/fileformat2.html, 4).
    log = Path(f"{path}-wal").read_bytes()
    database = path.read_bytes()
    epoch = journal.epoch
    crash(journal)
    path.write_bytes(database)
    Path(f"{path}-wal").write_bytes(log[:-1000])
    if not marked:
        Path(f"{path}.mark").write_bytes(mark)
    recorder = Recorder()
    with closing(Pipeline(path)) as pipeline:
        assert (pipeline.journal.set_aside, pipeline.journal.seq) == (None, 0 if marked else 19)
        assert (pipeline.journal.epoch > epoch) == marked
        pipeline.deliver(recorder)
        recorder.wait_for_events(3 if marked else 19)
        pipeline.change(1)
        recorder.wait_for_seq(pipeline.journal.seq)
    assert recorder.seqs == ([1] if marked else list(range(1, 21)))
    assert len([event for event in recorder.events if event.snapshot]) == (3 if marked else 0)
