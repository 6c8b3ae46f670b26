"""An answer belongs to its request: interim answers are none, and a connection with more on it is not used again."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from publisher.sink import Retry
from publisher.testing import FakeSinkContext, make_events
from publisher_webhook.options import WebhookOptions
from publisher_webhook.sink import WebhookSink
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.webhook_server import Behaviour, Exchange, Receiver, answer, hang, ok, raw, receiving

EVENTS = make_events(8)
FINAL = b"HTTP/1.1 204 No Content\r\n\r\n"


def parts(*pieces: bytes, pause: float = 0.0) -> Behaviour:
    """Returns a behaviour that sends these pieces, `pause` seconds apart, and keeps the connection; it accepts."""

    def behave(exchange: Exchange) -> None:
        exchange.request.status = 200
        for index, piece in enumerate(pieces):
            if index and exchange.server.closing.wait(pause):
                return
            exchange.send(piece)

    return behave


def status(*numbers: int) -> bytes:
    return b"".join(f"HTTP/1.1 {number} X\r\nLink: </s>\r\n\r\n".encode() for number in numbers)


# What a server sends, and whether its connection may be used again.
ACCEPTING: dict[str, tuple[Behaviour, bool]] = {
    "102, later 204": (parts(status(102), FINAL, pause=0.1), True),
    "103 and 204 in one segment": (parts(status(103) + FINAL), True),
    "100, 102, 103, 199 and 204": (parts(status(100, 102, 103, 199) + FINAL), True),
    "each interim answer by itself": (parts(status(102), status(100), status(103), FINAL, pause=0.02), True),
    "a hundred interim answers, most of them 100": (parts(status(*[100] * 95, *[102] * 5) + FINAL), True),
    "two answers in one segment": (parts(FINAL + FINAL), False),
    "an answer and an interim answer": (parts(FINAL + status(103)), False),
    "an answer and half of another": (parts(FINAL + b"HTTP/1.1 2"), False),
    "204 with a body": (parts(b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello"), False),
    "Content-Length too small": (parts(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nhello"), False),
    "Content-Length too large": (raw(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhello", status=200), False),
    "Content-Length twice": (parts(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno"), False),
    "Content-Length that is no number": (parts(b"HTTP/1.1 200 X\r\nContent-Length: +2\r\n\r\nno"), False),
    "Content-Length and chunked": (
        parts(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        False,
    ),
    "chunked": (parts(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), True),
    "chunked, and more": (parts(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + FINAL), False),
    "chunked garbage": (parts(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"), False),
    "gzip, chunked": (raw(b"HTTP/1.1 200 X\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", status=200), False),
    "HTTP/1.0": (parts(b"HTTP/1.0 200 X\r\nContent-Length: 2\r\n\r\nok"), False),
    "HTTP/1.0 that would be kept": (
        parts(b"HTTP/1.0 200 X\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        False,
    ),
    "Connection: close": (parts(b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), False),
}

NO_ANSWER: dict[str, Behaviour] = {
    "interim only": parts(status(102)),
    "101": parts(status(101)),
    "101 and 204": parts(status(101) + FINAL),
    "too many interim answers": parts(status(*[102] * 101) + FINAL),
    "interim answers without end": parts(*[status(102)] * 1000, pause=0.01),
    "more headers than there is room for": parts(*[status(*[100] * 1000)] * 20, FINAL),
    "two lengths": parts(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nno"),
    "HTTP/0.9": raw(b"accepted\r\n", status=0),
    "HTTP/2": raw(b"HTTP/2 200 OK\r\n\r\n", status=0),
    "the half of an answer": raw(b"HTTP/1.1 20", status=0),
}


# Their timeout must run out.
ENDLESS = ("interim only", "interim answers without end")


@contextlib.contextmanager
def served(tmp_path: Path, *, tls: bool, timeout: float = 60.0) -> Iterator[tuple[Receiver, WebhookSink]]:
    """Starts a receiver and a sink for it, over TLS or without."""
    context, files = None, {}
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        files = {"ca_file": tmp_path / "ca.pem"}
    with receiving(tls=context) as receiver:
        options = WebhookOptions.model_validate(
            {"url": receiver.url, "connect_timeout": 60, "timeout": timeout, **files}
        )
        sink = WebhookSink(options, FakeSinkContext("hook"))
        sink.open()
        try:
            yield receiver, sink
        finally:
            sink.close()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", ACCEPTING)
def test_the_answer_to_one_request_is_never_taken_for_that_to_the_next(name: str, tls: bool, tmp_path: Path) -> None:
    behaviour, kept = ACCEPTING[name]
    with served(tmp_path, tls=tls) as (receiver, sink):
        receiver.script += [behaviour, answer(503, b"the second"), ok]
        sink.publish(EVENTS[:1])
        with pytest.raises(Retry, match="status 503 Service Unavailable: the second"):
            sink.publish(EVENTS[1:2])
        sink.publish(EVENTS[1:2])
        first, second, third = receiver.requests
        assert (second.connection == first.connection) is kept
        assert third.connection == second.connection


def test_a_connection_is_not_used_again_after_a_timeout(tmp_path: Path) -> None:
    def another_is_made() -> None:
        with served(tmp_path, tls=False, timeout=0.7) as (receiver, sink):
            receiver.script += [ok, hang]
            with pytest.raises(Retry, match=r"no answer from .* within"):
                sink.publish(EVENTS[:2])
            assert [request.connection for request in receiver.requests] == [1, 1]
            with contextlib.suppress(Retry):  # a busy machine may be too slow
                sink.publish(EVENTS[1:2])
            assert receiver.wait(lambda requests: len(requests) > 2)[-1].connection > 1

    judged_while_awake(another_is_made, within=0.3)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", NO_ANSWER)
def test_what_is_no_answer_is_tried_again_over_a_new_connection(name: str, tls: bool, tmp_path: Path) -> None:
    timeout = 0.6 if name in ENDLESS else 60.0

    def is_tried_again() -> None:
        with served(tmp_path, tls=tls, timeout=timeout) as (receiver, sink):
            receiver.script += [NO_ANSWER[name]]
            with pytest.raises(Retry, match="no answer") as caught:
                sink.publish(EVENTS[:3])
            assert caught.value.index == 0
            with contextlib.suppress(Retry):  # with a short timeout, on a busy machine
                sink.publish(EVENTS[:3])
            assert {request.connection for request in receiver.requests[1:]}.isdisjoint({1})
            assert len(receiver.requests) > 1

    judged_while_awake(is_tried_again, within=timeout / 3)


def test_bytes_that_come_after_the_answer_end_the_connection(tmp_path: Path) -> None:
    late = threading.Event()

    def answer_twice(exchange: Exchange) -> None:
        exchange.send(FINAL)
        late.wait(60)
        exchange.send(FINAL)

    with served(tmp_path, tls=False) as (receiver, sink):
        receiver.script += [answer_twice, answer(503)]
        sink.publish(EVENTS[:1])
        [kept] = [thing.sock for thing in sink._poster._pool.pool.queue if thing]  # type: ignore[union-attr]  # it is open
        late.set()
        assert select.select([kept], [], [], 60)[0]
        with pytest.raises(Retry, match="status 503"):
            sink.publish(EVENTS[1:2])
        assert [request.connection for request in receiver.requests] == [1, 2]


def test_an_answer_before_the_request_was_read_is_the_last_of_its_connection() -> None:
    """The server answers at the first byte: what it reads of the body afterwards, it takes for another request."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                sock, _ = server.accept()
                with sock:
                    sock.recv(1)
                    sock.sendall(FINAL)
                    data = b""
                    while piece := sock.recv(65536):
                        data += piece
                    seen.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        sink = WebhookSink(WebhookOptions(url=url, timeout=60), FakeSinkContext("hook"))
        sink.open()
        # Larger than the buffers of both sockets, so that the answer is there before the end of the request.
        large = make_events(1)[0].json_bytes + b" " * 8_000_000
        poster = sink._poster
        assert poster is not None
        assert [poster.post({}, large).status for _ in range(2)] == [204, 204]
        sink.close()
        thread.join(60)
    assert [len(data) > len(large) for data in seen] == [True, True]


