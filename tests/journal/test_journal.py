"""The journal: what is in it, what it survives, and what it says when it does not."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from publisher.errors import JournalDamagedError, JournalError, JournalInUseError
from publisher.events import Event, IpInterface
from publisher.journal.journal import Journal
from publisher.journal.positions import (
    POSITIONS,
    NumberedResend,
    Position,
    ResendDeadLetters,
    ResendEvents,
    ResendSnapshot,
    SnapshotDue,
    Tail,
    position_json,
)
from publisher.journal.requests import InvalidRequest, JournalClient, Request
from publisher.journal.sink_journal import SinkJournal
from publisher.sink import Cursor
from publisher.sources import Remove, Upsert
from publisher.sources.assignments import LuidAssignment
from publisher.table import Stamp, Table
from publisher.testing.events import make_row
from tests.fixtures.journal import ETH0, ETH1, begun, changes, crash

SECOND = """
import sys
from pathlib import Path
from publisher.journal.journal import Journal
Journal.open(Path(sys.argv[1]), node="nas")
"""
LUID = LuidAssignment(
    ETH0.luid, "", b"enp1s0", b"eth0", b"\x52\x54\0\x12\x34\x02", "0000:01:00.0/", shared=True, seen=7
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path, node="nas")) as journal:
        yield journal


def test_a_new_journal_knows_nothing(journal: Journal) -> None:
    assert (journal.seq, journal.events.oldest, journal.rows(), journal.known) == (0, 1, None, False)
    assert (journal.set_aside, journal.new_epoch_reason) == (None, "there was no journal")
    assert journal.events.read(0, 10) == []


def test_an_empty_baseline_is_not_the_same_as_knowing_nothing(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.replace_rows([])
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.rows() == []
        assert [event.snapshot and event.snapshot.count for event in journal.snapshot()] == [0]


def test_a_change_of_a_large_row_writes_few_pages(path: Path, journal: Journal) -> None:
    addresses = [f"192.0.2.{number}/24" for number in range(1, 12)]
    table = Table([make_row(addresses=addresses)], Stamp("nas", journal.epoch))
    journal.replace_rows(table.rows)
    assert len(journal.events.rows()[1][0]) > 1500, "more than a quarter of a page, and less than a whole one"
    log = path.with_name(f"{path.name}-wal")
    before = log.stat().st_size
    for metric in range(1000, 1100):
        journal.append(table.apply(Upsert(make_row(metric=metric, addresses=addresses))))
    pages = (log.stat().st_size - before) / 4120
    # Of the table of events at most four, which SQLite allocates as it grows, and one of the table of rows.
    assert pages / 100 < 5


def test_events_and_the_rows_they_lead_to_outlive_the_process(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        table = begun(journal)
        events = [*changes(table, 3), *table.apply(Remove(ETH1.luid, "inet"))]
        journal.append(events[:2])
        journal.append(events[2:])
        epoch = journal.epoch
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.epoch, journal.seq, journal.events.oldest, journal.new_epoch_reason) == (epoch, 4, 1, None)
        assert journal.events.read(0, 10) == events
        assert [event.json_bytes for event in journal.events.read(0, 10)] == [event.json_bytes for event in events]
        assert journal.rows() == table.rows
        assert len(table.rows) == 1


def test_a_batch_about_one_row_leaves_its_last_state(journal: Journal) -> None:
    table = begun(journal, ETH0)
    gone_and_back = [*table.apply(Remove(ETH0.luid, "inet")), *table.apply(Upsert(ETH0)), *changes(table, 2)]
    journal.append(gone_and_back)
    assert journal.rows() == table.rows


def test_recent_events_are_read_from_memory_and_older_ones_from_the_file(journal: Journal) -> None:
    table = begun(journal)
    events = changes(table, 3000)
    journal.append(events)
    assert journal.events.read(2998, 5)[0] is events[2998]
    assert journal.events.read(2998, 5) == events[2998:]
    assert journal.events.read(10, 2)[0] is not events[10]
    assert journal.events.read(10, 256) == events[10:266]
    assert journal.events.read(3000, 5) == []


def test_no_more_than_two_mebibytes_of_recent_events_are_held(journal: Journal) -> None:
    table = begun(journal)
    row = make_row(interface={"description": "x" * 100_000})
    events = [event for mtu in range(30) for event in table.apply(Upsert(make_row(nl_mtu=mtu, interface=about(row))))]
    journal.append(events)
    held = [event for event in events if journal.events.read(event.seq - 1, 1)[0] is event]
    assert 15 < len(held) < 25
    assert sum(len(event.json_bytes) for event in held) <= 2 << 20


def about(row: IpInterface) -> dict[str, object]:
    return {"description": row.interface.description}


def test_the_newest_events_are_kept_by_number(path: Path) -> None:
    with closing(Journal.open(path, node="nas", max_events=1000)) as journal:
        table = begun(journal)
        for _ in range(50):
            journal.append(changes(table, 70))
            assert journal.seq - 1000 - 1000 // 64 - 70 < journal.events.oldest <= max(1, journal.seq - 999)
        oldest, kept = journal.events.oldest, len(journal.events.read(journal.events.oldest - 1, 9999))
        assert kept == journal.seq - oldest + 1
    with closing(Journal.open(path, node="nas", max_events=1000)) as journal:
        assert journal.events.oldest == oldest


def test_a_trim_leaves_exactly_the_newest_events(path: Path) -> None:
    with closing(Journal.open(path, node="nas", max_events=1000)) as journal:
        table = begun(journal)
        while journal.events.oldest == 1:
            journal.append(changes(table, 1))
        assert journal.seq - journal.events.oldest + 1 == 1000


def on_disk(path: Path) -> int:
    return sum(path.with_name(path.name + suffix).stat().st_size for suffix in ("", "-wal"))


@pytest.mark.parametrize("extra", [0, 600, 1700, 40_000], ids=str)
def test_the_file_and_its_log_stay_within_the_bound_whatever_the_size_of_an_event(path: Path, extra: int) -> None:
    most = 4 << 20
    with closing(Journal.open(path, node="nas", max_bytes=most)) as journal:
        table = begun(journal)
        about = {"description": "x" * extra}
        written = largest = 0
        while written < 2 * most:
            mtu = 1000 + table.stamp.seq
            events = [e for n in range(8) for e in table.apply(Upsert(make_row(nl_mtu=mtu + n, interface=about)))]
            journal.append(events)
            written += sum(len(event.json_bytes) for event in events)
            largest = max(largest, on_disk(path))
        kept = journal.events.read(journal.events.oldest - 1, 99_999)
        # Above the bound there are at most two commits, whose events and rows are in the log: a checkpoint that begins
        # at that moment keeps the log from being written over for one of them.
        assert largest < most + 3 * sum(len(event.json_bytes) for event in events)
        assert sum(len(event.json_bytes) for event in kept) > most / 4
        assert [event.seq for event in kept] == list(range(journal.events.oldest, journal.seq + 1))


def test_large_events_are_read_few_at_a_time(path: Path) -> None:
    """1,000 events of 400 kB, as of an interface with thousands of addresses, were read into memory at once."""
    with closing(Journal.open(path, node="nas")) as journal:
        table, about = begun(journal), {"description": "x" * 1_000_000}
        events = [e for n in range(20) for e in table.apply(Upsert(make_row(nl_mtu=1000 + n, interface=about)))]
        for event in events:
            journal.append([event])
        first = journal.events.read(0, 1000)
        assert [event.seq for event in first] == [1, 2, 3, 4], "about 4 MiB; the first change has its text twice"
        read = list(first)
        while more := journal.events.read(read[-1].seq, 1000):
            read += more
        assert read == events


def test_the_very_newest_event_is_kept_however_big_it_is(path: Path) -> None:
    with closing(Journal.open(path, node="nas", max_bytes=1 << 20)) as journal:
        table = begun(journal)
        journal.append(changes(table, 100))
        [big] = table.apply(Upsert(make_row(interface={"description": "x" * 3_000_000})))
        journal.append([big])
        assert journal.events.read(journal.events.oldest - 1, 999) == [big]


def test_the_file_gives_its_space_back_after_a_flood(path: Path) -> None:
    most = 1 << 21
    with closing(Journal.open(path, node="nas", max_bytes=most)) as journal:
        table = begun(journal)
        part = journal.sink("home", "")
        part.reading = 0
        while path.stat().st_size < 1.2 * most:
            journal.append(changes(table, 64))
        part.reading = None
        journal.append(changes(table, 200))
        for _ in range(20):
            journal.commit()
        journal._file.empty_log()
        assert path.stat().st_size < most


@pytest.mark.parametrize("options", [{"max_events": 100}, {"max_bytes": 1 << 20}], ids=["number", "size"])
def test_what_a_healthy_sink_has_yet_to_read_is_kept_up_to_twice_the_bounds(path: Path, options: Any) -> None:
    with closing(Journal.open(path, node="nas", **options)) as journal:
        table = begun(journal)
        part = journal.sink("home", "")
        while journal.events.oldest == 1:
            journal.append(changes(table, 1))
        kept = journal.seq - journal.events.oldest
        part.reading = journal.seq - 10
        first = part.reading + 1
        while journal.seq < first + 1.8 * kept:
            journal.append(changes(table, 1))
        assert journal.events.oldest <= first
        part.reading = journal.seq
        journal.append(changes(table, 50))
        assert journal.events.oldest == pytest.approx(journal.seq - kept, rel=0.1)
        part.reading = journal.events.oldest
        for _ in range(3 * kept):
            journal.append(changes(table, 1))
        assert journal.events.oldest == pytest.approx(journal.seq - 2 * kept, rel=0.1)


def test_the_journal_waits_for_a_sink_that_reads_and_for_none_that_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("publisher.journal.sink_journal.time.monotonic", lambda: now)
    with closing(Journal.open(path, node="nas")) as journal:
        part = journal.sink("home", "")
        assert part.unread(7) == 7, "a sink that never began"
        part.reading = 3
        assert part.unread(7) == 3
        now += 59.0
        assert part.unread(8) == 3
        part.reading = 4
        now += 59.0
        assert part.unread(9) == 4, "it read something"
        now += 59.0
        assert part.unread(9) == 4
        now += 1.0
        assert part.unread(9) == 9, "a minute without"
        part.reading = 9
        assert part.unread(20) == 9, "it reads again"


def test_an_event_that_does_not_follow_is_refused_whole(journal: Journal) -> None:
    table = begun(journal)
    events = changes(table, 3)
    journal.append(events[:2])
    with pytest.raises(ValueError, match="does not follow"):
        journal.append([events[2], events[1]])
    with pytest.raises(ValueError, match="does not follow"):
        journal.append([events[2].model_copy(update={"epoch": "f" * 16})])
    assert journal.seq == 2
    journal.append(events[2:])
    assert journal.events.read(0, 9) == events


def test_a_snapshot_is_the_rows_at_one_moment(journal: Journal) -> None:
    table = begun(journal)
    journal.append(changes(table, 5))
    marker, *rest = journal.snapshot("overrun")
    assert (marker.seq, marker.cause, marker.key) == (5, "overrun", None)
    assert [event.row for event in rest] == [row.row for row in table.rows]


def test_the_rows_of_snapshots_at_one_moment_are_held_once(journal: Journal) -> None:
    table = begun(journal)
    journal.append(changes(table, 1))
    _, rows = journal.events.rows()
    assert journal.events.rows()[1] is rows
    journal.append(changes(table, 1))
    assert journal.events.rows()[1] is not rows


def test_snapshots_beside_a_writer_never_mix_two_moments(journal: Journal) -> None:
    table = begun(journal, ETH0)
    stop = threading.Event()
    torn: list[Event] = []

    def look() -> None:
        while not stop.is_set():
            _, event = journal.snapshot()
            if event.seq and (event.row is None or event.row.nl_mtu != event.seq + 999):
                torn.append(event)

    looking = threading.Thread(target=look)
    looking.start()
    for event in changes(table, 500):
        journal.append([event])
    stop.set()
    looking.join()
    assert not torn


def position(journal: Journal, sink: str, destination: str = "") -> Position | None:
    """Returns a sink's position in the file."""
    return journal.sink(sink, destination).place()[0]


