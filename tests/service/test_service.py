"""The service as a whole, with a scripted source and recording sinks, and a real journal."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from publisher.config.settings import LogSettings
from publisher.delivery.supervisor import Supervisor
from publisher.errors import ConfigurationError, JournalError, PublisherError, SourceError
from publisher.journal.requests import JournalClient, Request
from publisher.service.service import Service
from publisher.sink import Ended, Retry
from publisher.sources import Remove, Resync, Upsert
from publisher.testing import Recorder, ScriptedSource, make_row
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


def test_a_reload_that_comes_too_late_is_refused_and_none_is_cancelled(house: House) -> None:
    with house.running(house.settings("one")) as service:
        house.recorders["one"].wait_for_events(2)
        reloaded = service.reload(house.settings("one", "two"))
        assert not reloaded.cancel(), "the core's thread sets its result"
        reloaded.result(30)
    with pytest.raises(PublisherError, match="stopped before"):
        service.reload(house.settings("one")).result(30)
    assert house.errors == []


def test_a_reload_of_a_service_that_cannot_start_is_refused(house: House) -> None:
    house.path.mkdir()
    with house.running(house.settings("one")) as service:
        wait_for(lambda: house.errors)
        with pytest.raises(PublisherError, match="stopped before"):
            service.reload(house.settings("one")).result(30)


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
        service.reload(house.settings("one", reconcile_seconds=30, log=LogSettings(level="debug")))
        service.reload(house.settings("one", "two", reconcile_seconds=30, log=LogSettings(level="debug")))
        house.recorders["two"].wait_for_events(2)
    assert [line.partition("only: ")[2] for line in house.log.lines("next start")] == ["log.level, reconcile_seconds"]


def test_a_node_that_a_reload_renames_is_a_new_one_to_every_sink(house: House) -> None:
    """What was not delivered before comes first, then the snapshot under the new name; `seq` and the epoch go on."""
    one, two = house.recorders.values()
    with house.running(house.settings("one", "two")) as service:
        for recorder in (one, two):
            recorder.wait_for_events(2)
        one.hang()
        house.source.send(Upsert(ETH1))
        two.wait_for_seq(1)
        reloaded = service.reload(house.settings("one", "two").model_copy(update={"node": "renamed"}))
        wait_for(lambda: service.status()["node"] == "renamed")
        house.source.send(Upsert(make_row("eth0", index=2, nl_mtu=1400)))
        one.flow()
        reloaded.result(30)
        for recorder in (one, two):
            recorder.wait_for_seq(2)
            recorder.wait(lambda seen: any(event.is_marker and event.node == "renamed" for event in seen.events))
            tail = [(event.node, event.seq) for event in recorder.events if not event.snapshot]
            assert list(dict.fromkeys(tail)) == [("testnode", 1), ("renamed", 2)]
            [snapshot] = [event for event in recorder.events if event.is_marker and event.node == "renamed"]
            assert (snapshot.seq in (1, 2), snapshot.cause, snapshot.epoch) == (
                True,
                "notification",
                recorder.events[0].epoch,
            )
    assert house.errors == []


def test_a_node_is_not_renamed_while_the_journal_takes_nothing(house: House) -> None:
    one = house.recorders["one"]
    with house.running(house.settings("one")) as service, closing(sqlite3.connect(house.path)) as other:
        one.wait_for_events(2)
        other.execute("BEGIN IMMEDIATE")
        reloaded = service.reload(house.settings("two").model_copy(update={"node": "renamed"}))
        with pytest.raises(JournalError):
            reloaded.result(30)
        assert (service.status()["node"], service.status()["sinks"].keys()) == ("testnode", {"one"})
        assert house.log.lines("was not reloaded and stays as it was")


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


def test_an_idle_turn_makes_no_status_and_what_happens_to_a_sink_is_in_the_next_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.service.service._TICK_SECONDS", 0.01)
    monkeypatch.setattr("publisher.service.service._LOOK_SECONDS", 3600.0)
    calls: Counter[str] = Counter()
    rests, status = Supervisor.rests, Supervisor.status
    monkeypatch.setattr(Supervisor, "rests", lambda self: [calls.update(["turn"]), rests(self)][1])
    monkeypatch.setattr(Supervisor, "status", lambda self: [calls.update(["status"]), status(self)][1])

    def is_idle() -> bool:
        made, turns = calls["status"], calls["turn"]
        wait_for(lambda: calls["turn"] > turns + 20, what="twenty turns")
        return calls["status"] == made

    one = house.recorders["one"]
    with house.running(house.settings("one")), ExitStack() as closers:
        one.wait_for_events(2)
        client = closers.enter_context(closing(JournalClient.open(house.path)))
        wait_for(is_idle, what="turns without a status")
        one.publish_faults.append(Retry("a fault of the test", after=3600.0))
        house.source.send(Upsert(ETH1))
        told = wait_for(lambda: (client.status() or {})["sinks"]["one"]["error"], what="the error in the status")
        assert "a fault of the test" in told
        wait_for(is_idle, what="turns without a status")


def test_a_hanging_sink_does_not_keep_the_service_from_stopping(house: House) -> None:
    one, two = house.recorders.values()
    one.hang()
    with house.running(house.settings("one", "two")):
        house.source.send(Upsert(ETH1))
        two.wait_for_seq(1)
    one.flow()
    assert two.closed == 1


def test_a_sink_that_hangs_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.delivery.activity.PATIENCE_SECONDS", 0.5)
    one = house.recorders["one"]
    with house.running(house.settings("one")):
        one.wait_for_events(2)
        one.hang()
        house.source.send(Upsert(ETH1))
        wait_for(lambda: house.log.lines("publish() has not returned for"), what="the sink to be named")
        one.flow()
        wait_for(lambda: house.log.lines("publish() has returned"))


def test_a_reload_that_changes_a_hanging_sink_holds_up_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes the journal waited until the hanging sink was out of time."""
    monkeypatch.setattr("publisher.service.service._STOP_SECONDS", 600.0)
    one, two = house.recorders.values()
    with house.running(house.settings("one", "two")) as service:
        two.wait_for_events(2)
        one.hang()
        house.source.send(Upsert(ETH1))
        two.wait_for_seq(1)
        reloaded = service.reload(house.settings("two"))
        house.source.send(Upsert(make_row("eth0", index=2, nl_mtu=1400)))
        two.wait_for_seq(2)
        reloaded.result(30)
        assert two.opened == 1
        one.flow()


