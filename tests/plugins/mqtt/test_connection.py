"""TLS, client certificates, WebSockets, passwords and permissions, and the result of `publisher check` for each."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from publisher.errors import ConfigurationError, PublisherError
from publisher.sink import Retry
from publisher.testing import FakeSinkContext, make_event, make_row
from publisher_mqtt.client.errors import connect_failure, lost, no_answer
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.fixtures.brokers import Broker, Mosquitto, write_passwords
from tests.fixtures.mqtt_host import MqttHost, published_states, some_rows
from tests.fixtures.mqtt_subscriber import Subscriber, retained
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.starved import judged_while_awake


class Authority:
    """A certificate authority with certificates for 127.0.0.1 and others, as files."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, *, expired: bool = False) -> tuple[Path, Path]:
        """Returns a certificate and its key."""
        until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1) if expired else None
        certificate = self._ca.issue_cert(name, common_name=name, not_after=until)
        cert_file, key_file = self._directory / f"{name}-{expired}.pem", self._directory / f"{name}-{expired}.key"
        certificate.private_key_pem.write_to_path(str(key_file))
        certificate.cert_chain_pems[0].write_to_path(str(cert_file))
        return cert_file, key_file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def tls_listener(authority: Authority, name: str = "127.0.0.1", *, expired: bool = False) -> tuple[str, ...]:
    cert_file, key_file = authority.issue(name, expired=expired)
    return (f"cafile {authority.ca_file}", f"certfile {cert_file}", f"keyfile {key_file}")


def check(**options: Any) -> str:
    """Returns the line of `publisher check`."""
    sink = MqttSink(MqttOptions(**options), FakeSinkContext(node="testnode"))
    try:
        return sink.check()
    finally:
        sink.close()


def complaint(**options: Any) -> str:
    """Returns the error of `publisher check`, which is one line."""
    with pytest.raises(PublisherError) as told:
        check(**options)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers for the length of a test."""
    started: list[Broker] = []

    def start(*lines: str, listener: tuple[str, ...] = ()) -> Mosquitto:
        broker = Mosquitto(tmp_path, *lines, listener=listener)
        broker.start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        broker.kill()


def publishes(tmp_path: Path, **options: Any) -> None:
    """Publishes with the whole sink and these options."""
    with MqttHost(tmp_path, options.pop("url"), **options) as host:
        host.put(make_row())
        host.quiet()


def test_a_good_broker(start: Callable[..., Mosquitto]) -> None:
    broker = start()
    line = check(url=broker.url)
    assert line == f"publishes to interfaces/testnode on 127.0.0.1:{broker.port} (MQTT 5)"
    assert retained(broker, "#") == {}, "nothing stays behind"


def test_a_check_does_not_disturb_a_publisher_that_runs(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start()
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        host.settle()
        before = retained(broker, "#")
        check(url=broker.url)
        assert retained(broker, "#") == before
        assert host.worker.status().failures == 0
        assert not any("lost" in line for line in host.logged())


def test_the_wrong_host() -> None:
    assert complaint(url="mqtt://no-such-host.invalid").startswith("wrong host: no-such-host.invalid")


def test_the_wrong_port() -> None:
    assert "nothing listens on 127.0.0.1:" in complaint(url=f"mqtt://127.0.0.1:{free_port()}")


class _Web(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


@pytest.fixture
def web_port() -> Iterator[int]:
    """The port of a web server, which is not a broker."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.contextmanager
def stub_broker(properties: bytes) -> Iterator[str]:
    """A broker that accepts one connection with these properties of a CONNACK (MQTT 5) and answers nothing more."""
    connack = bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(connack)
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (b"\x24\x00", "the broker has no QoS 1"),
        (b"\x25\x00", "the broker keeps no retained messages"),
        (b"", "did not answer a subscription for 0.5 s"),
    ],
)
def test_a_broker_that_lacks_what_is_needed(properties: bytes, words: str) -> None:
    with stub_broker(properties) as url:
        assert words in complaint(url=url, timeout=0.5)


@pytest.mark.parametrize(
    ("error", "url", "words"),
    [
        (TimeoutError(), "mqtt://h", "h:1883 did not answer within 10 s: wrong host or port"),
        (ConnectionResetError(), "mqtts://h", "it does not speak TLS; use its TLS port"),
        (OSError(101, "Network is unreachable"), "mqtt://h", "Network is unreachable"),
    ],
)
def test_each_failure_to_connect_is_a_line_that_names_the_broker(error: Exception, url: str, words: str) -> None:
    line = connect_failure(error, MqttOptions(url=url))
    assert words in line
    assert line.startswith("h:")