def confirm(journal: Journal, sink: str, seq: int, destination: str = "") -> None:
    """Writes a sink's position."""
    journal.sink(sink, destination).report(Tail(Cursor(journal.epoch, seq)))
    journal.commit()


def test_a_position_belongs_to_a_sink_and_its_destination(path: Path) -> None:
    due = SnapshotDue("overrun", 9, Cursor("0123456789abcdef", 7))
    with closing(Journal.open(path, node="nas")) as journal:
        begun(journal)
        assert position(journal, "home", "mqtt://a") is None
        journal.sink("home", "mqtt://a").report(due)
        assert position(journal, "home", "mqtt://a") == due
        assert position(journal, "home", "mqtt://b") is None
        assert position(journal, "other", "mqtt://a") is None
    with closing(Journal.open(path, node="nas")) as journal:
        assert position(journal, "home", "mqtt://a") == due
        confirm(journal, "home", 8, "mqtt://a")
        assert position(journal, "home", "mqtt://a") == Tail(Cursor(journal.epoch, 8))


def test_what_a_sink_reported_is_written_with_the_next_events(path: Path) -> None:
    journal = Journal.open(path, node="nas")
    table = begun(journal)
    part = journal.sink("home", "")
    part.report(Tail(Cursor(journal.epoch, 0)))
    assert part.place()[0] is None
    journal.append(changes(table, 1))
    assert part.place()[0] == Tail(Cursor(journal.epoch, 0))
    part.report(Tail(Cursor(journal.epoch, 1)))
    journal.close()
    with closing(Journal.open(path, node="nas")) as journal:
        assert position(journal, "home") == Tail(Cursor(journal.epoch, 1)), "a clean end writes it, too"


