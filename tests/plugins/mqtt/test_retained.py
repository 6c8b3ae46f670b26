"""The messages that follow from events, the times of reconnects, and the limits of requests, without a broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from publisher import Backoff
from publisher.events import Event, IpInterface
from publisher.testing import FakeSinkContext, make_event, make_events, make_row, make_snapshot
from publisher_mqtt.client.connection import IncomingMessage
from publisher_mqtt.client.readback import ReadBack, RetainedMessages
from publisher_mqtt.client.reconnect import Reconnect
from publisher_mqtt.homeassistant.devices import Devices
from publisher_mqtt.homeassistant.discovery import Discovery, HomeAssistantOptions
from publisher_mqtt.messages import Messages, Topics
from publisher_mqtt.options import MqttOptions, ReplayOptions
from publisher_mqtt.replay import AddressedRequest, answer_messages, events_for, read_request
from publisher_mqtt.replay_limits import AnswerTopics, ReplayQueue
from publisher_mqtt.retained import RetainedState

EPOCH = FakeSinkContext().epoch
ETH0 = make_row("eth0")
ETH1 = make_row("eth1", index=3)
ETH2 = make_row("eth2", index=4)
TOPICS = Topics("interfaces", "testnode")
MESSAGES = Messages(MqttOptions(url="mqtt://h"), TOPICS, "testnode")


def board(*, devices: bool = False, **options: Any) -> RetainedState:
    announced = Devices(Discovery(HomeAssistantOptions(**options), "testnode")) if devices else None
    return RetainedState(MESSAGES, announced, FakeSinkContext())


def retained_by(board: RetainedState, *events: Event) -> dict[str, bytes]:
    """Returns what a broker retains after these events."""
    kept: dict[str, bytes] = {}
    for message, *_ in board.plan(events):
        if message.retain:
            kept[message.topic] = message.payload
    return {topic: payload for topic, payload in kept.items() if payload}


class Found(ReadBack):
    """A read-back that returns these topics."""

    def __init__(self, *topics: str, complete: bool = True, payloads: Mapping[str, bytes] | None = None) -> None:
        self._topics, self._complete = dict.fromkeys(topics, b"{}") | dict(payloads or {}), complete

    def read(self, _filters: object, keep: Callable[[str, bytes], Any]) -> RetainedMessages[Any]:
        kept = {topic: keep(topic, payload) for topic, payload in self._topics.items()}
        return RetainedMessages({topic: value for topic, value in kept.items() if value is not None}, self._complete)


def sent(board: RetainedState, *events: Event) -> list[tuple[str, int | None]]:
    """Returns the planned messages but `info`: the end of each topic with the `seq` in its payload."""
    return [one for one in planned(board, *events) if one[0] != "info"]


def planned(board: RetainedState, *events: Event) -> list[tuple[str, int | None]]:
    """Returns the planned messages: the end of each topic with the `seq` in its payload, of `info` the rows."""
    return [
        (
            message.topic.removeprefix("interfaces/testnode/").removeprefix("homeassistant/device/publisher_testnode/"),
            json.loads(message.payload).get("rows" if message.topic == TOPICS.info else "seq")
            if message.payload
            else None,
        )
        for message, *_ in board.plan(events)
    ]


def path(row: IpInterface, what: str) -> str:
    return f"{row.luid}/{row.family}/{what}"


def test_a_batch_is_the_newest_state_of_each_row_and_then_every_event() -> None:
    events = [*make_events(2, row=ETH0), make_event(3, row=ETH1, changed={}), *make_events(1, 4, row=ETH0)]
    assert sent(board(), *events) == [
        # In the order of the events: a subscriber that comes meanwhile has each state up to the newest that it has.
        (path(ETH1, "state"), 3),
        (path(ETH0, "state"), 4),
        (path(ETH0, "event"), 1),
        (path(ETH0, "event"), 2),
        (path(ETH1, "event"), 3),
        (path(ETH0, "event"), 4),
    ]


def test_info_counts_more_than_there_are_until_the_states_of_removed_rows_are_empty() -> None:
    one = board()
    retained_by(one, *make_snapshot([ETH0], seq=5))
    counts = [rows for topic, rows in planned(one, *make_snapshot([ETH1, ETH2], seq=9)) if topic == "info"]
    # Who has all three, of which eth0's is to be emptied, would be in sync too early.
    assert counts == [4]


def test_events_that_the_states_hold_already_leave_them_alone() -> None:
    one = board()
    sent(one, *make_snapshot([ETH0], seq=10))
    assert sent(one, *make_events(2, 9, row=ETH0)) == [(path(ETH0, "event"), 9), (path(ETH0, "event"), 10)]
    assert (path(ETH0, "state"), 11) in sent(one, *make_events(1, 11, row=ETH0))


def test_an_older_snapshot_is_left_out_but_a_loss_stays_marked() -> None:
    one = board()
    sent(one, *make_snapshot([ETH0], seq=10))
    assert sent(one, *make_snapshot([ETH0, ETH1], seq=9, cause="overrun")) == []
    assert one.resynced is not None
    assert (one.resynced.seq, one.resynced.cause) == (9, "overrun")


def test_another_epoch_begins_anew() -> None:
    one = board()
    sent(one, *make_snapshot([ETH0], seq=10))
    assert sent(one, *make_snapshot([ETH0], seq=1, epoch="01926f6e8c7e4b40")) == [(path(ETH0, "state"), 1)]


def test_after_a_snapshot_what_is_not_in_it_is_cleared() -> None:
    one = board()
    one.read_back(Found(TOPICS.state(ETH0.key), TOPICS.state(ETH1.key)), None)
    assert sent(one, *make_snapshot([ETH0], seq=3)) == [(path(ETH0, "state"), 3), (path(ETH1, "state"), None)]
    assert json.loads(one.info())["rows"] == 1


def test_a_delete_empties_its_state_whatever_its_age_and_whatever_was_read_back() -> None:
    one = board()
    sent(one, *make_snapshot([ETH0], seq=10))
    assert sent(one, make_event(5, "delete_instance", ETH1)) == [(path(ETH1, "state"), None), (path(ETH1, "event"), 5)]
    # An older one, of a row that is there again.
    assert sent(one, make_event(6, "delete_instance", ETH0)) == [(path(ETH0, "event"), 6)]


def test_a_broker_without_retained_messages_for_wildcards_is_known() -> None:
    assert not board().read_back(Found(), b"{}").has_wildcards
    assert board().read_back(Found(TOPICS.info), b"{}").has_wildcards
    assert board().read_back(Found(), None).has_wildcards


def test_info_counts_new_states_before_they_are_there_and_emptied_ones_after() -> None:
    one, v6 = board(), make_row("eth0", "inet6")
    assert planned(one, *make_snapshot([ETH0, v6], seq=3))[:2] == [("info", 2), (path(ETH0, "state"), 3)]
    assert "info" not in dict(planned(one, make_event(4, row=ETH0)))
    added = planned(one, make_event(5, "add_instance", ETH1), make_event(6, "delete_instance", v6))
    assert added == [
        ("info", 3),
        (path(ETH1, "state"), 5),
        (path(v6, "state"), None),
        (path(ETH1, "event"), 5),
        (path(v6, "event"), 6),
        ("info", 2),
    ]


def test_info_counts_no_state_that_was_too_large_again_until_it_is_there() -> None:
    one = board()
    planned(one, *make_snapshot([ETH0], seq=3))
    one.info()
    one.emptied(ETH0.key)
    one.info()
    assert [topic for topic, _ in planned(one, make_event(4, row=ETH0))][-1] == "info"
    one.emptied(ETH0.key)
    assert next(message.topic for message, *_ in one.plan([make_event(5, row=ETH0)])) != TOPICS.info


def test_after_another_broker_is_found_the_first_state_is_counted_anew() -> None:
    one = board()
    planned(one, *make_snapshot([ETH0, ETH1], seq=3))
    one.read_back(Found(), None)
    assert planned(one, *make_snapshot([ETH0, ETH1], seq=3))[0] == ("info", 2)


def test_a_snapshot_in_parts_is_cleared_after_the_last() -> None:
    one = board()
    one.read_back(Found(TOPICS.state(ETH1.key)), None)
    parts = make_snapshot([ETH0, make_row("eth0", "inet6")], seq=3)
    assert one.takes_snapshot(parts[0])
    assert (path(ETH1, "state"), None) not in sent(one, *parts[:2])
    assert one.takes_snapshot(parts[2])
    assert (path(ETH1, "state"), None) in sent(one, *parts[2:])


def test_a_snapshot_with_a_hole_clears_nothing() -> None:
    one = board()
    one.read_back(Found(TOPICS.state(ETH1.key)), None)
    parts = make_snapshot([ETH0, make_row("eth0", "inet6")], seq=3)
    assert sent(one, parts[0], parts[2]) == [(path(parts_row(parts[2]), "state"), 3)]
    assert one.resynced is not None


def parts_row(event: Event) -> IpInterface:
    assert event.row is not None
    assert event.interface is not None
    return IpInterface(row=event.row, interface=event.interface, addresses=event.addresses)


def test_made_and_deleted_in_one_batch_is_an_empty_state() -> None:
    events = [make_event(1, "add_instance", ETH0), make_event(2, "delete_instance", ETH0)]
    assert sent(board(), *events)[0] == (path(ETH0, "state"), None)


def test_a_device_is_announced_once_with_all_its_families() -> None:
    one = board(devices=True)
    rows = [ETH0, make_row("eth0", "inet6")]
    topics = [topic for topic, _ in sent(one, *make_snapshot(rows))]
    assert topics.count(f"{ETH0.luid}/config") == 1
    assert f"{ETH0.luid}/config" not in [topic for topic, _ in sent(one, *make_events(3))]


def test_a_container_is_removed_before_its_state_and_as_a_whole() -> None:
    one = board(devices=True, include=["*"], keep_days=0)
    v6 = make_row("eth0", "inet6")
    sent(one, *make_snapshot([ETH0, v6]))
    messages = sent(one, make_event(1, "delete_instance", ETH0), make_event(2, "delete_instance", v6))
    assert messages[:3] == [(f"{ETH0.luid}/config", None), (path(ETH0, "state"), None), (path(v6, "state"), None)]


def test_the_device_of_a_removed_interface_stays_while_its_states_go() -> None:
    one = board(devices=True)
    sent(one, *make_snapshot([ETH0, ETH1]))
    messages = sent(one, make_event(1, "delete_instance", ETH0))
    assert messages[:2] == [("kept", None), (path(ETH0, "state"), None)]
    back = sent(one, make_event(2, "add_instance", ETH0))
    assert [topic for topic, _ in back] == ["kept", path(ETH0, "state"), path(ETH0, "event")]


def test_devices_that_another_life_announced_are_kept_too() -> None:
    before, one = board(devices=True), board(devices=True)
    config = retained_by(before, *make_snapshot([ETH0, ETH1]))
    one.read_back(Found(payloads=config), None)
    messages = sent(one, *make_snapshot([ETH0]))
    assert ("kept", None) in messages
    assert (path(ETH1, "state"), None) in messages
    assert "config" not in " ".join(topic for topic, _ in messages)


def test_devices_that_were_not_read_back_for_sure_are_announced_or_removed_again() -> None:
    one = board(devices=True)
    sent(one, *make_snapshot([ETH0, ETH1]))
    one.read_back(Found(complete=False), None)
    messages = sent(one, *make_snapshot([ETH0], seq=1))
    assert (path(ETH1, "state"), None) in messages
    assert (f"{ETH1.luid}/config", None) in messages
    assert f"{ETH0.luid}/config" in [topic for topic, _ in messages]


def test_containers_are_no_devices_and_cost_no_memory() -> None:
    one = board(devices=True)
    messages = sent(one, *make_snapshot([make_row("veth12ab", index=9)]))
    assert [topic for topic, _ in messages] == ["0006008009000000/inet/state", "node/config"]
    assert one.devices is not None
    assert not one.devices._rows


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waiting_grows_and_a_long_connection_forgets_it() -> None:
    clock = Clock()
    reconnect = Reconnect(Backoff(1.0, 60.0), clock)
    assert all(reconnect.failed() <= min(60, 2 ** (attempt + 1)) for attempt in range(20))
    reconnect.connected()
    clock.now += 31
    assert reconnect.lost(taken_over=False) <= 1.0


def test_two_clients_with_one_id_back_off_and_know_the_conflict() -> None:
    clock = Clock()
    reconnect = Reconnect(Backoff(1.0, 60.0), clock)
    waits = []
    for _ in range(8):
        reconnect.connected()
        clock.now += 1
        waits.append(reconnect.lost(taken_over=True))
        assert reconnect.conflict
        clock.now += waits[-1]
    assert waits[0] >= 2.5
    assert waits[-1] >= 150


def test_a_rival_that_was_met_counts_like_a_takeover() -> None:
    reconnect = Reconnect(Backoff(1.0, 60.0))
    reconnect.connected()
    reconnect.met_rival()
    assert reconnect.lost(taken_over=False) >= 2.5
    reconnect.connected()
    assert reconnect.lost(taken_over=False) <= 2


def test_short_connections_in_a_row_are_suspicious_unless_the_broker_was_away() -> None:
    reconnect = Reconnect(Backoff(1.0, 60.0))
    for _ in range(5):
        assert not reconnect.suspicious
        reconnect.connected()
        reconnect.lost(taken_over=False)
    assert reconnect.suspicious
    reconnect.failed()
    assert not reconnect.suspicious


def asked(payload: bytes | str, response: str | None = "answers/me", **members: Any) -> IncomingMessage:
    text = payload.encode() if isinstance(payload, str) else payload
    return IncomingMessage(TOPICS.request, text, members.get("retain", False), response, members.get("correlation"))


ALLOWED = AnswerTopics(MqttOptions(url="mqtt://h", replay_topics=("answers/#",)), TOPICS)


def ask(payload: str, response: str | None = "answers/me", **members: Any) -> AddressedRequest:
    read = read_request(asked(payload, response, **members), TOPICS, ALLOWED, 4096)
    assert isinstance(read, AddressedRequest), read
    return read


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("null", "object"),
        ('{"since": 5}', "since"),
        ('{"since": {"epoch": "x", "seq": 1}}', "since.epoch"),
        ('{"since": {"epoch": "01926f6e8c7e4b3f", "seq": -1}}', "since.seq"),
        ('{"last": 0}', "last"),
        ('{"last": "5"}', "last"),
        (f'{{"last": 5, "since": {{"epoch": "{EPOCH}", "seq": 1}}}}', "since or last, not both"),
        ('{"luid": "eth0"}', "luid"),
        ('{"family": "ipx"}', "family"),
        ('{"colour": 1}', "colour"),
        ('{"client": "a/b"}', "client"),
    ],
)
def test_the_answer_to_a_wrong_request_names_the_fault(payload: str, word: str) -> None:
    read = ask(payload)
    assert read.request is None
    assert word in read.error


def test_a_wrong_request_of_mqtt_3_is_answered_too() -> None:
    read = ask('{"client": "me", "colour": 1}', None)
    assert (read.topic, read.request) == ("interfaces/testnode/replay/me", None)


@pytest.mark.parametrize("request_", [asked("{}", None), asked("{}", "a/#"), asked('{"client": "get"}', None)])
def test_without_a_place_to_answer_to_there_is_silence(request_: IncomingMessage) -> None:
    assert isinstance(read_request(request_, TOPICS, ALLOWED, 4096), str)


def answer(payload: str, context: FakeSinkContext, newest: int = 0) -> list[Any]:
    from publisher.sink import Cursor

    read = ask(payload)
    assert read.request is not None
    told = events_for(read.request, context, Cursor(context.epoch, newest), ReplayOptions(max_events=5))
    return [json.loads(message.payload) for message in answer_messages(read, told, MESSAGES, lambda _: True)]


def test_the_snapshot_is_the_answer_to_an_empty_request() -> None:
    head, *rows = answer("{}", FakeSinkContext())
    assert head == {"position": 0, "count": 3, "answer": "snapshot", "too_old": False, "epoch": EPOCH, "seq": 0}
    assert [row["position"] for row in rows] == [1, 2, 3]
    assert {row["event"]["notification_type"] for row in rows} == {"initial_notification"}


def test_the_tail_is_the_answer_to_a_known_event() -> None:
    context = FakeSinkContext()
    context.journal = make_events(4)
    head, *rows = answer(f'{{"since": {{"epoch": "{EPOCH}", "seq": 2}}}}', context)
    assert (head["answer"], head["too_old"], head["count"], head["seq"]) == ("events", False, 2, 4)
    assert [row["event"]["seq"] for row in rows] == [3, 4]


def test_nothing_new_is_an_answer_too() -> None:
    context = FakeSinkContext()
    context.journal = make_events(4)
    assert answer(f'{{"since": {{"epoch": "{EPOCH}", "seq": 4}}}}', context)[0]["count"] == 0


@pytest.mark.parametrize("since", ['{"epoch": "0000000000000000", "seq": 2}', f'{{"epoch": "{EPOCH}", "seq": 1}}'])
def test_a_request_for_too_old_events_is_answered_by_the_snapshot(since: str) -> None:
    context = FakeSinkContext()
    context.journal = make_events(4, first=4)
    head, *_ = answer(f'{{"since": {since}}}', context)
    assert (head["answer"], head["too_old"], head["count"]) == ("snapshot", True, 3)


def test_the_newest_events_are_the_answer_to_a_number_of_them_oldest_first() -> None:
    context = FakeSinkContext()
    context.journal = [*make_events(3, row=ETH0), *make_events(3, 4, row=ETH1)]
    head, *parts = answer('{"last": 2}', context, newest=6)
    assert head == {"position": 0, "count": 2, "answer": "events", "too_old": False, "epoch": EPOCH, "seq": 6}
    assert [part["event"]["seq"] for part in parts] == [5, 6]
    # Of those that the request includes, however long ago they were.
    head, *parts = answer(f'{{"last": 2, "luid": "{ETH0.luid}"}}', context, newest=6)
    assert [part["event"]["seq"] for part in parts] == [2, 3]
    assert answer('{"last": 5, "family": "inet6"}', context)[0]["count"] == 0


def test_a_tail_that_is_too_long_is_the_snapshot() -> None:
    context = FakeSinkContext()
    context.journal = make_events(20)
    assert answer(f'{{"since": {{"epoch": "{EPOCH}", "seq": 1}}}}', context, newest=20)[0]["answer"] == "snapshot"


def test_an_answer_is_narrowed() -> None:
    head, row = answer(f'{{"luid": "{ETH0.luid}", "family": "inet6"}}', FakeSinkContext())
    assert head["count"] == row["count"] == row["position"] == 1
    assert row["event"]["family"] == "inet6"


def test_requests_over_a_limit_are_dropped_and_logged_once() -> None:
    context = FakeSinkContext()
    inbox = ReplayQueue(ReplayOptions(requests_per_second=0.001, burst=3), context.log)
    assert [inbox.put(asked("{}")) for _ in range(5)] == [True] * 3 + [False] * 2
    assert not inbox.put(asked(b"x" * 10_000_000))
    assert not inbox.put(asked("{}", retain=True))
    assert len(context.logged) == 1
