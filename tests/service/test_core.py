"""The core: updates on their way into the journal, and what happens while the disk takes nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.delivery.plan import planned
from publisher.delivery.supervisor import Supervisor
from publisher.errors import JournalDamagedError, JournalError
from publisher.journal.journal import Journal
from publisher.journal.requests import JournalClient
from publisher.service.core import Core
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.testing import Recorder, ScriptedSource, make_row
from publisher.watcher import InterfaceFilter
from tests.fixtures.logs import CapturedLog
from tests.fixtures.poll import wait_for

ETH0, ETH1 = make_row("eth0", nl_mtu=1500), make_row("eth1", index=3)


class Disk:
    """The disk under a journal, which is full or damaged when a test says so: real ones are in tests/integration."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault: sqlite3.Error | None = None
        writing = journal._file.writing

        def faulty(size: int | None = None) -> object:
            if self.fault:
                raise JournalError(str(self.fault))
            return writing(size)

        monkeypatch.setattr(journal._file, "writing", faulty)


class Bench:
    """A core over a journal, a scripted source and one sink."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("publisher.service.core._TRY_SECONDS", 0.0)
        self.journal = Journal.open(path, node="testnode")
        self.disk = Disk(self.journal, monkeypatch)
        self.source = ScriptedSource()
        self.log = CapturedLog()
        self.recorder = Recorder()
        self.supervisor = Supervisor(self.journal, self.log, lambda: None)
        self.core = Core(self.journal, self.source, self.supervisor, InterfaceFilter(), self.log)
        self.core.begin([Resync((ETH0,), "startup")])

    def deliver(self) -> None:
        sink = self.recorder.sink_type()
        self.supervisor.change_to(planned({"one": (sink, sink.Options())}), 5.0)
        self.recorder.wait_for_events(2)

    def mtus(self, *mtus: int) -> None:
        for mtu in mtus:
            self.core.apply([Upsert(make_row("eth0", nl_mtu=mtu))])

    def written(self) -> list[tuple[int, str, int | None]]:
        events = self.journal.events.read(0, 1000)
        return [(event.seq, event.cause, event.row.nl_mtu if event.row else None) for event in events]

    @property
    def stuck(self) -> bool:
        """Whether the command line would say that the journal takes nothing."""
        with closing(JournalClient.open(self.journal.path)) as client:
            return client.stuck

    def close(self) -> None:
        self.disk.fault = None
        self.supervisor.stop(5.0, lambda: None)
        self.journal.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with closing(Bench(tmp_path / "journal.sqlite3", monkeypatch)) as bench:
        yield bench


def test_the_first_resync_of_a_new_epoch_is_the_baseline_and_makes_no_event(bench: Bench) -> None:
    assert bench.journal.rows() == [ETH0]
    assert bench.journal.seq == 0


def test_what_follows_the_first_resync_in_its_list_makes_events(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal.sqlite3", node="testnode")) as journal:
        log, source = CapturedLog(), ScriptedSource()
        core = Core(journal, source, Supervisor(journal, log, lambda: None), InterfaceFilter(), log)
        core.begin([Resync((ETH0,), "startup"), Upsert(ETH1)])
        assert [event.notification_type for event in journal.events.read(0, 9)] == ["add_instance"]


def test_a_list_of_updates_is_one_transaction(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = []
    writing = bench.journal._file.writing
    monkeypatch.setattr(bench.journal._file, "writing", lambda size=None: committed.append(1) or writing(size))  # type: ignore[func-returns-value]  # counted
    bench.core.apply([Upsert(make_row("eth0", nl_mtu=1400)), Upsert(ETH1), Remove(ETH0.luid, "inet")])
    assert len(committed) == 1
    assert [event.notification_type for event in bench.journal.events.read(0, 9)] == [
        "parameter_notification", "add_instance", "delete_instance",
    ]  # fmt: skip


def test_while_the_disk_takes_nothing_updates_are_counted_and_none_is_kept(bench: Bench) -> None:
    bench.disk.fault = sqlite3.OperationalError("database or disk is full")
    bench.mtus(*range(1000, 1400))
    assert (bench.core.trouble, bench.core.dropped) == ("database or disk is full", 400)
    assert bench.stuck
    assert len(bench.log.records) == 1, "it is said once"
    bench.core.recover()
    assert bench.core.trouble is not None
    assert bench.source.resyncs == []


def test_when_the_disk_takes_something_again_a_resync_heals(bench: Bench) -> None:
    bench.mtus(1490)
    bench.disk.fault = sqlite3.OperationalError("database or disk is full")
    bench.mtus(1400, 1300)
    bench.disk.fault = None
    bench.core.recover()
    assert bench.core.trouble is None
    assert not bench.stuck
    assert bench.source.resyncs == ["overrun"]
    bench.core.apply([Resync((make_row("eth0", nl_mtu=1200), ETH1), "overrun")])
    assert bench.written() == [(1, "notification", 1490), (2, "overrun", 1200), (3, "overrun", ETH1.row.nl_mtu)]


def test_the_log_counts_the_updates_of_each_loss_apart(bench: Bench) -> None:
    for count in (3, 2):
        bench.disk.fault = sqlite3.OperationalError("database or disk is full")
        bench.mtus(*range(1400, 1400 + count))
        bench.disk.fault = None
        bench.core.recover()
    lost = [record.getMessage() for record in bench.log.records if "were lost" in record.getMessage()]
    assert [text.split(";")[1].split()[0] for text in lost] == ["3", "2"]
    assert bench.core.dropped == 5


def test_a_lock_of_another_process_holds_the_core_up_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.journal.file._WRITER_BUSY_SECONDS", 0.2)
    with closing(Bench(tmp_path / "journal.sqlite3", monkeypatch)) as bench:
        with closing(sqlite3.connect(bench.journal.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            bench.mtus(1400, 1401)
            bench.core.recover()
            assert "locked" in (bench.core.trouble or "")
            assert time.monotonic() - begun < 9, "other connections wait 10 s"
            other.execute("ROLLBACK")
        bench.core.recover()
        assert bench.core.trouble is None
        assert bench.source.resyncs == ["overrun"]


def test_the_healing_marks_the_loss_for_every_sink_even_when_nothing_differs(bench: Bench) -> None:
    bench.deliver()
    bench.disk.fault = sqlite3.OperationalError("database or disk is full")
    bench.mtus(1400)
    bench.disk.fault = None
    bench.core.recover()
    bench.core.apply([Resync((ETH0,), "overrun")])
    again = bench.recorder.wait_for_events(4)[2:]
    assert [(event.notification_type, event.cause) for event in again] == [("initial_notification", "overrun")] * 2


def test_a_mark_survives_a_kill_right_after_the_healing(bench: Bench) -> None:
    bench.deliver()
    bench.recorder.hang()
    bench.mtus(1400)
    # Inside `publish`, it takes nothing.
    wait_for(lambda: bench.supervisor.status()["one"].state == "sending")
    bench.core.apply([Resync((ETH0,), "overrun")])
    [resend] = bench.journal.sink("one", "").resends()
    assert "overrun" in str(resend)
    bench.recorder.flow()


def test_damage_ends_the_core_so_that_the_next_start_sets_the_file_aside(bench: Bench) -> None:
    with pytest.raises(JournalDamagedError):
        bench.core.degrade(JournalDamagedError("torn"))


@pytest.mark.parametrize("updates", [[], [Remove("0" * 16, "inet")], [Upsert(ETH0)]])
def test_updates_that_change_nothing_make_no_event(bench: Bench, updates: list[Update]) -> None:
    bench.core.apply(updates)
    assert bench.journal.seq == 0


def started(path: Path, transitions: int | None) -> list[tuple[int, int]]:
    """Starts and ends a core over the journal; returns the transitions of the carrier that its events report."""
    row = make_row("eth0", interface={"carrier_transitions": transitions})
    with closing(Journal.open(path, node="testnode")) as journal:
        before = journal.seq
        core = Core(
            journal,
            ScriptedSource(),
            Supervisor(journal, CapturedLog(), lambda: None),
            InterfaceFilter(),
            CapturedLog(),
        )
        core.begin([Resync((row,), "startup")])
        rows = journal.rows()
        assert rows
        assert rows[0].interface.carrier_transitions == transitions, "the next start compares with it"
        changes = [event.changed["interface.carrier_transitions"] for event in journal.events.read(before, 100)]
        return [(change.before, change.after) for change in changes]


def test_transitions_of_the_carrier_are_counted_from_start_to_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    told = [started(path, transitions) for transitions in (None, 3, 3, 17, 17)]
    assert told == [[], [], [], [(3, 17)], []]


def test_a_boot_begins_the_count_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.sqlite3"
    assert [started(path, transitions) for transitions in (2, 2)] == [[], []]
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "another boot")
    assert [started(path, transitions) for transitions in (6, 6, 8)] == [[], [], [(6, 8)]]


def test_a_system_that_does_not_tell_its_boot_compares_no_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "")
    assert [started(tmp_path / "journal.sqlite3", transitions) for transitions in (2, 6)] == [[], []]