def test_what_a_sink_reported_waits_while_the_disk_takes_nothing(
    journal: Journal,
) -> None:
    begun(journal)
    part = journal.sink("home", "")
    part.report(Tail(Cursor(journal.epoch, 1)))
    part.settle(7)

    def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    part._pending.put(part, {"last": full})
    with pytest.raises(JournalError, match="full"):
        journal.commit()
    assert part.place()[0] is None
    part.report(Tail(Cursor(journal.epoch, 2)))
    part._pending.put(part, {"last": lambda _: None})
    journal.commit()
    assert part.place()[0] == Tail(Cursor(journal.epoch, 2)), "the later report counts"


def test_a_report_that_the_disk_did_not_take_is_written_later_unless_there_is_a_newer_one(journal: Journal) -> None:
    begun(journal)
    home, other = journal.sink("home", ""), journal.sink("other", "")
    for part in (home, other):
        part.report(Tail(Cursor(journal.epoch, 1)))

    def full(_: object) -> None:
        home.report(Tail(Cursor(journal.epoch, 2)))
        raise sqlite3.OperationalError("database or disk is full")

    home._pending.put(home, {"last": full})
    with pytest.raises(JournalError, match="full"):
        journal.commit()
    home._pending.put(home, {"last": lambda _: None})
    journal.commit()
    assert home.place()[0] == Tail(Cursor(journal.epoch, 2)), "it was reported while the other was being written"
    assert other.place()[0] == Tail(Cursor(journal.epoch, 1))


