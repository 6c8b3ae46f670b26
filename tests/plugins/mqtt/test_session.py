"""The session and its read-back over a scripted connection: refusals, losses, and brokers that stay silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from publisher import Backoff, Rejected, Retry
from publisher.testing import FakeSinkContext, make_event, make_events, make_row, make_snapshot
from publisher_mqtt.client import dialing, readback
from publisher_mqtt.client.connection import Connection, IncomingMessage, SubscriptionRefusal
from publisher_mqtt.client.errors import BrokerError
from publisher_mqtt.client.login import Login
from publisher_mqtt.client.readback import ReadBack
from publisher_mqtt.client.reconnect import Reconnect
from publisher_mqtt.client.refusals import Refusal
from publisher_mqtt.client.session import Session
from publisher_mqtt.client.suspects import Outstanding
from publisher_mqtt.messages import Messages, MqttMessage, Topics
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.retained import Planned, RetainedState

TOPICS = Topics("interfaces", "testnode")
OPTIONS = MqttOptions(url="mqtt://h")
ETH0, ETH1 = make_row("eth0"), make_row("eth1", index=3)
NOT_AUTHORIZED, TOO_LARGE = 0x87, 0x95
LOGIN = Login("id", None, None, None)


class ScriptedConnection(Connection):
    """A connection to a broker that does as the test says; `made` are all of them, the newest last."""

    made: ClassVar[list[ScriptedConnection]] = []
    returns_fence = True
    protocol = "5"
    server = OPTIONS.server
    client_id = "id"
    keepalive = 30

    def __init__(self, *_: object, on_message: Callable[[IncomingMessage], None], **__: object) -> None:
        self._take = on_message
        self.broken: BrokerError | None = None
        self.most_bytes = 1 << 20
        self.sent: list[str] = []
        self.refuses: dict[str, int] = {}
        self.fails_at = ""
        self._refusals: list[Refusal] = []
        self.made.append(self)

    def open(self) -> None: ...

    def put(self, message: MqttMessage, tag: Any = None) -> Refusal | None:
        if self.fails_at and message.topic.endswith(self.fails_at):
            raise BrokerError("the broker left")
        if self.size(message) > self.most_bytes:
            return Refusal(message, tag, TOO_LARGE, "larger than the broker takes")
        self.sent.append(message.topic.removeprefix("interfaces/testnode/"))
        for end, code in self.refuses.items():
            if message.topic.endswith(end):
                self._refusals.append(Refusal(message, tag, code, "no"))
        if message.topic == TOPICS.fence and self.returns_fence:
            self._take(IncomingMessage(message.topic, message.payload, False, None, None))
        return None

    def flush(self) -> list[Refusal]:
        refusals, self._refusals = self._refusals, []
        return refusals

    def take_refusals(self) -> list[Refusal]:
        return []

    def unacknowledged(self) -> list[tuple[MqttMessage, Any]]:
        return []

    def outstanding(self) -> Outstanding:
        return Outstanding((), None, acknowledged=True)

    @property
    def last_refusal(self) -> Refusal | None:
        return None

    def subscribe(self, topic_filter: str, qos: int = 0) -> SubscriptionRefusal | None:
        del topic_filter, qos
        return None

    def unsubscribe(self, topic_filter: str) -> None: ...

    def wait_for(self, is_over: Callable[[], bool], seconds: float) -> bool:
        del seconds
        return is_over()

    def turn(self, seconds: float = 0.0) -> None:
        del seconds

    def close(self) -> None: ...

    def drop(self) -> None: ...


class Fixture:
    """A session over scripted connections, with the retained state that it keeps."""

    def __init__(self) -> None:
        self.context = FakeSinkContext()
        messages = Messages(OPTIONS, TOPICS, "testnode")
        self.retained = RetainedState(messages, None, self.context)
        reconnect = Reconnect(Backoff(0.0, 0.0))
        self.session = Session(
            OPTIONS, self.context, messages, self.retained, reconnect, lambda _: LOGIN, list, lambda _: None
        )
        self.session.open()

    def publish(self, *events: Any) -> None:
        self.session.make_ready(snapshot_follows=self.retained.takes_snapshot(events[0]))
        self.session.publish(self.retained.plan(events))

    @property
    def connection(self) -> ScriptedConnection:
        return ScriptedConnection.made[-1]

    def logged(self) -> list[str]:
        return [record.getMessage() for record in self.context.logged]


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Fixture:
    monkeypatch.setattr(dialing, "Connection", ScriptedConnection)
    monkeypatch.setattr(ScriptedConnection, "made", [])
    fixture = Fixture()
    fixture.publish(*make_snapshot([ETH0]))
    assert fixture.connection.sent[-2:] == ["info", "status"]
    fixture.connection.sent.clear()
    return fixture


def test_an_event_that_is_refused_for_good_is_rejected_at_its_index(one: Fixture) -> None:
    one.connection.refuses = {"/event": TOO_LARGE}
    with pytest.raises(Rejected, match=r"refuses interfaces/testnode/.*/event") as raised:
        one.publish(*make_events(2))
    assert raised.value.index == 0


def test_what_the_broker_cannot_take_is_not_sent(one: Fixture) -> None:
    one.connection.most_bytes = 100
    with pytest.raises(Rejected, match="larger than the broker takes") as raised:
        one.publish(make_event(1))
    assert raised.value.index == 0
    assert one.connection.sent == [f"{ETH0.luid}/inet/state"]
    info = json.loads(one.retained.info())
    assert (info["rows"], info["interfaces"], info["missing"]) == (0, 0, 1)
    assert any("/state: larger than the broker takes" in line for line in one.logged())


def test_after_a_refusal_that_may_be_corrected_everything_is_published_again(one: Fixture) -> None:
    one.connection.refuses = {"/event": NOT_AUTHORIZED}
    with pytest.raises(Retry, match="refuses"):
        one.publish(make_event(1))
    one.connection.refuses = {}
    one.connection.sent.clear()
    one.publish(make_event(1))
    assert one.connection.sent[-1].endswith("/event")
    assert one.connection.sent.count("status") == 1


def test_a_refused_state_is_logged_once_and_stops_nothing(one: Fixture) -> None:
    one.connection.refuses = {"/state": TOO_LARGE}
    one.publish(make_event(1))
    one.publish(make_event(2))
    assert len([line for line in one.logged() if "/state: no" in line]) == 1


def test_info_that_cannot_be_published_again_makes_a_new_connection(one: Fixture) -> None:
    one.publish(make_event(1))
    one.connection.fails_at = "/info"
    one.context.run_jobs()
    assert one.session.connection is None
    one.context.run_jobs()
    assert one.session.connection is one.connection
    assert len(ScriptedConnection.made) == 2


def test_what_is_not_sent_again_is_dropped_without_a_connection(one: Fixture) -> None:
    one.connection.fails_at = "answer"
    one.session.send_if_connected([Planned(MqttMessage("answer", b"", False), None)])
    assert one.session.connection is None
    one.session.send_if_connected([Planned(MqttMessage("other", b"", False), None)])
    assert "other" not in one.connection.sent


def test_a_retained_state_that_comes_late_is_cleared_unless_its_interface_is_there(one: Fixture) -> None:
    """aedes sends retained messages after what was published later (docs/mqtt.md): a fence proves nothing there."""
    one.publish(*make_snapshot([ETH0]))
    sent = len(one.connection.sent)
    for row in (ETH0, ETH1):
        one.connection._take(IncomingMessage(TOPICS.state(row.key), b"{}", True, None, None))
    one.context.run_jobs()
    assert f"{ETH1.luid}/inet/state" in one.connection.sent[sent:]
    assert f"{ETH0.luid}/inet/state" not in one.connection.sent[sent:]


def test_a_closed_session_stays_closed(one: Fixture) -> None:
    one.publish(make_event(1))
    one.session.close()
    assert one.connection.sent[-2:] == ["info", "status"]
    while one.context.run_jobs():
        pass
    assert len(ScriptedConnection.made) == 1


def test_a_session_that_was_never_connected_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedConnection, "made", [])
    Fixture().session.close()
    assert ScriptedConnection.made == []


def scripted_readback() -> tuple[ScriptedConnection, ReadBack]:
    def take(message: IncomingMessage) -> None:
        reader.take(message)

    connection = ScriptedConnection(on_message=take)
    reader = ReadBack(connection, TOPICS.fence)
    return connection, reader


def read_states(reader: ReadBack) -> bool:
    return reader.read([TOPICS.all_states], lambda topic, _: topic.endswith("/state") or None).complete


def test_a_read_back_is_complete_when_the_fence_returns() -> None:
    _, reader = scripted_readback()
    assert read_states(reader)


def test_silence_is_not_taken_for_the_end_of_what_is_retained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow broker: the fence does not return, so more may be retained than what was received."""
    monkeypatch.setattr(readback, "_PATIENCE_SECONDS", 0.0)
    connection, reader = scripted_readback()
    connection.returns_fence = False
    assert not read_states(reader)


def test_a_broker_that_leaves_while_the_fence_is_out_is_an_error() -> None:
    connection, reader = scripted_readback()
    connection.returns_fence = False
    connection.broken = BrokerError("the broker left")
    with pytest.raises(BrokerError, match="the broker left"):
        read_states(reader)


def test_a_refused_fence_is_not_complete() -> None:
    connection, reader = scripted_readback()
    connection.refuses = {"/fence": NOT_AUTHORIZED}
    connection.returns_fence = False
    assert not read_states(reader)


def test_a_silent_broker_keeps_no_ghost(one: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that was published and not read back may be there: it is cleared when its interface is removed."""
    one.publish(*make_events(1, row=ETH1))
    monkeypatch.setattr(readback, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(ScriptedConnection, "returns_fence", False)
    one.connection.broken = BrokerError("the broker left")
    one.publish(*make_snapshot([ETH0], seq=5))
    assert f"{ETH1.luid}/inet/state" in one.connection.sent
    assert any("cannot read back" in line for line in one.logged())
