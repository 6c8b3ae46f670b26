"""`publisher watch mqtt://...`: the view of states and events, and the healing of gaps."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from publisher import ConfigurationError, WatchRequest
from publisher.events import Change, Event, IpInterface
from publisher.sources import Upsert
from publisher.terminal.live_table import LiveTable, follow
from publisher.testing import make_event, make_events, make_row, make_snapshot
from publisher_mqtt.client.connection import IncomingMessage
from publisher_mqtt.client.errors import BrokerError
from publisher_mqtt.messages import MqttMessage, state_bytes
from publisher_mqtt.monitor import view as view_module
from publisher_mqtt.monitor.monitor import watch_broker
from publisher_mqtt.monitor.view import BrokerView
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port

BASE = "interfaces"
NEWER_EPOCH = "01926f6e8c7e4b40"


def received(topic: str, payload: bytes, *, retain: bool = False) -> IncomingMessage:
    return IncomingMessage(f"{BASE}/{topic}", payload, retain, None, None)


def state_of(event: Event, *, retain: bool = False) -> IncomingMessage:
    payload = b"" if event.notification_type == "delete_instance" else state_bytes(event)
    return received(f"{event.node}/{event.luid}/{event.family}/state", payload, retain=retain)


def event_of(event: Event) -> IncomingMessage:
    return received(f"{event.node}/{event.luid}/{event.family}/event", event.json_bytes)


def answer_of(events: Iterable[Event], kind: str = "events", node: str = "testnode") -> Iterator[IncomingMessage]:
    listed = list(events)
    head = {"position": 0, "count": len(listed), "answer": kind, "too_old": kind == "snapshot"}
    if listed:
        head |= {"epoch": listed[-1].epoch, "seq": listed[-1].seq}
    yield received(f"{node}/replay/me", json.dumps(head).encode())
    for position, event in enumerate(listed, 1):
        part = {"position": position, "count": len(listed), "event": json.loads(event.json_bytes)}
        yield received(f"{node}/replay/me", json.dumps(part).encode())


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def view(clock: Seconds | None = None) -> BrokerView:
    return BrokerView(BASE, "me", clock or Seconds())


def tell(about: BrokerView, messages: Iterable[IncomingMessage]) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the lines, and the payloads of requests, that the messages lead to."""
    told = [entry for message in messages for entry in about.take(message)]
    requests = [json.loads(entry.payload) for entry in told if isinstance(entry, MqttMessage)]
    return [entry for entry in told if isinstance(entry, str)], requests


def shown(table: LiveTable, width: int = 160, height: int = 40) -> str:
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(table.draw(height))
    return capture.get()


def test_states_are_the_rows() -> None:
    about = view()
    row = make_row("eth0", addresses=["192.0.2.10/24"])
    lines, _ = tell(about, [state_of(make_event(1, "add_instance", row), retain=True)])
    [line] = lines
    assert "testnode  eth0  IPv4  is there  up  192.0.2.10/24" in line
    assert "192.0.2.10/24" in shown(about.table)
    tell(about, [state_of(make_event(2, row=make_row("eth0", nl_mtu=1300)))])
    assert "1300" in shown(about.table)
    tell(about, [state_of(make_event(3, "delete_instance", row))])
    assert len(about.table) == 0


def test_events_are_lines_that_say_what_changed() -> None:
    lines, requests = tell(view(), [event_of(make_event(1)), event_of(make_event(2, "delete_instance", make_row()))])
    assert [line.split("  ", 1)[1] for line in lines] == [
        "testnode  eth0  IPv4  mtu 1400, was 1500",
        "testnode  eth0  IPv4  removed",
    ]
    assert requests == []


def test_a_gap_is_seen_and_asked_for_and_healed() -> None:
    about = view()
    _, requests = tell(about, [event_of(make_event(7)), event_of(make_event(11))])
    assert requests == [{"since": {"epoch": make_event(7).epoch, "seq": 7}, "client": "me"}]
    assert (about.missed, about.healed) == (3, 0)
    gone = make_row("eth9", index=9)
    tell(about, [state_of(make_event(1, "add_instance", gone))])
    missed = [
        make_event(8),
        make_event(9, "delete_instance", gone),
        make_event(10),
        make_event(11, row=make_row(nl_mtu=900)),
    ]
    lines, requests = tell(about, answer_of(missed))
    assert lines == ["testnode: caught up by the events that were missed"]
    assert requests == []
    assert (about.missed, about.healed) == (3, 3)
    assert "eth9" not in shown(about.table)
    assert "900" in shown(about.table)