@pytest.mark.parametrize(
    ("code", "words"), [(9, "not valid yet: compare the clocks"), (10, "has expired"), (20, "set ca_file")]
)
def test_each_failure_of_verification_names_the_remedy(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "y"
    assert words in connect_failure(error, MqttOptions(url="mqtts://h"))


@pytest.mark.parametrize(
    ("name", "by_broker", "words"),
    [
        ("Unspecified error", False, "the broker or the network ended it; the broker's log may say why"),
        ("Keep alive timeout", False, "the broker does not answer; it hangs, or the network is down"),
        ("Protocol error", False, "what came is not MQTT"),
        ("Server shutting down", True, "the broker ended it (Server shutting down)"),
        ("Unspecified error", True, "the broker ended it without a reason; its log may have one"),
    ],
)
def test_each_end_of_a_connection_is_a_line_that_names_the_broker(name: str, by_broker: bool, words: str) -> None:
    code = ReasonCode(PacketTypes.DISCONNECT, name)
    text = lost(code, MqttOptions(url="mqtt://broker.lan"), by_broker=by_broker)
    assert text == f"the connection to broker.lan:1883 is lost: {words}"


def test_tls_that_fails_otherwise_gives_its_reason() -> None:
    error = ssl.SSLError(1, "x")
    error.reason = "NO_CIPHERS_AVAILABLE"
    assert connect_failure(error, MqttOptions(url="mqtts://h")) == "h:8883: TLS failed: NO_CIPHERS_AVAILABLE"


def test_the_alert_shows_that_a_client_certificate_is_missing() -> None:
    options = MqttOptions(url="mqtts://h")
    assert "set cert_file and key_file" in no_answer("tlsv13 alert certificate required", options)
    assert "refuses the client certificate" in no_answer("sslv3 alert bad certificate", options)


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("mqtt", "does not answer as an MQTT broker: wrong port"),
        ("mqtts", "it does not speak TLS: use its TLS port"),
        ("ws", "does not speak MQTT over WebSockets"),
    ],
)
# paho leaves the socket of a failed WebSocket handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_port_of_something_else(web_port: int, scheme: str, words: str) -> None:
    # It waits for a line of HTTP that the packet of MQTT alone does not have.
    limit = 1 if scheme == "mqtt" else 60
    assert words in complaint(url=f"{scheme}://127.0.0.1:{web_port}", connect_timeout=limit)


