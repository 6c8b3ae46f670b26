"""The history in a journal: what its bytes show, and what a reader must parse."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from publisher.errors import JournalDamagedError
from publisher.events import Change, Event, Family
from publisher.history import HistoryPage, HistoryQuery, flaps_of, page_of
from publisher.journal.history import JournalHistory
from publisher.journal.journal import Journal
from publisher.journal.view import JournalView
from publisher.table import Stamp
from publisher.testing import BEGINNING, HOSTILE_ALIAS, make_row
from tests.fixtures.poll import wait_for

VERSION_1 = Path(__file__).with_name("version1.sqlite3")
DOWN = {"row.connected": Change(before=True, after=False)}
MTU = {"row.nl_mtu": Change(before=1500, after=1400)}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(tmp_path / "journal.sqlite3", node="nas")) as journal:
        yield journal


def filled(journal: Journal, count: int, *, seconds: float = 1.0, alias: str = "eth{}") -> list[Event]:
    """Returns events of six interfaces in both families, each so many seconds later; they are in the journal."""
    stamp = Stamp(journal.node, journal.epoch, journal.seq)
    stamp.clock = lambda: BEGINNING + timedelta(seconds=stamp.seq * seconds)
    families: tuple[Family, ...] = ("inet", "inet6")
    events: list[Event] = []
    for number in range(count):
        row = make_row(alias.format(number % 6), families[number // 6 % 2], index=2 + number % 6)
        events.append(
            stamp.event("parameter_notification", "notification", row, DOWN if number % 5 == 0 else MTU)
            if number % 7
            else stamp.event("add_instance", "notification", row)
        )
    for start in range(0, count, 1000):
        journal.append(events[start : start + 1000])
    return events


LUID = make_row(index=3).luid
QUESTIONS = [
    HistoryQuery(luid=luid, family=family, kinds=kinds, since=since, before=before, limit=limit)
    for luid in (None, LUID, "0" * 16)
    for family in (None, "inet6")
    for kinds in ((), ("link_down",), ("added", "mtu_changed"), ("renamed",))
    for since in (None, BEGINNING + timedelta(seconds=800))
    for before, limit in ((None, 7), (940, 300), (2, 5))
]


def test_every_question_is_answered_as_from_all_events_in_memory(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.journal.history._SLICE_EVENTS", 300)
    monkeypatch.setattr("publisher.journal.history._PART_EVENTS", 50)
    events = filled(journal, 1000)
    with closing(JournalView(journal.path)) as view:
        for history in (journal.history(), JournalHistory(view.reading)):
            for query in QUESTIONS:
                assert history.page(query) == page_of(events, query), query
            since = BEGINNING + timedelta(seconds=200)
            assert history.flaps(since) == flaps_of(events, since)
    assert journal.history().page(HistoryQuery(before=1)).events == ()


def test_an_empty_journal_has_no_history(journal: Journal) -> None:
    assert journal.history().page(HistoryQuery(luid=LUID)) == ((), False)
    assert journal.history().flaps(BEGINNING) == {}


def test_to_go_on_page_by_page_gives_every_event_once(journal: Journal) -> None:
    events = filled(journal, 700)
    found: list[Event] = []
    before = None
    while True:
        page = journal.history().page(HistoryQuery(before=before, limit=33))
        found += page.events
        if not page.more:
            break
        before = page.events[-1].seq
    assert found == events[::-1]


def test_a_page_of_large_events_is_short(journal: Journal) -> None:
    addresses = [f"2001:db8::{number:x}/64" for number in range(6000)]
    stamp = Stamp(journal.node, journal.epoch)
    row = make_row("eth0", "inet6", addresses=addresses)
    large = [stamp.event("parameter_notification", "notification", row, MTU) for _ in range(8)]
    assert len(large[0].json_bytes) > 800_000
    journal.append(large)
    first = journal.history().page(HistoryQuery())
    assert (first.more, 1 <= len(first.events) < 8) == (True, True)
    assert len(journal.history().page(HistoryQuery(before=2)).events) == 1


def test_a_clock_that_was_wrong_for_a_while_hides_nothing_before_that(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = Stamp(journal.node, journal.epoch)
    row = make_row("eth0")

    def told(count: int, began: datetime) -> None:
        for start in range(0, count, 500):
            stamp.clock = lambda: began
            journal.append(
                [
                    stamp.event("parameter_notification", "notification", row, DOWN)
                    for _ in range(min(500, count - start))
                ]
            )

    told(3, BEGINNING)
    told(4000, datetime(1970, 1, 1, tzinfo=UTC))
    told(2, BEGINNING + timedelta(minutes=1))
    found = journal.history().page(HistoryQuery(since=BEGINNING))
    assert [event.seq for event in found.events] == [4005, 4004, 3, 2, 1]
    assert sum(flap.count for flap in journal.history().flaps(BEGINNING)[row.luid]) == 5
    # Of more of them, the reading ends: the cost is that of the time that is asked for.
    monkeypatch.setattr("publisher.journal.history._SLICE_EVENTS", 1000)
    assert len(journal.history().page(HistoryQuery(since=BEGINNING)).events) == 2


def test_an_older_journal_has_a_history_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    shutil.copy(VERSION_1, path)
    with closing(Journal.open(path, node="old")) as journal:
        events = journal.events.read(0, 100)
        assert len(events) == 21
        for kinds in ((), ("mtu_changed",), ("other",), ("link_down",), ("added", "removed")):
            query = HistoryQuery(kinds=kinds)
            assert journal.history().page(query) == page_of(events, query)
        luids = {event.luid for event in events}
        assert set(journal.history().names()) == luids
        assert len(list(journal.history().events(HistoryQuery(), {luid for luid in luids if luid}))) == 21


NAMES = [
    "eth0",
    "w,x",
    'q"',
    'q",',
    "back\\",
    'b\\",x',
    HOSTILE_ALIAS,
    "\udcff?".encode("utf-8", "replace").decode(),
    "Ж" * 60,
]


def test_each_name_of_each_interface_is_found(journal: Journal) -> None:
    stamp = Stamp(journal.node, journal.epoch)
    journal.append(
        [
            stamp.event("parameter_notification", "notification", make_row(name, index=2 + number % 2), MTU)
            for number in range(3)
            for name in NAMES
        ]
    )
    found = journal.history().names()
    assert {luid: set(names) for luid, names in found.items()} == {
        make_row(index=index).luid: set(NAMES) for index in (2, 3)
    }
    assert found[make_row(index=2).luid][0] == NAMES[-1]


def test_of_very_many_interfaces_each_event_is_found(journal: Journal) -> None:
    stamp = Stamp(journal.node, journal.epoch)
    rows = [make_row(f"veth{number}", index=number) for number in range(700)]
    journal.append([stamp.event("add_instance", "notification", row) for row in rows])
    wanted = {row.luid for row in rows[:600]}
    assert {event.luid for event in journal.history().events(HistoryQuery(), wanted)} == wanted


def test_an_event_that_is_damaged_is_an_error_and_is_not_left_out(journal: Journal) -> None:
    filled(journal, 10)
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("UPDATE events SET data = replace(data, '\"seq\":4,', '\"seq\":5,') WHERE seq = 4")
    assert len(journal.history().page(HistoryQuery(limit=5)).events) == 5
    with pytest.raises(JournalDamagedError, match="the journal holds the event"):
        journal.history().page(HistoryQuery())


def test_between_two_slices_nothing_is_held_that_the_writer_waits_for(journal: Journal) -> None:
    filled(journal, 2000)
    events = journal.history().events(HistoryQuery())
    assert next(events).seq == 2000
    journal._file.empty_log()
    with closing(sqlite3.connect(journal.path)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy
    assert [event.seq for event in events] == list(range(1999, 0, -1))


def test_pages_are_whole_while_the_core_appends_and_deletes(tmp_path: Path) -> None:
    with closing(Journal.open(tmp_path / "journal.sqlite3", node="nas", max_events=500)) as journal:
        stop, stamp = threading.Event(), Stamp(journal.node, journal.epoch)
        filled(journal, 300)
        stamp.seq = journal.seq
        pages: list[HistoryPage] = []

        def ask() -> None:
            while not stop.is_set():
                pages.append(journal.history().page(HistoryQuery(limit=300)))
                pages.append(journal.history().page(HistoryQuery(luid="0" * 16, kinds=("link_up",))))

        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask) for _ in range(2)]
            try:
                wait_for(lambda: pages, what="the first page")
                for _ in range(40):
                    journal.append(
                        [stamp.event("parameter_notification", "notification", make_row(), MTU) for _ in range(30)]
                    )
            finally:
                stop.set()
            for done in asking:
                done.result()
        found = [[event.seq for event in page.events] for page in pages if page.events]
        assert found
        assert journal.events.oldest > 1
        for seqs in found:
            assert seqs == list(range(seqs[0], seqs[-1] - 1, -1))


def cost(function: Callable[[], object]) -> float:
    """Returns the processor time of a call, the least of three."""
    times = []
    for _ in range(3):
        before = time.process_time()
        function()
        times.append(time.process_time() - before)
    return min(times)


def test_what_the_bytes_can_show_is_not_parsed(journal: Journal) -> None:
    filled(journal, 4000)
    history = journal.history()
    everything = cost(lambda: list(history.events(HistoryQuery())))
    asked = {
        "an interface that is not there": HistoryQuery(luid="0" * 16),
        "a kind that is not there": HistoryQuery(kinds=("renamed",)),
        "the newest": HistoryQuery(limit=10),
        "the last seconds": HistoryQuery(since=BEGINNING + timedelta(seconds=3990)),
        "flaps of the last seconds": HistoryQuery(since=BEGINNING + timedelta(seconds=3900), kinds=("link_down",)),
    }
    costs = {name: cost(partial(history.page, query)) / everything for name, query in asked.items()}
    assert max(costs.values()) < 0.3, costs
    assert costs["the newest"] < 0.05, costs
