"""The history in a journal: what its bytes show, and what a reader must parse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from publisher.events import Change, Event, Family
from publisher.history import HistoryQuery, flaps_of, page_of
from publisher.journal.history import JournalHistory
from publisher.journal.journal import Journal
from publisher.journal.view import JournalView
from publisher.table import Stamp
from publisher.testing import BEGINNING, make_row

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
    for since in (None, BEGINNING + timedelta(seconds=4000))
    for before, limit in ((None, 7), (4700, 300), (2, 5))
]


def test_every_question_is_answered_as_from_all_events_in_memory(journal: Journal) -> None:
    events = filled(journal, 5000)
    with closing(JournalView(journal.path)) as view:
        for history in (journal.history(), JournalHistory(view.reading)):
            for query in QUESTIONS:
                assert history.page(query) == page_of(events, query), query
            since = BEGINNING + timedelta(seconds=1000)
            assert history.flaps(since) == flaps_of(events, since)
    assert journal.history().page(HistoryQuery(before=1)).events == ()


def test_an_empty_journal_has_no_history(journal: Journal) -> None:
    assert journal.history().page(HistoryQuery(luid=LUID)) == ((), False)
    assert journal.history().flaps(BEGINNING) == {}