@pytest.mark.parametrize("epoch", ["01926f6e8c7e4b3f", 'a "quoted" one', "back\\slash", "Straße", ""])
@pytest.mark.parametrize("seq", [0, 1 << 62])
def test_the_json_of_a_position_is_read_as_that_position(epoch: str, seq: int) -> None:
    cursor = Cursor(epoch, seq)
    others = (Tail(cursor, has=seq), Tail(cursor, rows="none"), SnapshotDue("overrun", seq, cursor, 1))
    for position in (Tail(cursor), *others):
        data = position_json(position)
        assert POSITIONS.validate_json(data) == position
        assert {"has": None, "rows": ""} | json.loads(data) == json.loads(POSITIONS.dump_json(position))


def test_an_abandoned_worker_moves_no_position(journal: Journal) -> None:
    begun(journal)
    part = journal.sink("home", "")
    part.report(Tail(Cursor(journal.epoch, 1)))
    journal.revoke(part)
    part.report(Tail(Cursor(journal.epoch, 2)))
    assert position(journal, "home") == Tail(Cursor(journal.epoch, 1))


def test_resends_are_kept_until_they_are_done(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        begun(journal)
        kept = journal.append((), {"home": ResendEvents(3), "other": ResendSnapshot("overrun", 5)})
        number = kept["home"].number
        assert kept["home"] == NumberedResend(number, ResendEvents(3))
    with closing(Journal.open(path, node="nas")) as journal:
        part = journal.sink("home", "")
        assert part.resends() == [NumberedResend(number, ResendEvents(3))]
        part.report(Tail(Cursor(journal.epoch, 3)), [number])
        journal.commit()
        assert part.resends() == []
        assert journal.sink("other", "").resends() == [kept["other"]]


def test_the_resends_of_a_sink_that_takes_none_do_not_pile_up(path: Path) -> None:
    """A sink that ended or hangs got one row for each loss."""
    with closing(Journal.open(path, node="nas")) as journal:
        begun(journal)
        for seq in range(50):
            journal.append((), {"home": ResendSnapshot("overrun" if seq == 7 else "notification", seq)})
            journal.append((), {"other": ResendDeadLetters(0, seq)})
        journal.append((), {"other": ResendDeadLetters(70, 71)})
        assert [numbered.resend for numbered in journal.sink("home", "").resends()] == [ResendSnapshot("overrun", 49)]
        letters = [numbered.resend for numbered in journal.sink("other", "").resends()]
        assert letters == [ResendDeadLetters(0, 49), ResendDeadLetters(70, 71)]


def test_dead_letters_that_wait_for_the_disk_are_bounded_in_bytes(journal: Journal) -> None:
    table = begun(journal)
    hook = journal.sink("hook", "")
    events = [table.apply(Upsert(make_row(interface={"description": f"{n}" * 300_000})))[0] for n in range(10, 18)]
    kept = 0
    with suppress(JournalError):
        for event in events:
            hook.add_dead_letter(event, "413")
            kept += len(event.json_bytes)
    assert 4 << 20 <= kept < 6 << 20


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_under_another_node_every_sink_gets_what_it_lacks_and_then_the_snapshot(path: Path, how: str) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        table = begun(journal)
        confirm(journal, "home", 0)
        journal.append(changes(table, 3))
        epoch, newest = journal.epoch, journal.seq
        if how == "reload":
            journal.rename("attic", ["new"])
            assert journal.snapshot()[0].node == "attic"
            assert journal.sink("new", "").resends()
    with closing(Journal.open(path, node="attic")) as journal:
        assert (journal.epoch, journal.seq) == (epoch, newest)
        assert journal.sink("home", "").place() == (
            Tail(Cursor(epoch, 0)),
            [NumberedResend(1, ResendSnapshot("notification", newest))],
        )
        assert journal.rows() is not None


def test_an_ended_sink_stays_ended_while_its_options_are_the_same(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.sink("hook", "").end("fingerprint", "410 Gone")
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.sink("hook", "").ended("fingerprint") == "410 Gone"
        assert journal.sink("hook", "").ended("another") is None


@pytest.mark.parametrize("name", [b"eth0", "zażółć".encode(), b"+/#", b"bad-\xff\xfe"])
def test_luids_are_kept_for_interfaces_of_any_name(path: Path, name: bytes) -> None:
    assignment = LuidAssignment(ETH0.luid, "veth", name, name, seen=2)
    with closing(Journal.open(path, node="nas")) as journal:
        journal.luids.save_luids([LUID, assignment])
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.luids.load_luids() == [assignment]


def test_dead_letters_are_kept_until_removed(journal: Journal) -> None:
    events = changes(begun(journal), 3)
    hook, other = journal.sink("hook", ""), journal.sink("other", "")
    for event, part in zip(events, (hook, hook, other), strict=True):
        part.add_dead_letter(event, f"400 for {event.seq}")
    assert journal.newest_dead_letter("hook") == 2
    first, second = journal.dead_letters("hook")
    assert (first.sink, first.reason, first.event) == ("hook", "400 for 1", events[0])
    assert hook.next_dead_letter(first.id) == second
    assert hook.next_dead_letter(second.id) is None
    hook.remove_dead_letter(first.id)
    journal.commit()
    assert [letter.event.seq for letter in journal.dead_letters()] == [2, 3]
    assert hook.count_dead_letters() == 1


def test_dead_letters_of_a_sink_do_not_grow_for_ever(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.journal.dead_letters.KEPT", 3)
    hook, other = journal.sink("hook", ""), journal.sink("other", "")
    for event in changes(begun(journal), 6):
        hook.add_dead_letter(event, "no")
        if event.seq == 1:
            other.add_dead_letter(event, "no")
    journal.commit()
    assert [letter.event.seq for letter in journal.dead_letters("hook")] == [4, 5, 6]
    assert other.count_dead_letters() == 1


def test_the_command_line_asks_and_is_answered(path: Path, journal: Journal) -> None:
    begun(journal)
    with closing(JournalClient.open(path)) as client:
        assert (client.running, client.epoch, client.seq) == (str(os.getpid()), journal.epoch, 0)
        request = Request(kind="replay", sink="home", since=3)
        number = client.post(request)
        assert journal.requests.waiting() == [(number, request)]
        assert client.done(number) is None
        resend = journal.requests.answer(number, "being sent", "home", ResendEvents(3))
        assert client.done(number) == "being sent"
        assert journal.requests.waiting() == []
        assert journal.sink("home", "").resends() == [resend]
        assert client.status() is None
        journal.requests.put_status({"sinks": {"home": {"behind": 2}}})
        journal.commit()
        assert client.status() == {"sinks": {"home": {"behind": 2}}}
        assert client.rows() == journal.rows()


def test_an_idle_journal_is_not_read_for_requests(path: Path, journal: Journal) -> None:
    reads: list[str] = []
    journal._file._writer.set_trace_callback(lambda sql: reads.append(sql) if "requests" in sql else None)
    with closing(JournalClient.open(path)) as client:
        for _ in range(5):
            assert journal.requests.waiting() == []
            journal.requests.put_status({"reads": len(reads)})
            journal.commit()
        assert len(reads) == 1
        number = client.post(Request(kind="replay", sink="home"))
        for _ in range(3):
            assert [found for found, _ in journal.requests.waiting()] == [number], "it is found until it is answered"


@pytest.mark.skipif(sys.platform == "win32", reason="the time of a file that is open there cannot be set")
def test_a_request_is_found_although_its_write_was_long_before_its_commit(path: Path, journal: Journal) -> None:
    log = path.with_name(f"{path.name}-wal")
    with closing(JournalClient.open(path)) as client:
        journal.requests.answer(client.post(Request(kind="replay", sink="home")), "done")
        journal._file.empty_log()
        # SQLite writes to the log, waits for the disk, and shows the commit then: here the last look was meanwhile.
        written = time.time_ns() - 10_000_000_000
        os.utime(log, ns=(written, written))
        size = log.stat().st_size
        assert journal.requests.waiting() == []
        assert journal.requests.waiting() == []
        number = client.post(Request(kind="replay", sink="home"))
        os.utime(log, ns=(written, written))
        assert log.stat().st_size == size
        assert [found for found, _ in journal.requests.waiting()] == [number]


@pytest.mark.skipif(sys.platform == "win32", reason="the time of a file that is open there cannot be set")
def test_a_look_at_an_old_log_shows_that_no_request_waits_until_somebody_writes(path: Path, journal: Journal) -> None:
    log = path.with_name(f"{path.name}-wal")
    os.utime(log)
    assert journal.requests.waiting() == []
    assert journal.requests.may_wait()  # it was written just now, and the clock of a file system may be coarse
    written = time.time_ns() - 10_000_000_000
    os.utime(log, ns=(written, written))
    assert journal.requests.waiting() == []
    assert not journal.requests.may_wait()
    with closing(JournalClient.open(path)) as client:
        number = client.post(Request(kind="replay", sink="home"))
        assert journal.requests.may_wait()
        assert [found for found, _ in journal.requests.waiting()] == [number]


@pytest.mark.parametrize("seed", range(8))
def test_each_request_is_found_whatever_happens_to_the_log(path: Path, journal: Journal, seed: int) -> None:
    chance, asked = random.Random(seed), 0
    table = begun(journal)
    with closing(JournalClient.open(path)) as client:
        for _ in range(60):
            match chance.choice(["post", "passive", "truncate", "append", "look"]):
                case "post":
                    asked = client.post(Request(kind="replay", sink="home"))
                case "passive":
                    journal._file._empty_log("PASSIVE")
                case "truncate":
                    journal._file.empty_log()
                case "append":
                    journal.append(changes(table, 1))
                case _:
                    found = [number for number, _ in journal.requests.waiting()]
                    assert asked in (0, *found)
                    for number in found:
                        journal.requests.answer(number, "done")
                    asked = 0


def test_answers_do_not_grow_for_ever(path: Path, journal: Journal) -> None:
    with closing(JournalClient.open(path)) as client:
        for _ in range(150):
            journal.requests.answer(client.post(Request(kind="replay", sink="home")), "done")
        assert [client.done(number) for number in (1, 49, 51, 150)] == [None, None, "done", "done"]


def test_requests_wait_for_the_next_start_and_survive_a_crash(path: Path) -> None:
    Journal.open(path, node="nas").close()
    request = Request(kind="retry", sink="hook", dead_letter=4)
    with closing(JournalClient.open(path)) as client:
        assert client.running is None
        number = client.post(request)
    for _ in range(2):
        journal = Journal.open(path, node="nas")
        assert journal.requests.waiting() == [(number, request)]
        crash(journal)
    with closing(Journal.open(path, node="nas")) as journal:
        journal.requests.answer(number, "done")
        assert journal.requests.waiting() == []


@pytest.mark.parametrize(
    "data",
    [
        '{"kind":"replay","sink":"log","priority":"high"}',
        '{"kind":"of_the_future","sink":"log"}',
        '{"kind":"replay","sink":7}',
        '{"kind":"replay","sink":"log","since":-1}',
        "[]",
        "no JSON",
        "",
        b"\xff\xfe",
    ],
)
def test_a_request_of_another_version_is_answered_and_ends_nothing(path: Path, data: str | bytes) -> None:
    Journal.open(path, node="nas").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        number = connection.execute("INSERT INTO requests (data) VALUES (?)", (data,)).lastrowid
    with closing(Journal.open(path, node="nas")) as journal:
        [(waiting, request)] = journal.requests.waiting()
        assert waiting == number
        assert isinstance(request, InvalidRequest)
        assert "does not understand this request" in request.reason
        journal.requests.answer(waiting, request.reason)
        assert journal.requests.waiting() == []


def test_the_status_of_a_service_that_is_gone_is_none(path: Path) -> None:
    journal = Journal.open(path, node="nas")
    journal.requests.put_status({"pid": 1})
    journal.commit()
    crash(journal)
    with closing(JournalClient.open(path)) as client:
        assert client.status() is None
        with closing(Journal.open(path, node="nas")):
            assert client.status() is None, "the next one has not written its own yet"


def test_a_client_that_was_opened_before_the_service_sees_its_answer(path: Path) -> None:
    Journal.open(path, node="nas").close()
    with closing(JournalClient.open(path)) as client:
        number = client.post(Request(kind="replay", sink="home"))
        assert client.done(number) is None
        with closing(Journal.open(path, node="nas")) as journal:
            journal.requests.answer(number, "yes")
            assert client.done(number) == "yes"


def test_a_client_makes_no_journal(path: Path) -> None:
    with pytest.raises(JournalError, match=r"no journal .*journal\.db"):
        JournalClient.open(path)
    assert not path.parent.exists()


def test_a_second_publisher_is_refused_with_the_process_that_holds_it(path: Path, journal: Journal) -> None:
    with pytest.raises(JournalInUseError, match=rf"{path.name}.*process {os.getpid()}\)"):
        Journal.open(path, node="nas")
    other = subprocess.run([sys.executable, "-c", SECOND, path], capture_output=True, text=True, check=False)
    assert f"process {os.getpid()}" in other.stderr
    assert other.returncode == 1
    journal.replace_rows([])


def test_a_look_at_the_lock_does_not_keep_a_publisher_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal.open(path, node="nas").close()
    # The thread that looks may be stopped with the lock in its hand, as no process that looks once would be.
    monkeypatch.setattr("publisher.lock._ATTEMPTS", 200)
    stop = threading.Event()
    with closing(JournalClient.open(path)) as client:
        looking = threading.Thread(target=lambda: [client.running for _ in iter(stop.is_set, True)])
        looking.start()
        for _ in range(20):
            Journal.open(path, node="nas").close()
        stop.set()
        looking.join()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere: the user's directory is the user's")
def test_only_its_owner_may_read_it(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o644)
    with closing(Journal.open(path, node="nas")) as journal:
        begun(journal)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {f"journal.db{suffix}" for suffix in ("", "-wal", "-shm", ".lock", ".mark")}
    assert set(modes.values()) == {0o600}


def test_a_path_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file"):
        Journal.open(tmp_path / "file" / "journal.db", node="nas")
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError, match=r"journal\.db"):
        Journal.open(tmp_path / "journal.db", node="nas")
    assert (tmp_path / "journal.db").is_dir()


def test_a_failed_opening_lets_the_lock_go(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(JournalError):
        Journal.open(tmp_path / "journal.db", node="nas")
    (tmp_path / "journal.db").rmdir()
    Journal.open(tmp_path / "journal.db", node="nas").close()


def test_a_closed_journal_says_so(path: Path) -> None:
    journal = Journal.open(path, node="nas")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        confirm(journal, "home", 1)
    with pytest.raises(JournalError, match="closed"):
        journal.luids.load_luids()


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(100_000))


def short_text(path: Path) -> None:
    path.write_text("not a database")


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def torn_in_the_middle(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + random.Random(1).randbytes(20_000) + content[middle + 20_000 :])


def rows_that_are_none(path: Path) -> None:
    _execute(path, "UPDATE rows SET data = '{\"row\": 1}'")


def _execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


DAMAGES = [garbage, short_text, truncated, torn_in_the_middle, rows_that_are_none]


def used(path: Path) -> str:
    """A journal of half a mebibyte, whose publisher was killed; its epoch."""
    journal = Journal.open(path, node="nas")
    journal.append(changes(begun(journal), 300))
    journal.luids.save_luids([LUID])
    crash(journal)
    return journal.epoch


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_set_aside_and_a_new_epoch_begins(path: Path, damage: Callable[[Path], None]) -> None:
    epoch = used(path)
    damage(path)
    damaged = path.read_bytes()
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.set_aside is not None
        assert journal.set_aside.parent == path.parent
        assert journal.set_aside.name.startswith("journal.db.damaged-")
        assert journal.set_aside.stat().st_size >= min(len(damaged), 14)
        assert str(journal.set_aside) in (journal.new_epoch_reason or "")
        assert (journal.epoch != epoch, journal.seq, journal.rows()) == (True, 0, None)
        journal.append(changes(begun(journal), 3))
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.set_aside) == (3, None)


def test_interfaces_keep_their_luids_where_the_damaged_journal_still_tells(path: Path) -> None:
    used(path)
    rows_that_are_none(path)
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.luids.load_luids() == [LUID]


def test_each_damaged_journal_has_a_name_of_its_own(path: Path) -> None:
    names = set()
    Journal.open(path, node="nas").close()
    for _ in range(3):
        garbage(path)
        with closing(Journal.open(path, node="nas")) as journal:
            names.add(journal.set_aside)
    assert len(names) == 3


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.set_aside, journal.new_epoch_reason) == (None, "there was no journal")