def test_a_gap_that_is_too_old_is_healed_by_the_rows() -> None:
    about = view()
    tell(about, [state_of(make_event(1, "add_instance", make_row("eth9", index=9)))])
    tell(about, [event_of(make_event(7)), event_of(make_event(5000))])
    rows = make_snapshot([make_row("eth0"), make_row("eth1", index=3)], seq=5000)[1:]
    tell(about, answer_of(rows, "snapshot"))
    text = shown(about.table)
    assert ("eth0" in text, "eth1" in text, "eth9" in text) == (True, True, False)
    assert about.healed == about.missed


def test_a_gap_while_an_answer_is_awaited_is_asked_for_after_it() -> None:
    about = view()
    _, requests = tell(about, [event_of(make_event(seq)) for seq in (1, 3, 5)])
    assert [request["since"]["seq"] for request in requests] == [1]
    _, requests = tell(about, answer_of([make_event(2), make_event(3)]))
    assert [request["since"]["seq"] for request in requests] == [3]
    tell(about, answer_of([make_event(4), make_event(5)]))
    assert (about.missed, about.healed) == (2, 2)


def test_a_request_that_nobody_answers_is_not_waited_for_for_ever() -> None:
    clock = Seconds()
    about = view(clock)
    tell(about, [event_of(make_event(1)), event_of(make_event(3))])
    clock.now = 60.0
    _, requests = tell(about, [event_of(make_event(5))])
    assert [request["since"]["seq"] for request in requests] == [1]


def test_a_gap_at_the_end_is_seen_by_the_info() -> None:
    info = {"epoch": make_event(1).epoch, "seq": 4}
    about = view()
    _, requests = tell(about, [event_of(make_event(1)), received("testnode/info", json.dumps(info).encode())])
    assert [request["since"]["seq"] for request in requests] == [1]
    _, requests = tell(
        view(), [received("testnode/info", json.dumps(info).encode(), retain=True), event_of(make_event(9))]
    )
    assert requests == []


@pytest.mark.parametrize("retain", [True, False])
def test_a_hole_is_no_gap_where_the_sink_skips_events(retain: bool) -> None:
    about = view()
    info = json.dumps({"epoch": make_event(1).epoch, "seq": 1, "skips": True}).encode()
    messages = [received("testnode/info", info, retain=retain), event_of(make_event(1)), event_of(make_event(9))]
    lines, requests = tell(about, messages)
    assert (len(lines), requests, about.missed) == (2, [], 0)


def test_repeats_other_nodes_and_new_epochs_are_no_gaps() -> None:
    events = [
        make_event(5),
        make_event(5),
        make_event(6),
        make_event(5),
        make_event(80, node="other"),
        make_event(1, epoch=NEWER_EPOCH),
        make_event(2, epoch=NEWER_EPOCH),
        make_event(99),
    ]
    about = view()
    _, requests = tell(about, map(event_of, events))
    assert (about.missed, requests) == (0, [])


def test_a_node_that_is_offline_is_shown_as_offline() -> None:
    about = view()
    tell(about, [state_of(make_event(1)), received("testnode/status", b"offline", retain=True)])
    assert "testnode (offline)" in shown(about.table)
    assert tell(about, [received("testnode/status", b"online")])[0] == ["testnode: online"]
    assert "offline" not in shown(about.table)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"3", b'{"position": 1}', b"\xff", b'{"row": {}}'])
@pytest.mark.parametrize(
    "topic", ["n/0006008000000000/inet/event", "n/0006008000000000/inet/state", "n/info", "n/replay/me"]
)
def test_what_anybody_may_publish_does_no_harm(topic: str, payload: bytes) -> None:
    about = view()
    tell(about, [state_of(make_event(1)), received(topic, payload)])
    assert about.unreadable == (topic != "n/0006008000000000/inet/state" or payload != b"")
    assert len(about.table) == 1


def test_members_of_a_newer_version_are_left_alone() -> None:
    members = json.loads(state_bytes(make_event(1))) | {"weather": "fine"}
    members["interface"]["colour"] = "blue"
    about = view()
    tell(about, [received("testnode/0006008000000000/inet/state", json.dumps(members).encode())])
    assert len(about.table) == 1


def test_events_in_cloudevents_are_read_too() -> None:
    wrapped: dict[str, Any] = {"specversion": "1.0", "data": json.loads(make_event(3).json_bytes)}
    lines, _ = tell(view(), [received("testnode/0006008000000000/inet/event", json.dumps(wrapped).encode())])
    assert "mtu 1400, was 1500" in lines[0]
    wrapped["data"]["weather"] = "fine"  # a newer version's
    lines, _ = tell(view(), [received("testnode/0006008000000000/inet/event", json.dumps(wrapped).encode())])
    assert "row.nl_mtu 1500 -> 1400" in lines[0]


def test_an_alias_is_neither_markup_nor_a_control_sequence() -> None:
    about = view()
    tell(about, [state_of(make_event(1, "add_instance", make_row("[red]a\x1b[2J/+/#")))])
    assert r"[red]a\x1b[2J/+/#" in shown(about.table)


