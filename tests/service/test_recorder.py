"""The way of updates into the journal, and what happens when the disk does not take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from publisher.errors import JournalError
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.service.recorder import Recorder
from publisher.sources import Resync, Upsert
from publisher.table import Stamp, Table
from publisher.testing import ScriptedSource, make_row
from publisher.watcher import InterfaceFilter, Watcher


class FullDisk(Journal):
    """A real journal whose disk can be full at a moment that the test chooses: a real one is in tests/integration."""

    full = False

    def append(self, events: Sequence[Event]) -> None:
        if self.full:
            raise JournalError("database or disk is full")
        super().append(events)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FullDisk]:
    opened = FullDisk.open(tmp_path / "journal.sqlite3", node="testnode")
    assert isinstance(opened, FullDisk)
    with closing(opened):
        yield opened


def recorder_of(journal: Journal, limit: int = 1000) -> Recorder:
    """A recorder at work, with eth0 at an mtu of 1500 as the baseline."""
    table = Table(journal.rows(), Stamp("testnode", journal.epoch, journal.seq))
    watcher = Watcher(ScriptedSource(), table, InterfaceFilter())
    recorder = Recorder(journal, watcher, structlog.get_logger(), limit)
    recorder.begin(Resync((make_row("eth0", nl_mtu=1500),), "startup"))
    return recorder


def take_mtus(recorder: Recorder, *mtus: int) -> None:
    for mtu in mtus:
        recorder.take([Upsert(make_row("eth0", nl_mtu=mtu))])


def written(journal: Journal) -> list[tuple[int, str, int | None]]:
    return [(event.seq, event.cause, event.row.nl_mtu if event.row else None) for event in journal.read(0, 1000)]


def test_what_was_taken_is_written_in_order(journal: FullDisk) -> None:
    recorder = recorder_of(journal)
    take_mtus(recorder, 1400, 1300)
    assert recorder.waiting == 2
    assert recorder.write() == (True, False)
    assert written(journal) == [(1, "notification", 1400), (2, "notification", 1300)]
    assert recorder.waiting == 0


def test_nothing_is_new_when_nothing_was_taken(journal: FullDisk) -> None:
    assert recorder_of(journal).write() == (False, False)


def test_what_a_full_disk_does_not_take_is_kept_and_written_later_without_a_gap(journal: FullDisk) -> None:
    recorder = recorder_of(journal)
    journal.full = True
    take_mtus(recorder, 1400)
    assert recorder.write() == (False, False)
    assert recorder.trouble == "database or disk is full"
    take_mtus(recorder, 1300)
    journal.full = False
    assert recorder.write() == (True, False)
    assert recorder.trouble is None
    assert written(journal) == [(1, "notification", 1400), (2, "notification", 1300)]


def test_what_does_not_fit_in_memory_is_dropped_counted_and_healed_by_a_marked_resync(journal: FullDisk) -> None:
    recorder = recorder_of(journal, limit=10)
    take_mtus(recorder, 1490)
    recorder.write()
    journal.full = True
    take_mtus(recorder, *range(1400, 1415))
    recorder.write()
    assert recorder.waiting <= 10
    take_mtus(recorder, 1300)
    journal.full = False
    assert recorder.write() == (True, True)
    assert recorder.dropped == 16
    assert written(journal) == [(1, "notification", 1490), (2, "overrun", 1300)]


def test_after_the_healing_numbers_go_on_from_the_journal(journal: FullDisk) -> None:
    recorder = recorder_of(journal, limit=1)
    journal.full = True
    take_mtus(recorder, 1400, 1300)
    recorder.write()
    journal.full = False
    recorder.write()
    take_mtus(recorder, 1200)
    recorder.write()
    assert [seq for seq, _, _ in written(journal)] == [1, 2]


def test_a_disk_that_is_full_at_the_healing_too_is_waited_for(journal: FullDisk) -> None:
    recorder = recorder_of(journal, limit=1)
    journal.full = True
    take_mtus(recorder, 1400, 1300)
    assert recorder.write() == (False, False)
    assert recorder.write() == (False, False)
    journal.full = False
    assert recorder.write() == (True, True)
    assert written(journal) == [(1, "overrun", 1300)]


def test_what_was_written_is_said_although_the_healing_after_it_fails(journal: FullDisk) -> None:
    recorder = recorder_of(journal, limit=2)
    take_mtus(recorder, 1490)
    write = journal.append

    def fill_up(events: Sequence[Event]) -> None:
        write(events)
        take_mtus(recorder, *range(1400, 1403))  # while it writes: too many, and the disk is full from now on
        journal.full = True
        journal.append = write  # type: ignore[method-assign]  # only this moment is of interest

    journal.append = fill_up  # type: ignore[method-assign]  # the moment between writing and healing
    assert recorder.write() == (True, False)
    journal.full = False
    assert recorder.write() == (True, True)
    assert written(journal) == [(1, "notification", 1490), (2, "overrun", 1402)]


def test_the_first_update_of_a_new_epoch_is_the_baseline_and_makes_no_event(journal: FullDisk) -> None:
    recorder_of(journal)
    assert journal.rows() == [make_row("eth0", nl_mtu=1500)]
    assert journal.seq == 0


def test_an_overrun_is_reported_with_the_write_even_when_nothing_differs(journal: FullDisk) -> None:
    recorder = recorder_of(journal)
    recorder.take([Resync((make_row("eth0", nl_mtu=1500),), "overrun")])
    assert recorder.write() == (False, True)