def test_damage_that_shows_while_running_is_told_and_set_aside_at_the_next_start(path: Path) -> None:
    used(path)
    journal = Journal.open(path, node="nas")
    torn_in_the_middle(path)
    with pytest.raises(JournalDamagedError, match="damaged"):
        journal.events.read(0, 300)
    with suppress(JournalError):
        journal.close()
    with closing(Journal.open(path, node="nas")) as again:
        assert again.set_aside is not None


def test_after_a_kill_everything_committed_is_there_and_the_epoch_goes_on(path: Path) -> None:
    epoch = used(path)
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.epoch, journal.seq, journal.new_epoch_reason) == (epoch, 300, None)
        assert [event.seq for event in journal.events.read(0, 999)] == list(range(1, 301))


def test_another_boot_without_a_clean_end_is_a_new_epoch_that_knows_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = used(path)
    with closing(Journal.open(path, node="nas")) as journal:
        confirm(journal, "home", 300)
        rows = journal.rows()
    crash(Journal.open(path, node="nas"))
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "another boot")
    with closing(Journal.open(path, node="nas")) as journal:
        assert "started anew" in (journal.new_epoch_reason or "")
        assert (journal.epoch > epoch, journal.seq, journal.events.oldest) == (True, 0, 1)
        assert (journal.events.read(0, 9), position(journal, "home")) == ([], None)
        assert (journal.rows(), journal.luids.load_luids()) == (rows, [LUID])