def test_a_small_terminal_shows_what_changed_last() -> None:
    about = view()
    for seq in range(1, 51):
        tell(about, [state_of(make_event(seq, "add_instance", make_row(f"eth{seq}", index=seq)))])
    text = shown(about.table, height=15)
    assert len(text.splitlines()) <= 15
    assert "eth50" in text
    assert "eth1 " not in text
    assert "40 more rows" in text


def test_this_hosts_events_are_drawn_with_the_same_table() -> None:
    eth0, eth1 = make_row("eth0"), make_row("eth1", index=3)
    events = [
        *make_snapshot([eth0, eth1]),
        make_event(1, row=make_row("eth0", nl_mtu=1234)),
        make_event(2, "delete_instance", eth1),
    ]
    console = Console(width=160, height=20, color_system=None, force_terminal=True)
    with console.capture() as capture:
        follow(events, console)
    last = capture.get().rpartition("Node")[2]
    assert "1234" in last
    assert "eth1" not in last


def test_an_error_of_this_hosts_events_is_raised() -> None:
    def events() -> Iterator[Event]:
        yield make_event(1)
        raise OSError("gone")

    console = Console(width=80, height=20, force_terminal=True)
    with console.capture(), pytest.raises(OSError, match="gone"):
        follow(events(), console)


