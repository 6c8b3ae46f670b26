"""Our own PUBLISH packets: the same bytes as paho's, identifiers of their own, and nothing overtakes anything."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from publisher.testing import make_row
from publisher_mqtt.client import connection as connections
from publisher_mqtt.client.acknowledgements import nothing
from publisher_mqtt.client.connection import Connection
from publisher_mqtt.client.errors import BrokerError
from publisher_mqtt.client.inflight import FIRST_IDENTIFIER, LAST_IDENTIFIER, InFlight
from publisher_mqtt.client.login import Login
from publisher_mqtt.client.packets import publish_packet
from publisher_mqtt.client.properties import packed_properties
from publisher_mqtt.client.session import Session
from publisher_mqtt.client.sockets import raw
from publisher_mqtt.messages import MqttMessage
from publisher_mqtt.options import MqttOptions
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost, some_rows
from tests.fixtures.mqtt_proxy import CONNECT, PUBLISH, SUBSCRIBE, Packet, Proxy, read_packet
from tests.fixtures.starved import judged_while_awake

Protocol = Literal["5", "3.1.1"]
PROTOCOLS: tuple[Protocol, ...] = ("5", "3.1.1")
PINGREQ, DISCONNECT = 12, 14
# Our names of properties, and paho's.
NAMES = {
    "user": "UserProperty",
    "content_type": "ContentType",
    "expiry": "MessageExpiryInterval",
    "correlation": "CorrelationData",
}
# No wildcards, NUL and surrogates: paho refuses them, and no topic of ours has any.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="+#\0"), max_size=300)
CONNACKS = {"5": b"\x20\x03\x00\x00\x00", "3.1.1": b"\x20\x02\x00\x00"}


class WiredClient(Client):
    """paho's client, connected to the other end of a pair of sockets."""

    def __init__(self, protocol: Protocol) -> None:
        version = MQTTProtocolVersion.MQTTv5 if protocol == "5" else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, client_id="x", protocol=version)
        self.max_inflight_messages_set(0)
        self._near, self.far = socket.socketpair()
        for one in (self._near, self.far):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        self.far.settimeout(20)
        self.connect("nowhere")
        read_packet(self.far.recv)

    def _create_socket_connection(self) -> socket.socket:
        return self._near


@cache
def wired(protocol: Protocol) -> WiredClient:
    """Returns one for all examples; both sockets are closed with the process."""
    return WiredClient(protocol)


@settings(deadline=None)
@given(
    protocol=st.sampled_from(PROTOCOLS),
    topic=TEXT.filter(bool),
    payload=st.one_of(st.binary(max_size=300), st.integers(0, 60_000).map(bytes)),
    retain=st.booleans(),
    members=st.fixed_dictionaries(
        {},
        optional={
            "user": st.lists(st.tuples(TEXT, TEXT), max_size=4),
            "content_type": TEXT,
            "expiry": st.integers(0, 2**32 - 1),
            "correlation": st.binary(max_size=300),
        },
    ),
)
def test_the_bytes_of_a_message_are_those_that_paho_sends(
    protocol: Protocol, topic: str, payload: bytes, retain: bool, members: dict[str, Any]
) -> None:
    client, theirs = wired(protocol), Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    for name, value in members.items():
        setattr(theirs, NAMES[name], value)
    mid = client.publish(topic, payload, 1, retain, theirs if members else None).mid
    _, raw = read_packet(client.far.recv)
    ours = MqttMessage(topic, payload, retain, packed_properties(**members) if members else None)
    assert raw == publish_packet(ours, mid, has_properties=protocol == "5")


def test_identifiers_are_used_once_at_a_time_and_never_those_of_paho() -> None:
    used: list[int] = []
    inflight = InFlight(lambda _message, identifier: used.append(identifier), lambda _seconds: None, 200, 1.0)
    message = MqttMessage("a", b"", retain=False)
    inflight.put(message, "stays")
    for _ in range(2 * (LAST_IDENTIFIER - FIRST_IDENTIFIER)):
        inflight.put(message)
        inflight.acknowledged(used[-1], 0)
    assert min(used) == used[0] == FIRST_IDENTIFIER
    assert max(used) == LAST_IDENTIFIER
    assert used.count(FIRST_IDENTIFIER) == 1
    assert inflight.unacknowledged() == [(message, "stays")]