def test_a_used_connection_that_answers_before_the_request_is_not_believed(tmp_path: Path) -> None:
    with served(tmp_path, tls=False) as (receiver, sink):
        sink.publish(EVENTS[:1])
        poster = sink._poster
        assert poster is not None
        [connection] = [thing for thing in poster._pool.pool.queue if thing]  # type: ignore[union-attr]  # it is open
        ours, theirs = socket.socketpair()
        with theirs:
            connection.sock.close()
            connection.sock = ours
            theirs.sendall(FINAL)
            with pytest.raises(ConnectionResetError, match="before the request was sent"):
                connection.request("POST", "/", b"body")
        connection.close()
        assert len(receiver.requests) == 1


def test_every_event_is_delivered_once_and_none_by_the_answer_to_another(tmp_path: Path) -> None:
    """Answers of every kind by turns, and after each a request that the server takes but does not accept."""
    with served(tmp_path, tls=False) as (receiver, sink):
        for behaviour, _ in ACCEPTING.values():
            receiver.script += [behaviour, answer(503)]
        delivered: list[str] = []
        waiting = make_events(len(ACCEPTING) + 3)
        ids = [event.id for event in waiting]
        while waiting:
            try:
                sink.publish(waiting)
                done = len(waiting)
            except Retry as error:
                done = error.index
            delivered += [event.id for event in waiting[:done]]
            del waiting[:done]
        accepted = [json.loads(request.body)["id"] for request in receiver.requests if request.status in (200, 204)]
        assert accepted == delivered == ids
        assert not receiver.script