class Node:
    """A publisher of one interface, with the answers to a replay request."""

    def __init__(self, port: int, row: IpInterface) -> None:
        self.row = row
        self.events = [make_event(seq, row=row) for seq in range(1, 10)]
        self.asked: list[dict[str, Any]] = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._answer
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(f"{BASE}/testnode/replay/get", 1)
        self.client.loop_start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(f"{BASE}/testnode/{topic}", payload, 1, retain).wait_for_publish(10)

    def send_state(self, event: Event) -> None:
        self.publish(f"{event.luid}/{event.family}/state", state_bytes(event), retain=True)

    def send_event(self, event: Event) -> None:
        self.publish(f"{event.luid}/{event.family}/event", event.json_bytes)

    def _answer(self, client: Client, _userdata: object, message: MQTTMessage) -> None:
        request = json.loads(message.payload)
        self.asked.append(request)
        events = [event for event in self.events if event.seq > request["since"]["seq"]]
        for part in answer_of(events):
            client.publish(part.topic.replace("/me", f"/{request['client']}"), part.payload, 1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Watch:
    """`watch_broker` in a thread, with its output."""

    def __init__(self, url: str, file: Path, **options: Any) -> None:
        self.path = file
        self.error: BaseException | None = None
        self._ended = threading.Event()
        self._arguments = (url, options)
        self._file = file.open("w", encoding="utf-8")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        url, options = self._arguments
        console = Console(file=self._file, width=160, height=30, color_system=None, **options)
        try:
            watch_broker(WatchRequest(url), console=console, ended=self._ended.is_set)
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            self.error = error

    def wait_for(self, text: str) -> None:
        wait_for(lambda: text in self.text, what=f"{text!r} on the screen")

    @property
    def text(self) -> str:
        if not self._file.closed:
            self._file.flush()
        return self.path.read_text("utf-8")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(20)
        self._file.close()
        assert not self._thread.is_alive()
        assert self.error is None


def test_a_pipe_gets_lines_and_a_gap_is_healed_over_a_real_broker(broker: Mosquitto, tmp_path: Path) -> None:
    node = Node(broker.port, make_row("eth0", addresses=["192.0.2.10/24"]))
    node.send_state(node.events[0])
    node.publish("status", b"online", retain=True)
    with Watch(broker.url, tmp_path / "lines") as watch:
        watch.wait_for("is there  up  192.0.2.10/24")
        node.send_event(node.events[1])
        watch.wait_for("mtu 1")
        node.send_event(node.events[5])
        watch.wait_for("testnode: 3 events missed after 2")
        watch.wait_for("caught up by the events that were missed")
    assert [request["since"]["seq"] for request in node.asked] == [2]
    node.close()


def test_the_real_sink_understands_the_request_and_is_understood(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        [first, *_] = [host.apply(Upsert(make_row("eth0", nl_mtu=mtu)))[0] for mtu in (1500, 1400, 1300)]
        host.quiet()
        with Watch(broker.url, tmp_path / "lines") as watch:
            watch.wait_for("is there")
            node = Node(broker.port, make_row())
            node.send_event(first)  # as if the second and the third had been lost
            watch.wait_for("added")
            host.apply(Upsert(make_row("eth0", nl_mtu=1200)))
            watch.wait_for(f"testnode: 2 events missed after {first.seq}")
            watch.wait_for("caught up by the events that were missed")
            node.close()


def test_a_terminal_gets_a_table_and_a_lost_broker_is_found_again(broker: Mosquitto, tmp_path: Path) -> None:
    node = Node(broker.port, make_row("eth0"))
    node.send_state(node.events[0])
    node.close()
    with Watch(broker.url, tmp_path / "screen", force_terminal=True) as watch:
        watch.wait_for("eth0")
        broker.kill()
        watch.wait_for("is lost")
        watch.wait_for("nothing listens")
        broker.start()
        node = Node(broker.port, make_row("eth5"))
        node.send_state(node.events[0])
        watch.wait_for("eth5")
    node.close()
    assert "eth0" not in watch.text.rpartition("Node")[2]


def test_a_broker_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(BrokerError, match="nothing listens"):
        watch_broker(WatchRequest(f"mqtt://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize("url", ["http://host", "mqtt://user:secret@host", "mqtt://"])
def test_a_url_that_is_none_is_a_mistake_in_the_command(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        watch_broker(WatchRequest(url))
    assert "secret" not in str(raised.value)


PLANTED = [
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"epoch":"01926f6e8c7e4b3f","seq":1e999}',
    b'{"epoch":"01926f6e8c7e4b3f","seq":' + b"9" * 5000 + b"}",
    b'{"epoch":"\\ud800","seq":1}',
    b"\xff",
    b"\x00",
    b"NaN",
    b" " * (2 << 20),
]


def nasty_state(time: str) -> bytes:
    state = json.loads(state_bytes(make_event(1)))
    return json.dumps(state | {"time": time}).encode()


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_whatever_is_published_the_view_goes_on(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    if hasattr(time, "tzset"):
        time.tzset()
    about = view()
    times = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
    luid = make_row("eth0").luid
    topics = [f"n/{luid}/inet/event", f"n/{luid}/inet/state", "n/info", "n/replay/me", "n/status", "n/x", ""]
    for payload in [*PLANTED, *map(nasty_state, times)]:
        for topic in topics:
            tell(about, [received(topic, payload), received(topic, payload, retain=True)])
    tell(about, [state_of(make_event(1))])
    assert "eth0" in shown(about.table)
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


def test_nodes_rows_and_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "_MOST_NODES", 10)
    monkeypatch.setattr(view_module, "_MOST_ROWS", 20)
    about = view()
    for number in range(100):
        tell(about, [received(f"node{number}/status", b"online")])
        tell(about, [state_of(make_event(1, row=make_row("eth0", index=number), node="node0"))])
    tell(about, [received(f"{'x' * 300}/status", b"online")])
    assert about.summary.startswith("10 nodes · 20 IP interfaces")
    long = make_event(1, node="node0", changed={"row.x": Change(before="x" * 100_000, after="y")})
    [line] = tell(about, [event_of(long)])[0]
    assert len(line) <= 1000


def test_a_seq_that_was_made_up_does_not_hide_the_next_gap() -> None:
    about = view()
    tell(about, [event_of(make_event(5))])
    forged = {"epoch": make_event(1).epoch, "seq": 1 << 62}
    _, requests = tell(about, [received("testnode/info", json.dumps(forged).encode())])
    assert [request["since"]["seq"] for request in requests] == [5]
    tell(about, answer_of([make_event(6)]))
    _, requests = tell(about, [event_of(make_event(9))])
    assert [request["since"]["seq"] for request in requests] == [6]


def test_an_epoch_that_was_made_up_ends_with_the_nodes_answer() -> None:
    about = view()
    tell(about, [event_of(make_event(5))])
    forged = {"epoch": "f" * 16, "seq": 7}
    tell(about, [received("testnode/info", json.dumps(forged).encode())])
    _, requests = tell(about, map(event_of, make_events(8, first=6)))
    assert len(requests) == 1
    tell(about, answer_of([make_event(13)], "snapshot"))
    _, requests = tell(about, [event_of(make_event(20))])
    assert requests[0]["since"] == {"epoch": make_event(1).epoch, "seq": 13}


def test_mutated_messages_are_counted_and_end_nothing() -> None:
    chance = random.Random(20261125)
    about = view()
    real = [state_of(make_event(1)), event_of(make_event(2)), *answer_of([make_event(3)])]
    pieces = [b"[" * 500, b"{", b'"', b"\\ud800", b"1e999", b"9" * 4400, b"null", b"\xff", b"0001-01-01T00:00:00Z", b""]
    for _ in range(5000):
        message = chance.choice(real)
        at, upto = sorted(chance.randrange(len(message.payload) + 1) for _ in range(2))
        payload = message.payload[:at] + chance.choice(pieces) + message.payload[chance.choice([at, at + 1, upto]) :]
        about.take(message._replace(payload=payload, retain=chance.random() < 0.5))
    shown(about.table)
    assert about.unreadable > 1000