def test_a_new_epoch_has_no_resends_of_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(path, node="nas")
    begun(journal)
    journal.append((), {"home": ResendSnapshot("overrun", 5)})
    crash(journal)
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "another boot")
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.new_epoch_reason
        assert journal.sink("home", "").resends() == []


def test_another_boot_after_a_clean_end_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = used(path)
    Journal.open(path, node="nas").close()
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "another boot")
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.epoch, journal.seq) == (epoch, 300)


def test_a_system_that_does_not_tell_its_boot_gets_a_new_epoch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "")
    epoch = used(path)
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.epoch != epoch


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_sinks_read_and_report_beside_the_writer(path: Path, synchronous: Literal["normal", "full"]) -> None:
    with closing(Journal.open(path, node="nas", synchronous=synchronous)) as journal:
        table = begun(journal)
        parts = [journal.sink(f"sink{number}", "") for number in range(4)]
        failures: list[BaseException] = []
        appended = threading.Condition()

        def follow(part: SinkJournal) -> None:
            try:
                seen = 0
                while seen < 60:
                    with appended:
                        appended.wait_for(lambda: journal.seq > seen, 20)  # noqa: B023  # called at once
                    for event in journal.events.read(seen, 7):
                        assert event.seq == seen + 1
                        seen = event.seq
                        part.report(Tail(Cursor(journal.epoch, seen)))
            except BaseException as error:  # noqa: BLE001 - carried to the test
                failures.append(error)

        threads = [threading.Thread(target=follow, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for event in changes(table, 60):
            journal.append([event])
            with appended:
                appended.notify_all()
        for thread in threads:
            thread.join()
        journal.commit()
        assert not failures
        assert [part.place()[0] for part in parts] == [Tail(Cursor(journal.epoch, 60))] * 4
