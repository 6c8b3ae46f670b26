"""Bytes of whoever asks or answers: replay requests, answers to a webhook, requests to the page."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPException
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from publisher import Ended, Rejected, Retry
from publisher_mqtt.client.connection import IncomingMessage
from publisher_mqtt.messages import Topics
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.replay import read_request
from publisher_mqtt.replay_limits import AnswerTopics
from publisher_web.http.addresses import ListenAddress
from publisher_web.http.application import Events, page_application
from publisher_web.http.connection import LimitedConnection
from publisher_web.http.guard import LARGEST_HEAD, AllowedHosts, RequestGuard
from publisher_web.shown.interfaces import HistoryRequest
from publisher_web.stream.messages import SseMessages
from publisher_web.stream.stream import EventStream
from publisher_webhook.connection import TimedResponse
from publisher_webhook.outcome import RefusalPeriod, Response, judge

_NOW = datetime(2026, 11, 26, tzinfo=UTC)
_SILENT = logging.Logger("fuzz", logging.CRITICAL + 1)


def replay(data: bytes) -> None:
    """Reads a request: a response topic, correlation data and the payload, with line feeds between them."""
    topic, _, rest = data.partition(b"\n")
    correlation, _, payload = rest.partition(b"\n")
    options, topics = MqttOptions(url="mqtt://broker", replay_topics=("answers/+/#",)), Topics("interfaces", "nas")
    message = IncomingMessage(
        topics.request, payload, False, topic.decode(errors="replace") or None, correlation or None
    )
    read_request(message, topics, AnswerTopics(options, topics), 4096)


def replay_seeds() -> Iterator[bytes]:
    yield b'answers/me\n1\n{"since":{"epoch":"01926f6e8c7e4b3f","seq":4},"luid":"0006008002000000","family":"inet"}'
    yield b'\n\n{"last":7,"client":"me"}'
    yield b"interfaces/nas/replay/me\n\n{}"


def answer(data: bytes) -> None:
    """Reads an answer to a webhook from a socket, and judges it; raises HTTPException, Retry, Rejected, Ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[:60_000])
        theirs.shutdown(socket.SHUT_WR)
        response = TimedResponse(ours, 5.0, lambda: None, method="POST")
        try:
            response.begin()
            body = response.read(4096)
        finally:
            response.close()
        waits = tuple(response.headers.get_all("Retry-After", []))
        judge(Response(response.status, waits, body), _NOW, RefusalPeriod(60.0))


def answer_seeds() -> Iterator[bytes]:
    yield b"HTTP/1.1 204 No Content\r\n\r\n"
    yield b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    for wait in ("7", "Sun, 22 Nov 2026 20:00:30 GMT", "Sunday, 22-Nov-26 20:00:30 GMT", "Sun Nov 22 20:00:30 2026"):
        yield f"HTTP/1.1 503 Busy\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n".encode()
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"
    yield b"HTTP/1.1 410 Gone\r\nConnection: close\r\n\r\nbye"


ANSWER_ERRORS = (HTTPException, OSError, Retry, Rejected, Ended)


class Shown:
    """A page without any interface."""

    epoch = "01926f6e8c7e4b3f"

    def __init__(self) -> None:
        self.stream = EventStream()

    def nodes(self, seq: int, *, in_sync: bool) -> list[dict[str, Any]]:
        return [{"node": "nas", "seq": seq, "in_sync": in_sync}]

    def knows_rows(self, _snapshot: SseMessages) -> bool:
        return True

    async def snapshot(self) -> SseMessages:
        return SseMessages(0, ())

    async def missed(self, _seq: int) -> SseMessages | None:
        return None

    async def rows(self) -> Iterable[bytes]:
        return [b"{}"]

    async def history(self, request: HistoryRequest) -> bytes:
        return repr(request).encode()

    async def status(self) -> Mapping[str, Any]:
        return {}


class Wire(asyncio.Transport):
    """A connection that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        assert isinstance(data, (bytes, bytearray, memoryview))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class PageLoop:
    """A server of a page on an event loop of its own, whose failures are raised."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.failures: list[BaseException] = []
        self.loop.set_exception_handler(self._fail)

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context.get("exception") or RuntimeError(str(context)))

    def receive(self, data: bytes) -> None:
        """Takes the bytes of one connection, in two pieces, and answers them."""
        self.failures.clear()
        self.loop.run_until_complete(self._receive(data))
        if self.failures:
            raise self.failures[0]

    async def _receive(self, data: bytes) -> None:
        shown = Shown()
        events = Events(shown)
        hosts = AllowedHosts(ListenAddress("127.0.0.1", 8780), ())
        inner = RequestGuard(page_application(shown, events), hosts, "token", 8780)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            except Exception as error:
                self.failures.append(error)
                raise

        config = Config(
            application, http="h11", ws="none", loop="asyncio", lifespan="off", interface="asgi3", log_config=None,
            access_log=False, proxy_headers=False, h11_max_incomplete_event_size=LARGEST_HEAD,
        )  # fmt: skip
        config.load()
        state, wire = ServerState(), Wire()
        connection = LimitedConnection(config, state, _SILENT, lambda: None)
        connection.connection_made(wire)
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            if piece and not wire.closed:  # asyncio gives no empty ones
                connection.data_received(piece)
            for _ in range(10):
                await asyncio.sleep(0)  # to whoever answers
        events.close()
        connection.connection_lost(None)
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=5)


@cache
def _page_loop() -> PageLoop:
    return PageLoop()


def page(data: bytes) -> None:
    """Takes the bytes of a connection to the page."""
    _page_loop().receive(data)


def page_seeds() -> Iterator[bytes]:
    head = b"HTTP/1.1\r\nHost: 127.0.0.1:8780\r\nAuthorization: Bearer token\r\n"
    for path in (
        "/",
        "/api/rows",
        "/api/history?limit=5&family=inet&luid=0006008002000000",
        "/page/page.js",
        "/nothing",
    ):
        yield b"GET %b %b\r\n" % (path.encode(), head)
    yield b"GET /events?text=1 %bLast-Event-ID: 01926f6e8c7e4b3f-7\r\n\r\n" % head
    yield b"GET /?token=token HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield b"POST /api/rows %bContent-Length: 3\r\n\r\nabc" % head
    yield b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: publisher-8780=x\r\nSec-Fetch-Site: cross-site\r\n\r\n"