if sys.platform == "win32":
    pytest.skip("the brokers exist on Linux only", allow_module_level=True)


def identifier_of(packet: Packet) -> int:
    """Returns the packet identifier of a PUBLISH with QoS 1, or of a SUBSCRIBE."""
    at = 2 + int.from_bytes(packet.body[:2]) if packet.kind == PUBLISH else 0
    return int.from_bytes(packet.body[at : at + 2])


def test_publishes_and_subscriptions_have_identifiers_of_their_own(broker: Mosquitto, tmp_path: Path) -> None:
    seen: list[Packet] = []

    def refuses(packet: Packet) -> bool:
        seen.append(packet)
        return False

    with (
        Proxy(broker.port, refuses) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="5") as host,
    ):
        host.put(*some_rows(3))
        host.quiet()
    ours = {identifier_of(packet) for packet in seen if packet.kind == PUBLISH}
    of_paho = {identifier_of(packet) for packet in seen if packet.kind == SUBSCRIBE}
    assert len(ours) > 6
    assert len(of_paho) > 3
    assert max(of_paho) < FIRST_IDENTIFIER <= min(ours)


def opened(
    port: int, protocol: Protocol = "5", *, timeout: float = 10.0, drops: Callable[[bytes], bool] = nothing
) -> Connection:
    options = MqttOptions(url=f"mqtt://127.0.0.1:{port}", protocol=protocol, timeout=timeout)
    login = Login("me", None, None, None)
    connection = Connection(options, login, protocol=protocol, on_message=lambda _message: None, drops=drops)
    connection.open()
    return connection


def test_a_connection_ends_before_the_identifiers_of_paho_reach_ours(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MOST_IDENTIFIERS", 3)
    with closing(opened(broker.port)) as connection:
        connection.subscribe("a")
        connection.subscribe("b")
        with pytest.raises(BrokerError, match="identifiers"):
            connection.subscribe("c")


@contextmanager
def slow_broker(protocol: Protocol) -> Iterator[tuple[int, list[Packet]]]:
    """Reads few bytes at a time, and answers; yields its port and the packets that came."""
    packets: list[Packet] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not packets or packets[-1].kind != DISCONNECT:
                packet, _ = read_packet(in_small_pieces(client))
                packets.append(packet)
                client.sendall(answer(packet))

    def answer(packet: Packet) -> bytes:
        if packet.kind == CONNECT:
            return CONNACKS[protocol]
        identifier = identifier_of(packet).to_bytes(2)
        if packet.kind == SUBSCRIBE:
            return b"\x90" + (b"\x04" + identifier + b"\x00\x00" if protocol == "5" else b"\x03" + identifier + b"\x00")
        return b"\x40\x02" + identifier if packet.kind == PUBLISH else b""

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], packets
        finally:
            thread.join(60)
    assert not thread.is_alive()


def in_small_pieces(client: socket.socket) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        data = b""
        while len(data) < size and (more := client.recv(min(size - len(data), 97))):
            data += more
        return data

    return read


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_overtakes_anything_on_a_socket_with_little_room(protocol: Protocol) -> None:
    with slow_broker(protocol) as (port, packets):
        connection = opened(port, protocol)
        raw(connection._client.socket()).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for number in range(60):
            connection.put(MqttMessage(f"t/{number}", bytes(20_000), retain=False))
            if number % 20 == 10:
                connection.subscribe(f"s/{number}")
        connection.flush()
        connection.close()
    wanted = [f"t/{number}" for number in range(60)]
    for number in (50, 30, 10):
        wanted.insert(number + 1, "SUBSCRIBE")
    found = [packet.topic if packet.kind == PUBLISH else "SUBSCRIBE" for packet in packets[1:-1]]
    assert found == wanted
    assert (packets[0].kind, packets[-1].kind) == (CONNECT, DISCONNECT)