def test_a_reload_is_done_when_the_successor_of_a_hanging_sink_has_started(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness was told before anything was reloaded."""
    monkeypatch.setattr("publisher.service.service._STOP_SECONDS", 600.0)
    one, two = house.recorders.values()
    with house.running(house.settings("one")) as service:
        one.wait_for_events(2)
        one.hang()
        house.source.send(Upsert(ETH1))
        wait_for(lambda: state_of(service, "one") == "sending", what="the sink to hang")
        changed = house.settings("one", "two")
        changed.sinks["one"]["pace"] = "slow"
        reloaded = service.reload(changed)
        two.wait_for_events(2)
        assert not reloaded.done(), "the old worker still has its sink"
        one.flow()
        reloaded.result(30)
        one.wait(lambda recorder: recorder.opened == 2)


def test_the_successor_of_a_sink_that_hangs_waits_and_goes_on_from_its_position(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.service.service._STOP_SECONDS", 0.2)
    one, two = house.recorders.values()
    with house.running(house.settings("one", "two")) as service:
        one.wait_for_events(2)
        one.hang()
        house.source.send(Upsert(ETH1))
        wait_for(lambda: state_of(service, "one") == "sending", what="the sink to hang")
        changed = house.settings("one", "two")
        changed.sinks["one"]["pace"] = "slow"
        service.reload(changed).result(30)
        house.source.send(Upsert(make_row("eth0", index=2, nl_mtu=1400)))
        two.wait_for_seq(2)
        assert (one.opened, state_of(service, "one")) == (1, "waiting")
        assert "has not ended" in service.status()["sinks"]["one"]["error"]
        one.flow()
        one.wait(lambda recorder: recorder.seqs == [1, 1, 2])
        assert one.opened == 2


def test_an_ended_sink_answers_for_itself(house: House) -> None:
    """The answer was that the snapshot is being sent again."""
    one = house.recorders["one"]
    one.publish_faults.append(Ended("410 Gone"))
    with house.running(house.settings("one")) as service:
        wait_for(lambda: state_of(service, "one") == "ended", what="the end")
        with closing(JournalClient.open(house.path)) as client:
            number = client.post(Request(kind="replay", sink="one"))
            answer = wait_for(lambda: client.done(number), what="an answer")
    assert answer == "sink 'one' ended: 410 Gone; it starts again when its options change"
    assert one.events == []


def test_a_request_of_a_newer_command_ends_no_service(house: House) -> None:
    """A row that does not parse ended the service, and every later start."""
    one = house.recorders["one"]
    with house.running(house.settings("one")):
        one.wait_for_events(2)
        with closing(sqlite3.connect(house.path)) as connection, connection:
            data = '{"kind":"replay","sink":"one","priority":"high"}'
            number = connection.execute("INSERT INTO requests (data) VALUES (?)", (data,)).lastrowid
        with closing(JournalClient.open(house.path)) as client:
            answer = wait_for(lambda: client.done(number or 0), what="an answer")
        house.source.send(Upsert(ETH1))
        one.wait_for_seq(1)
    assert "priority" in answer
    assert not house.errors


def test_a_replay_that_was_answered_survives_a_kill(house: House) -> None:
    """It was in memory only."""
    one = house.recorders["one"]
    with house.running(house.settings("one")):
        one.wait_for_events(2)
        house.source.send(*(Upsert(make_row("eth0", index=2, nl_mtu=1000 + n)) for n in range(5)))
        one.wait_for_seq(5)
        one.publish_faults += [Retry("later", after=3600.0)]
        with closing(JournalClient.open(house.path)) as client:
            number = client.post(Request(kind="replay", sink="one", since=2))
            wait_for(lambda: client.done(number), what="an answer")
        killed = house.path.with_name("killed.sqlite3")
        copy_of(house.path, killed)
    killed.replace(house.path)
    house.source = ScriptedSource(house.source.rows)
    again = house.recorders["one"] = Recorder()
    with house.running(house.settings("one")):
        again.wait_for_seq(5)
    assert again.seqs[-3:] == [3, 4, 5], "what was confirmed and not yet written may come before"


def state_of(service: Service, sink: str) -> str | None:
    """Returns a sink's state; `None` before the service has started."""
    state: str | None = service.status().get("sinks", {}).get(sink, {}).get("state")
    return state


def copy_of(path: Path, copy: Path) -> None:
    """Copies a journal as a kill at this moment would leave it."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def test_an_end_for_this_process_only_is_over_at_the_next_start(house: House) -> None:
    """A reader of standard output that left ended the terminal sink for good."""
    one = house.recorders["one"]
    one.publish_faults.append(Ended("no one reads", durable=False))
    with house.running(house.settings("one")) as service:
        wait_for(lambda: state_of(service, "one") == "ended", what="the end")
    house.source = ScriptedSource([ETH0])
    with house.running(house.settings("one")):
        one.wait_for_events(2)
