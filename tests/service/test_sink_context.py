"""The context of a sink in a running service: what happened, how often links went down, and the state of it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from publisher import HistoryQuery, SinkContext
from publisher.cli.status import show_status
from publisher.events import Family
from publisher.journal.requests import JournalClient
from publisher.sources import Upsert
from publisher.testing import ScriptedSource, make_row
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, ETH1, House

T = TypeVar("T")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAMILIES: tuple[Family, ...] = ("inet", "inet6")
ROWS = [
    make_row(name, family, index=index)
    for name, index in (("eth0", 2), ("eth1", 3))
    for family in FAMILIES
]  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.source = ScriptedSource(ROWS)
    return house


def flapped(index: int) -> list[Upsert]:
    """Returns the updates of a link that goes down and up again: both families tell of it."""
    return [
        Upsert(row.replaced({"row": row.row.replaced({"connected": connected})}))
        for connected in (False, True)
        for row in ROWS
        if row.row.interface_index == index
    ]


def in_threads(count: int, function: Callable[[], T]) -> list[T]:
    """Returns the results of calls in so many threads at once, none of which is a sink's."""
    with ThreadPoolExecutor(count) as pool:
        return [done.result(30) for done in [pool.submit(function) for _ in range(count)]]


def test_any_thread_may_ask_a_context_for_what_happened_while_the_core_writes(house: House) -> None:
    with house.running(house.settings("one")):
        one = house.recorders["one"]
        one.wait_for_events(5)
        [context] = one.contexts
        for _ in range(20):
            house.source.send(*flapped(2))
        pages = in_threads(4, lambda: context.history(HistoryQuery(luid=ETH0.luid, limit=10)))
        assert all(event.luid == ETH0.luid for page in pages for event in page.events)
        house.source.send(*flapped(3))
        told = one.wait_for_seq(84)[5:]
        newest = context.history(HistoryQuery(limit=84))
        assert newest == (tuple(reversed(told)), False)
        flaps = context.flaps(LONG_AGO)
    assert {luid: sum(flap.count for flap in found) for luid, found in flaps.items()} == {ETH0.luid: 20, ETH1.luid: 1}


def test_a_sink_with_a_filter_hears_of_no_other_interface(house: House) -> None:
    settings = house.settings("one")
    settings = settings.model_copy(update={"sinks": {"one": {"type": "one", "only": {"exclude": ["eth1"]}}}})
    with house.running(settings):
        one = house.recorders["one"]
        one.wait_for_events(3)
        house.source.send(*flapped(3), *flapped(2))
        one.wait_for_seq(8)
        [context] = one.contexts
        assert [event.seq for event in context.history(HistoryQuery()).events] == [8, 7, 6, 5]
        assert [*context.flaps(LONG_AGO)] == [ETH0.luid]


def test_the_status_is_that_of_the_command(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    settings = house.settings("one", "two")
    with house.running(settings):
        for recorder in house.recorders.values():
            recorder.wait_for_events(5)
        [context] = house.recorders["one"].contexts

        def printed() -> object:
            assert show_status(settings, as_json=True)
            return json.loads(capsys.readouterr().out)

        with closing(JournalClient.open(house.path)) as client:
            wait_for(client.status, what="a status in the journal")
        wait_for(lambda: context.status()["sinks"]["one"]["delivered"] == 5, what="what publish() has just taken")
        wait_for(lambda: printed() == context.status(), what="the same status")


def test_a_question_waits_for_no_sink_that_reads_the_journal(house: House) -> None:
    with house.running(house.settings("one")) as service:
        one = house.recorders["one"]
        one.wait_for_events(5)
        context: SinkContext = one.contexts[0]
        house.source.send(*flapped(2))
        one.wait_for_seq(4)
        assert service._parts is not None
        with ThreadPoolExecutor(1) as pool:
            with service._parts.journal.events._file.reading():
                asked = pool.submit(context.history, HistoryQuery())
                answered, _ = wait([asked], timeout=20)
            assert answered
        assert len(asked.result().events) == 4
