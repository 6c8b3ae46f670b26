"""`publisher.subscribe` over HTTP, with the real web sink: snapshot, changes, a return, a token, slow readers."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import publisher
from publisher import Backoff, ConfigurationError, Cursor, PublisherError
from publisher.client import outbox, subscription
from publisher.testing import make_row
from publisher_web.client import PageError, SseParser
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.requirements import unable
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.subscribed import SubscribedReader
from tests.fixtures.web_host import WebHost


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test restarts publishers more often than people do; and it needs the real page."""
    if importlib.util.find_spec("uvicorn") is None:
        unable("uvicorn not found: install the extra web")
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.02, 0.2))


def mtu(value: int, name: str = "eth0", index: int = 2) -> Any:
    return make_row(name, index=index, nl_mtu=value)


def test_the_rows_come_first_and_then_every_change(tmp_path: Path) -> None:
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"), mtu(1500, "eth1", 3))
        host.quiet()
        with SubscribedReader(host.url) as reader:
            reader.in_sync(host)
            names = [type(event).__name__ for event in reader.events]
            assert names == ["SnapshotStarted", "InitialNotification", "InitialNotification"]
            for value in range(1000, 1010):
                host.put(mtu(value))
            host.remove(mtu(1500, "eth1", 3).key)
            reader.until(lambda: reader.changes == list(range(3, 14)))
            assert reader.has_rows_of(host)


def test_over_a_restart_of_the_publisher_no_change_is_lost_and_none_comes_twice(tmp_path: Path) -> None:
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"))
        host.quiet()
        reader = SubscribedReader(host.url)
        reader.in_sync(host)
        host.put(mtu(1000))
        reader.until(lambda: reader.changes == [2])
    with reader:
        reader.until(lambda: not reader.subscription.nodes["testnode"].online)
        with WebHost(tmp_path, port=host.port) as again:
            again.put(mtu(1001), mtu(1002))
            reader.until(lambda: reader.changes == [2, 3, 4])
            reader.until(lambda: reader.subscription.nodes["testnode"].in_sync)
            assert reader.snapshots == 1
            assert reader.has_rows_of(again)


def test_a_new_journal_is_a_new_snapshot(tmp_path: Path) -> None:
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"))
        host.quiet()
        reader = SubscribedReader(host.url)
        reader.in_sync(host)
    (tmp_path / "new").mkdir()
    with reader, WebHost(tmp_path / "new", port=host.port) as again:
        again.put(make_row("eth7", index=9))
        again.put(mtu(1234, "eth7", 9))
        reader.until(lambda: reader.has_rows_of(again))


def test_since_an_event_come_the_changes_after_it(tmp_path: Path) -> None:
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"))
        host.put(mtu(1000))
        host.put(mtu(1001))
        host.quiet()
        with SubscribedReader(host.url, since={"testnode": Cursor(host.journal.epoch, 1)}) as reader:
            reader.until(lambda: [event.seq for event in reader.events] == [2, 3])
        with SubscribedReader(host.url, nodes=["another"]) as reader:
            assert reader.subscription.read(0.5) == []


def test_a_reader_without_room_holds_only_so_much_and_gets_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 20)
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"))
        host.quiet()
        with SubscribedReader(host.url) as reader:
            reader.in_sync(host)
            for value in range(1000, 1300):
                host.put(mtu(value))
            host.quiet()
            reader.until(lambda: [event.row.nl_mtu for event in reader.rows.values()] == [1299])


