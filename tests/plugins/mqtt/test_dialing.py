"""Which version of MQTT is spoken, and what is read anew for each connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from publisher.errors import ConfigurationError, PublisherError
from publisher.testing import FakeSinkContext, make_row
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Mosquitto, write_passwords
from tests.fixtures.mqtt_host import MqttHost, published_states
from tests.fixtures.mqtt_proxy import CONNECT, Packet, Proxy
from tests.fixtures.poll import wait_for
from tests.fixtures.starved import judged_while_awake


def check(**options: object) -> str:
    """Returns the line of `publisher check`, or its error."""
    sink = MqttSink(MqttOptions.model_validate(options), FakeSinkContext(node="testnode"))
    try:
        return sink.check()
    except PublisherError as error:
        return str(error)
    finally:
        sink.close()


def is_version_5(packet: Packet) -> bool:
    """Returns whether this is a CONNECT of MQTT 5 (3.1.2.2)."""
    return packet.kind == CONNECT and packet.body[:7] == b"\x00\x04MQTT\x05"


def test_a_broker_that_closes_at_mqtt_5_is_asked_for_3_1_1_and_not_again(tmp_path: Path) -> None:
    asked: list[bool] = []

    def refuses(packet: Packet) -> bool:
        if packet.kind == CONNECT:
            asked.append(is_version_5(packet))
        return is_version_5(packet)

    with (
        Mosquitto(tmp_path) as broker,
        Proxy(broker.port, refuses) as proxy,
        MqttHost(tmp_path, proxy.url, protocol="auto") as host,
    ):
        host.put(make_row())
        host.quiet()
        assert asked == [True, False]
        proxy.cut()
        wait_for(lambda: len(asked) > 2, what="another connection")
        host.put(make_row(nl_mtu=1400))
        host.quiet()
        assert True not in asked[2:]
        assert published_states(broker) == host.expected()


def test_what_needs_mqtt_5_is_not_sent_without_it(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker, Proxy(broker.port, is_version_5) as proxy:
        for options in ({"message_expiry": 60}, {"format": "cloudevents_binary"}, {"protocol": "5"}):
            assert "does not answer as an MQTT broker" in check(url=proxy.url, **options)


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that answers each connection so; yields its port."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection:
                try:
                    answer(connection)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield port
        over.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join(20)


def drips(connection: socket.socket) -> None:
    """Sends a WebSocket handshake one byte at a time, without end."""
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    while not threading.Event().wait(0.05):  # the fault itself
        connection.sendall(b"x")


def floods(connection: socket.socket) -> None:
    """Sends header lines without end."""
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        connection.sendall(b"X: y\r\n" * 1000)


def is_silent(connection: socket.socket) -> None:
    """Reads, and answers nothing."""
    while connection.recv(1000):
        pass


@pytest.mark.parametrize("answer", [drips, floods, is_silent])
@pytest.mark.parametrize("scheme", ["ws", "wss", "mqtts", "mqtt"])
# paho leaves the socket of a failed WebSocket handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_handshake_has_one_deadline(answer: Callable[[socket.socket], None], scheme: str) -> None:
    with serving(answer) as port:
        began = time.monotonic()
        assert f"127.0.0.1:{port}" in check(url=f"{scheme}://127.0.0.1:{port}", connect_timeout=0.5)
        # One deadline for each of the two versions, with room for a slow machine; without it this never ends.
        assert time.monotonic() - began < 30


def test_a_password_is_read_again_for_each_connection(tmp_path: Path) -> None:
    passwords = write_passwords(tmp_path / "passwords", password="first")
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {passwords}")
    url = f"mqtt://nas@127.0.0.1:{broker.port}"
    with broker, MqttHost(tmp_path, url, password_file=secret) as host:
        host.put(make_row())
        host.quiet()
        write_passwords(passwords, password="second")
        secret.unlink()
        broker.kill()
        broker.start()
        wait_for(lambda: any(f"password_file {secret}" in line for line in host.logged()), what="the file is named")
        secret.write_text("first\n")
        wait_for(lambda: any("wrong user name or password" in line for line in host.logged()), what="a refusal")
        secret.write_text("second\n")
        host.put(make_row(nl_mtu=1400))
        host.quiet()


def test_a_file_that_cannot_be_read_at_the_start_is_an_error_of_the_start(tmp_path: Path) -> None:
    sink = MqttSink(MqttOptions(url="mqtt://nas@h", password_file=tmp_path / "none"), FakeSinkContext())
    with pytest.raises(ConfigurationError, match="password_file"):
        sink.open()
    sink.close()


def test_one_state_is_warned_of_once_however_often_it_is_tried(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        # The worker pauses for a second at least; the attempt that warns, and two that might.
        wait_for(lambda: host.worker.status().failures >= 3, what="three attempts")
        own = [line for line in host.logged() if line.startswith("WARNING no MQTT connection")]
        assert len(own) == 1
        with broker:
            host.quiet()


def test_the_status_names_a_lost_broker_while_nothing_waits_to_be_sent(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)

    def is_named() -> bool:
        status = host.worker.status()
        return status.behind == 0 and f"nothing listens on 127.0.0.1:{broker.port}" in (status.error or "")

    with broker, MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        host.quiet()
        broker.kill()
        wait_for(is_named, what="the status names the broker")
        broker.start()
        wait_for(lambda: host.worker.status().error is None, what="the status is well again")


def test_a_keepalive_that_the_broker_sets_is_kept(tmp_path: Path) -> None:
    """paho.mqtt.python#905: the broker ends the connection after 1.5 times its own keepalive."""
    with (
        Mosquitto(tmp_path, "max_keepalive 10") as broker,
        MqttHost(tmp_path, broker, keepalive=600) as host,
    ):
        mtus = iter(range(1280, 9000))

        def is_kept() -> None:
            host.put(make_row(nl_mtu=next(mtus)))
            host.quiet()
            before, logged = broker.connections(), len(host.logged())
            threading.Event().wait(17)  # what is tested: nothing happens for longer than the broker waits
            assert broker.connections() == before
            assert not any("lost" in line for line in host.logged()[logged:])

        judged_while_awake(is_kept, within=2.0)


@pytest.mark.parametrize(
    ("limit", "words"),
    [(1000, "a state has about"), (4096, "too little for a device of Home Assistant"), (100_000, "publishes to")],
)
def test_a_check_compares_the_broker_s_limit_with_what_will_be_sent(tmp_path: Path, limit: int, words: str) -> None:
    with Mosquitto(tmp_path, f"max_packet_size {limit}") as broker:
        line = check(url=broker.url)
    assert words in line
    assert (f"at most {limit} bytes" in line) == (limit < 100_000)