def test_own_states_do_not_come_back(broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bool]] = []
    take = Session._received

    def took(self: Session, message: Any) -> None:
        received.append((message.topic, message.retain))
        take(self, message)

    monkeypatch.setattr(Session, "_received", took)
    with MqttHost(tmp_path, broker) as host:
        host.put(*some_rows(3))
        host.quiet()
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0", index=2, addresses=["192.0.2.1/24"], nl_mtu=1234))
        host.quiet()
    states = [is_retained for topic, is_retained in received if topic.endswith("/state")]
    assert states == [True] * 3, "those of the first run are read back, and no others are received"


def test_a_connection_on_which_we_publish_is_kept_alive(broker: Mosquitto, tmp_path: Path) -> None:
    """paho does not see what we send, and takes the connection for a quiet one."""
    with MqttHost(tmp_path, broker, keepalive=5, home_assistant=False) as host:
        mtus = iter(range(1280, 9000))

        def is_kept() -> None:
            host.put(make_row(nl_mtu=next(mtus)))
            host.quiet()
            connection, end = host.connection, time.monotonic() + 11
            while time.monotonic() < end:
                host.put(make_row(nl_mtu=next(mtus)))
                host.quiet()
                assert host.connection is connection

        judged_while_awake(is_kept, within=1.0)


@contextmanager
def scripted_broker(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """Runs a script on the first connection, in a thread; yields the port. What it asserts shows at the end."""
    failures: list[BaseException] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.settimeout(20)
            try:
                script(client)
            except BaseException as failure:  # noqa: BLE001  # raised again below
                failures.append(failure)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_a_broker_that_acknowledges_slowly_still_hears_from_us_in_time() -> None:
    """The broker counts one and a half times the keepalive from what it received, not from what it answered."""
    keepalive = 4.0
    connack = b"\x20\x06\x00\x00\x03\x13" + int(keepalive).to_bytes(2)

    def is_heard() -> None:
        over = threading.Event()

        def script(client: socket.socket) -> None:
            read_packet(client.recv)
            client.sendall(connack)
            packet, _ = read_packet(client.recv)
            received = time.monotonic()
            time.sleep(0.7 * keepalive)  # the time that it takes is what is tested
            client.sendall(b"\x40\x02" + identifier_of(packet).to_bytes(2))
            try:
                packet, _ = read_packet(client.recv)
                assert packet.kind == PINGREQ
                assert time.monotonic() - received < 1.5 * keepalive
            finally:
                over.set()

        with scripted_broker(script) as port:
            connection = opened(port)
            connection.put(MqttMessage("a", b"", retain=False))
            connection.flush()
            connection.wait_for(over.is_set, 20)
            connection.drop()

    judged_while_awake(is_heard, within=1.0)


def test_own_states_that_come_back_show_that_the_link_works() -> None:
    """The acknowledgement takes longer than the limit for an answer: as long as something comes, it is waited for."""
    state = b"\x30\x0b\x00\x07a/state\x00x"

    def script(client: socket.socket) -> None:
        read_packet(client.recv)
        client.sendall(CONNACKS["5"])
        packet, _ = read_packet(client.recv)
        for _ in range(10):
            client.sendall(state)
            time.sleep(0.3)  # as above
        client.sendall(b"\x40\x02" + identifier_of(packet).to_bytes(2))
        read_packet(client.recv)

    def is_waited_for() -> None:
        with scripted_broker(script) as port:
            connection = opened(port, timeout=2.0, drops=lambda topic: topic == b"a/state")
            connection.put(MqttMessage("a/state", b"x", retain=True))
            try:
                assert connection.flush() == []
            except BrokerError as error:
                raise AssertionError("it was not waited for") from error
            finally:
                connection.close()

    judged_while_awake(is_waited_for, within=1.0)