def test_a_token_is_needed_and_given(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("0123456789abcdef\n")
    with WebHost(tmp_path, token_file=secret) as host:
        host.put(make_row("eth0"))
        host.quiet()
        with pytest.raises(PublisherError, match="the page needs its token"):
            publisher.subscribe(host.url)
        with SubscribedReader(host.url, token_file=secret) as reader:
            reader.until(lambda: len(reader.rows) == 1)


def test_a_close_ends_a_wait_at_once(tmp_path: Path) -> None:
    with WebHost(tmp_path) as host:
        host.put(make_row("eth0"))
        host.quiet()
        judged_while_awake(lambda: assert_ends_at_once(publisher.subscribe(host.url)), within=0.3)


def assert_ends_at_once(subscribed: publisher.Subscription) -> None:
    subscribed.read(1.0)
    thread = threading.Thread(target=lambda: list(subscribed))
    thread.start()
    began = time.monotonic()
    subscribed.close()
    thread.join(20)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://me@host/",
        "http://host/?token=secret",
        "https://me:secret@host",
        "http://me:secret@host:99999/",
        "http://host:secret/",
        "http://[::1/",
    ],
)
def test_a_url_that_is_none_is_a_mistake_in_the_program(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        publisher.subscribe(url)
    assert "secret" not in str(raised.value)


def test_a_page_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(PageError, match="nothing listens there: wrong port, or the page is off"):
        publisher.subscribe(f"http://127.0.0.1:{free_port()}")


def test_a_page_without_tls_is_named() -> None:
    with answering(200) as url, pytest.raises(PageError, match="it does not speak TLS: use http://"):
        publisher.subscribe(url.replace("http://", "https://"))


def test_a_port_of_something_else_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ending = threading.Thread(target=lambda: server.accept()[0].close())
        ending.start()
        with pytest.raises(PageError, match="no page of publisher, or one that stopped"):
            publisher.subscribe(f"http://127.0.0.1:{server.getsockname()[1]}/")
        ending.join()


@pytest.mark.parametrize("place", ["a-1", ("a",), ("a", "1"), ("a", None), 5])
def test_a_place_that_is_none_is_a_mistake_in_the_program(place: Any) -> None:
    with pytest.raises(ConfigurationError, match="since of 'nas': expected a Cursor"):
        publisher.subscribe("http://127.0.0.1:8780/", since={"nas": place})


def test_a_url_is_a_text() -> None:
    with pytest.raises(ConfigurationError, match="url 5: expected a text"):
        publisher.subscribe(5)  # type: ignore[arg-type]  # what is tested


def test_an_authority_is_for_https_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca_file is for https://"):
        publisher.subscribe("http://127.0.0.1:8780/", ca_file=tmp_path / "ca.pem")


def test_a_server_that_accepts_and_is_silent_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher_web.client._CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PageError, match="did not answer within"):
        publisher.subscribe(f"http://127.0.0.1:{server.getsockname()[1]}/")


def test_a_token_that_no_header_takes_is_a_mistake_in_the_program(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tökén€\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="ASCII"):
        publisher.subscribe("http://127.0.0.1:8780/", token_file=tmp_path / "token")


@contextlib.contextmanager
def answering(status: int, kind: str = "text/html", body: bytes = b"") -> Iterator[str]:
    """Runs a server that gives this answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "http://elsewhere/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, "no page of publisher"), (302, "answers 302"), (403, "hosts"), (404, "no page"), (500, "answers 500")],
)
def test_another_servers_answer_is_an_error(status: int, reason: str) -> None:
    with answering(status) as url, pytest.raises(PageError, match=reason):
        publisher.subscribe(url)


def test_what_a_stranger_streams_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    body = b'data: {"node": 3}\n\ndata: [\n\nevent: node\ndata: {"node": "x"}\n\nevent: what\ndata: 1\n\n'
    with answering(200, "text/event-stream", body) as url, publisher.subscribe(url) as subscribed:
        wait_for(lambda: "cannot be read" in caplog.text, what="the line in the log")
        for _ in range(3):
            assert subscribed.read(0.2) == []


def test_an_id_that_no_header_takes_ends_nothing() -> None:
    body = b"id: 5-1\rHost: x\ndata: {}\n\n"
    with answering(200, "text/event-stream", body) as url, publisher.subscribe(url) as subscribed:
        for _ in range(3):
            assert subscribed.read(0.3) == []


def test_a_stream_is_read_in_whatever_pieces_it_comes() -> None:
    stream = b": hello\n\nretry: 1000\n\nid: 5-1\nevent: node\ndata: {}\n\ndata: a\r\ndata: b\r\n\r\ndata\n\n"
    for size in (1, 2, 3, 1000):
        parser = SseParser()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        messages = [tuple(message) for piece in pieces for message in parser.messages(piece)]
        assert messages == [("node", b"{}", "5-1"), ("message", b"a\nb", "")]


def test_a_message_without_an_end_is_an_error() -> None:
    parser = SseParser()
    for _ in range(16):
        assert list(parser.messages(b"x" * (1 << 16))) == []
    with pytest.raises(PageError, match="without an end"):
        list(parser.messages(b"x"))