def test_a_password(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start("allow_anonymous false", f"password_file {write_passwords(tmp_path / 'passwords')}")
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    url = f"mqtt://nas@127.0.0.1:{broker.port}"
    assert "publishes" in check(url=url, password_file=secret)
    assert "publishes" in check(url=broker.url, username="nas", password="hush", protocol="3.1.1")
    for protocol in ("5", "3.1.1"):
        assert "wrong user name or password" in complaint(url=url, password="no", protocol=protocol)
        assert "the broker does not accept the user 'nas'" in complaint(url=url, password="no", protocol=protocol)
    assert "does not accept a connection without a user: set username and password_file" in complaint(url=broker.url)
    assert "no-such-file" in complaint(url=url, password_file=tmp_path / "no-such-file")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_check_changes_nothing_at_the_broker_and_disturbs_no_session(
    start: Callable[..., Mosquitto], tmp_path: Path, protocol: str
) -> None:
    broker = start()
    with MqttHost(tmp_path, broker, protocol=protocol) as host, Subscriber(broker, "#") as live:
        host.put(make_row())
        host.settle()
        for topic in ("interfaces/testnode/check", "homeassistant/device/testnode/check/config", "other"):
            live.publish(topic, "planted", retain=True)
        before, connection = retained(broker, "#"), host.connection
        live.pass_fence("fence")
        seen = len(live.messages)
        assert "publishes" in check(url=broker.url, protocol=protocol)
        assert retained(broker, "#") == before
        live.pass_fence("fence")
        assert not [heard for heard in live.messages[seen:] if heard.topic.endswith(("/status", "/state", "/event"))]
        assert host.connection is connection
        assert connection is not None
        assert connection.broken is None


def test_a_broker_that_does_not_send_back(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write interfaces/#\n")
    acl.chmod(0o600)
    broker = start(f"acl_file {acl}")

    def is_noticed() -> None:
        assert "does not send it back" in complaint(url=broker.url, timeout=0.5)

    judged_while_awake(is_noticed, within=0.2)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_refuses_the_topic(start: Callable[..., Mosquitto], tmp_path: Path, protocol: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite other/#\n")
    acl.chmod(0o600)
    broker = start(f"acl_file {acl}")
    line = complaint(url=broker.url, protocol=protocol)
    assert "interfaces/testnode" in line
    assert "access control" in line


def test_events_wait_for_the_permission_to_publish(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite other/#\n")
    acl.chmod(0o600)
    broker = start(f"acl_file {acl}")
    sink = MqttSink(MqttOptions(url=broker.url), FakeSinkContext(node="testnode"))
    sink.open()
    with pytest.raises(Retry, match="refuses interfaces/testnode"):
        sink.publish([make_event(1)])
    sink.close()


@pytest.mark.parametrize("queued", ["0", "1000"], ids=["and the connection ended", "and no more"])
def test_discovery_may_be_refused(start: Callable[..., Mosquitto], tmp_path: Path, queued: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite interfaces/#\ntopic readwrite test-fence/#\n")
    acl.chmod(0o600)
    broker = start(f"acl_file {acl}", f"max_queued_messages {queued}")
    assert "no Home Assistant discovery" in check(url=broker.url)
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        host.quiet()
        assert published_states(broker) == host.expected()
        wait_for(lambda: any("refuses homeassistant/" in line for line in host.logged()), what="the reason")


def test_tls(start: Callable[..., Mosquitto], authority: Authority, tmp_path: Path) -> None:
    broker = start(listener=tls_listener(authority))
    url = f"mqtts://127.0.0.1:{broker.port}"
    assert "(MQTT 5, TLS)" in check(url=url, ca_file=authority.ca_file)
    publishes(tmp_path, url=url, ca_file=authority.ca_file)
    assert "untrusted" in complaint(url=url)
    assert "wants TLS (mqtts://)" in complaint(url=broker.url)
    assert "no PEM certificates" in complaint(url=url, ca_file=tmp_path / "mosquitto.conf")


def test_an_expired_certificate(start: Callable[..., Mosquitto], authority: Authority) -> None:
    broker = start(listener=tls_listener(authority, expired=True))
    assert "expired" in complaint(url=f"mqtts://127.0.0.1:{broker.port}", ca_file=authority.ca_file)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_wrong_host_name_in_a_certificate(start: Callable[..., Mosquitto], authority: Authority, host: str) -> None:
    broker = start(listener=tls_listener(authority, "broker.example"))
    line = complaint(url=f"mqtts://{host}:{broker.port}", ca_file=authority.ca_file)
    assert f"wrong host name: it is not for {host}" in line


def test_insecure_connects_and_warns_each_start(start: Callable[..., Mosquitto], authority: Authority) -> None:
    broker = start(listener=tls_listener(authority, "broker.example", expired=True))
    options = MqttOptions(url=f"mqtts://127.0.0.1:{broker.port}", insecure=True)
    for _ in range(2):
        context = FakeSinkContext()
        sink = MqttSink(options, context)
        sink.open()
        assert "(MQTT 5, TLS, the certificate is not verified: insecure = true)" in sink.check()
        sink.close()
        assert any("not verified" in record.getMessage() for record in context.logged)


def test_a_client_certificate(start: Callable[..., Mosquitto], authority: Authority, tmp_path: Path) -> None:
    listener = (*tls_listener(authority), "require_certificate true", "use_identity_as_username true")
    broker = start(listener=listener)
    url = f"mqtts://127.0.0.1:{broker.port}"
    cert_file, key_file = authority.issue("nas.lan")
    options: dict[str, Any] = {"url": url, "ca_file": authority.ca_file}
    assert "publishes" in check(**options, cert_file=cert_file, key_file=key_file)
    assert "client certificate" in complaint(**options)
    stranger = Authority(tmp_path).issue("stranger")
    assert "client certificate" in complaint(**options, cert_file=stranger[0], key_file=stranger[1])
    with pytest.raises(ConfigurationError, match="no PEM certificate and key"):
        check(**options, cert_file=cert_file, key_file=stranger[1])


@contextlib.contextmanager
def with_certificate(
    broker: Mosquitto, authority: Authority, cert_file: Path, key_file: Path, folder: Path
) -> Iterator[MqttHost]:
    """Yields a host that logged in by its certificate, and has published everything."""
    files: dict[str, Any] = {"ca_file": authority.ca_file, "cert_file": cert_file, "key_file": key_file}
    with MqttHost(folder, f"mqtts://127.0.0.1:{broker.port}", **files) as host:
        host.put(make_row(nl_mtu=1400))
        host.quiet()
        yield host


def test_renewed_certificates_are_read_at_the_next_connection(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Another authority signs all three, under the same names, and the broker restarts."""
    directory = tmp_path / "certificates"
    directory.mkdir()
    authority = Authority(directory)
    broker = start(listener=(*tls_listener(authority), "require_certificate true", "use_identity_as_username true"))
    cert_file, key_file = authority.issue("nas.lan")
    with with_certificate(broker, authority, cert_file, key_file, tmp_path) as host:
        # While both are connected: neither reads a file that another one does not fit yet.
        renewed = Authority(directory)
        for name in ("127.0.0.1", "nas.lan"):
            renewed.issue(name)
        broker.kill()
        broker.start()
        host.put(make_row(nl_mtu=1500))
        host.quiet()
        assert not any("ERROR" in line or "certificate" in line for line in host.logged())


def test_a_certificate_that_waits_for_its_key_is_a_warning(
    start: Callable[..., Mosquitto], authority: Authority, tmp_path: Path
) -> None:
    """A renewal replaces one file after the other, and an attempt to connect may come in between."""
    broker = start(listener=(*tls_listener(authority), "require_certificate true", "use_identity_as_username true"))
    cert_file, key_file = authority.issue("nas.lan")
    with with_certificate(broker, authority, cert_file, key_file, tmp_path) as host:
        key = key_file.read_bytes()
        key_file.write_bytes(authority.issue("other.lan")[1].read_bytes())
        broker.kill()
        broker.start()
        text = f"cert_file {cert_file}, key_file {key_file}: no PEM certificate and key"
        wait_for(lambda: any(text in line for line in host.logged()), what="the warning")
        key_file.write_bytes(key)
        host.put(make_row(nl_mtu=1500))
        host.quiet()
        assert not any("ERROR" in line for line in host.logged())


@pytest.mark.parametrize("secure", [False, True])
def test_websockets(start: Callable[..., Mosquitto], authority: Authority, tmp_path: Path, secure: bool) -> None:
    # A plain listener too: without one mosquitto 2.0.11 reports that it has none. IPv4: else it takes every address.
    listener = ("protocol websockets", "socket_domain ipv4", *(tls_listener(authority) if secure else ()))
    broker = start(f"listener {free_port()} 127.0.0.1", listener=listener)
    options: dict[str, Any] = {"url": f"{'wss' if secure else 'ws'}://127.0.0.1:{broker.port}/mqtt"}
    if secure:
        options["ca_file"] = authority.ca_file
    assert "WebSockets" in check(**options)
    publishes(tmp_path, **options)


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
def test_much_is_read_back_and_sent_over_each_transport(
    start: Callable[..., Mosquitto], authority: Authority, tmp_path: Path, scheme: str
) -> None:
    """What TLS decrypted, or a socket read ahead, shows in no wait for the socket: it must not be left there."""
    plain = free_port()
    listener = tls_listener(authority) if scheme in ("mqtts", "wss") else ()
    if scheme in ("ws", "wss"):
        listener = ("protocol websockets", "socket_domain ipv4", *listener)
    broker = start(f"listener {plain} 127.0.0.1", listener=listener)
    planted = Mosquitto(tmp_path)
    planted.port, planted.process = plain, broker.process
    wait_for(planted._listens, what="the other listener")
    with Subscriber(planted, "none") as other:
        for number in range(300):
            other.publish(f"interfaces/testnode/{number:016x}/inet/state", "x" * 500, retain=True)
    url = f"{scheme}://127.0.0.1:{broker.port}"
    with MqttHost(tmp_path, url, ca_file=authority.ca_file if scheme in ("mqtts", "wss") else None) as host:
        host.put(*some_rows(100))
        host.quiet()
        wait_for(lambda: published_states(planted) == host.expected(), what="our states, and no others")
        for mtu in range(1300, 1330):
            host.put(make_row("eth0", index=2, addresses=["192.0.2.1/24"], nl_mtu=mtu))
            host.quiet()
        assert host.worker.status().failures == 0


def test_a_quiet_connection_is_kept_alive_and_one_whose_broker_hangs_is_noticed(
    start: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = start()
    with MqttHost(tmp_path, broker, keepalive=5, home_assistant=False) as host:
        mtus = iter(range(1280, 9000))

        def is_kept() -> None:
            host.put(make_row(nl_mtu=next(mtus)))
            host.quiet()
            connection = host.connection
            # The broker ends a quiet connection after one and a half times the keepalive.
            threading.Event().wait(9)
            assert host.connection is connection

        judged_while_awake(is_kept, within=1.0)
        broker.freeze()
        lost = sum("is lost" in line for line in host.logged())
        try:
            # Nothing is on its way: only the keepalive shows it.
            wait_for(lambda: sum("is lost" in line for line in host.logged()) > lost, what="the loss")
        finally:
            broker.thaw()
        host.put(make_row(nl_mtu=next(mtus)))
        host.quiet()


def test_nagle_is_off(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start()
    with MqttHost(tmp_path, broker) as host:
        host.quiet()
        assert host.connection is not None
        wired = host.connection._client.socket()
        assert isinstance(wired, socket.socket)
        assert wired.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_thread_and_no_connection_is_left(start: Callable[..., Mosquitto], tmp_path: Path) -> None:
    broker = start()
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row())
        host.quiet()
    wait_for(lambda: not [one for one in threading.enumerate() if "paho" in one.name], what="no thread of paho's")


def test_verification_is_on_unless_asked_for() -> None:
    from publisher_mqtt.client.login import read_login

    context = read_login(MqttOptions(url="mqtts://h"), "id").tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
