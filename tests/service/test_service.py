"""The service as a whole, with a scripted source and recording sinks, and a real journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from publisher.errors import ConfigurationError, SourceError
from publisher.journal.requests import JournalClient, Request
from publisher.sources import Remove, Resync, Upsert
from publisher.testing import ScriptedSource, make_row
from publisher.watcher import InterfaceFilter
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, ETH1, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_each_sink_gets_the_snapshot_and_then_every_change(house: House) -> None:
    with house.running(house.settings("one", "two")):
        for recorder in house.recorders.values():
            recorder.wait_for_events(2)
        house.source.send(Upsert(make_row("eth0", index=2, nl_mtu=1400)), Upsert(ETH1), Remove(ETH0.luid, "inet"))
        for recorder in house.recorders.values():
            events = recorder.wait_for_seq(3)
            positions = [event.snapshot and event.snapshot.position for event in events]
            assert positions == [0, 1, None, None, None]
            kinds = [event.notification_type for event in events[2:]]
            assert kinds == ["parameter_notification", "add_instance", "delete_instance"]


def test_what_changed_while_it_was_away_is_told_at_start_with_that_cause(house: House) -> None:
    with house.running(house.settings("one")):
        house.recorders["one"].wait_for_events(2)
    house.source = ScriptedSource([make_row("eth0", index=2, nl_mtu=1400), ETH1])
    with house.running(house.settings("one")):
        events = house.recorders["one"].wait_for_seq(2)[2:]
    assert [(event.notification_type, event.cause) for event in events] == [
        ("parameter_notification", "startup"),
        ("add_instance", "startup"),
    ]


def test_after_an_overrun_every_sink_gets_the_rows_again_even_when_nothing_differs(house: House) -> None:
    with house.running(house.settings("one")):
        house.recorders["one"].wait_for_events(2)
        house.source.send(Resync((ETH0,), "overrun"))
        again = house.recorders["one"].wait_for_events(4)[2:]
    assert [(event.notification_type, event.cause) for event in again] == [("initial_notification", "overrun")] * 2


def test_a_reload_starts_new_sinks_closes_removed_ones_and_leaves_the_others_alone(house: House) -> None:
    one, two = house.recorders.values()
    with house.running(house.settings("one")) as service:
        one.wait_for_events(2)
        service.reload(house.settings("one", "two"))
        two.wait_for_events(2)
        service.reload(house.settings("one"))
        two.wait(lambda recorder: recorder.closed == 1)
        assert (one.opened, one.closed, len(one.events)) == (1, 0, 2)


def test_a_reload_with_a_mistake_changes_nothing(house: House) -> None:
    one = house.recorders["one"]
    with house.running(house.settings("one")) as service:
        one.wait_for_events(2)
        with pytest.raises(ConfigurationError, match="nothing_like_it"):
            service.reload(house.settings("one", "nothing_like_it"))
        house.source.send(Upsert(ETH1))
        one.wait_for_seq(1)
    assert one.opened == 1
    assert not house.errors


def test_a_reload_of_the_filter_adds_and_removes_interfaces(house: House) -> None:
    one = house.recorders["one"]
    with house.running(house.settings("one")) as service:
        one.wait_for_events(2)
        service.reload(house.settings("one", filter=InterfaceFilter(exclude=("eth*",))))
        assert one.wait_for_seq(1)[-1].notification_type == "delete_instance"
        service.reload(house.settings("one"))
        added = one.wait_for_seq(2)[-1]
    assert (added.notification_type, added.cause) == ("add_instance", "reconcile")


def test_the_command_line_is_answered_through_the_journal(house: House) -> None:
    one = house.recorders["one"]
    with house.running(house.settings("one")):
        one.wait_for_events(2)
        client = JournalClient.open(house.path)
        try:
            good = client.post(Request(kind="replay", sink="one"))
            bad = client.post(Request(kind="replay", sink="tow"))
            one.wait_for_events(4)
            assert "snapshot" in wait_for(lambda: client.done(good), what="an answer")
            assert "'tow'" in wait_for(lambda: client.done(bad), what="an answer")
            status = wait_for(client.status, what="a status")
            assert status["sinks"].keys() == {"one"}
        finally:
            client.close()


def test_a_source_that_fails_ends_the_service_with_its_error(house: House) -> None:
    with house.running(house.settings("one")):
        house.source.send(SourceError("the kernel went away"))
        wait_for(lambda: house.errors, what="the error")
    assert str(house.errors[0]) == "the kernel went away"
    assert house.recorders["one"].closed == 1


def test_a_source_that_ends_before_it_says_anything_is_an_error(house: House) -> None:
    house.source = ScriptedSource()
    assert next(house.source.updates())
    house.source.close()
    with house.running(house.settings("one")):
        [error] = wait_for(lambda: house.errors, what="the error")
    assert isinstance(error, SourceError)


def test_a_reload_of_what_is_read_at_start_only_says_so(house: House) -> None:
    one = house.recorders["one"]
    with house.running(house.settings("one")) as service:
        one.wait_for_events(2)
        service.reload(house.settings("one", reconcile_seconds=30))
        service.reload(house.settings("one", "two"))
        house.recorders["two"].wait_for_events(2)
    assert any("next start only" in record.getMessage() for record in house.logged)


def test_a_source_that_ends_has_its_last_events_delivered_before_the_service_ends(house: House) -> None:
    house.source.send(*(Upsert(make_row("eth0", index=2, nl_mtu=1000 + n)) for n in range(50)))
    house.source.close()
    with house.running(house.settings("one")):
        house.recorders["one"].wait(lambda recorder: recorder.closed == 1)
    assert house.recorders["one"].events[-1].seq == 50


def test_a_sink_that_no_plugin_offers_stops_the_start_and_names_what_there_is(house: House) -> None:
    with house.running(house.settings("three")):
        [error] = wait_for(lambda: house.errors, what="the error")
    assert isinstance(error, ConfigurationError)
    assert "one, two" in str(error)
    assert not house.path.exists()


def test_a_hanging_sink_does_not_keep_the_service_from_stopping(house: House) -> None:
    one, two = house.recorders.values()
    one.hang()
    with house.running(house.settings("one", "two")):
        house.source.send(Upsert(ETH1))
        two.wait_for_seq(1)
    one.flow()
    assert two.closed == 1
