"""A reload that changes a sink's filter, or the time in which its changes settle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from publisher.config.settings import Settings
from publisher.events import Settled
from publisher.sources import Upsert
from publisher.testing import make_row
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, ETH1, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def with_options(house: House, **options: Any) -> Settings:
    """Returns the settings of one sink with these options."""
    return house.settings("one").model_copy(update={"sinks": {"one": {"type": "one", **options}}})


def test_a_reload_delivers_what_settles_at_once(house: House) -> None:
    recorder = house.recorders["one"]
    with house.running(with_options(house, settle="10m")) as service:
        recorder.wait_for_events(2)
        house.source.send(*(Upsert(make_row("eth0", metric=metric)) for metric in range(1, 6)))
        wait_for(lambda: service.status()["sinks"]["one"]["behind"] == 5)
        service.reload(with_options(house, settle="9m")).result(20)
        recorder.wait_for_seq(5)
        assert [event.settled for event in recorder.events if event.snapshot is None] == [Settled(first=1, count=5)]
        assert len([event for event in recorder.events if event.is_marker]) == 1


def test_a_reload_with_another_filter_is_a_snapshot_of_the_rows_that_pass(house: House) -> None:
    recorder = house.recorders["one"]
    house.source.send(Upsert(ETH0), Upsert(ETH1))
    with house.running(with_options(house)) as service:
        recorder.wait_for_seq(1)
        before = len(recorder.events)
        service.reload(with_options(house, only={"interfaces": ["eth1"]})).result(20)
        recorder.wait_for_events(before + 2)
        marker, row = recorder.events[before:]
        assert marker.snapshot
        assert (marker.snapshot.count, row.interface and row.interface.alias) == (1, "eth1")
        house.source.send(Upsert(make_row("eth0", metric=7)), Upsert(make_row("eth1", index=3, metric=7)))
        recorder.wait_for_seq(3)
        assert recorder.seqs[-1:] == [3], "that of eth0 does not pass"
        before = len(recorder.events)
        service.reload(with_options(house, only={"interfaces": ["eth1"], "kinds": ["link_down"]})).result(20)
        house.source.send(Upsert(make_row("eth1", index=3, metric=7, connected=False)))
        recorder.wait_for_seq(4)
        assert len(recorder.events) == before + 1, "other kinds are no other rows"
