"""A service with a page: a scripted source, a real journal, and real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from publisher.service.service import Service
from publisher.sources import Upsert
from publisher.testing import ScriptedSource, make_row
from publisher_web.sink import WebSink
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.service import House
from tests.fixtures.sse import SseClient, dialled


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class PageHouse(House):
    """A service whose only sink is the page; `page` runs it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.types["web"] = WebSink
        self.port = free_port()
        self.metric = 2000

    @contextmanager
    def page(self, **options: Any) -> Iterator[Service]:
        """Runs the service with a page on `port`, and waits until the page is open."""
        table = {"type": "web", "address": f"127.0.0.1:{self.port}"} | options
        self.source = ScriptedSource(self.source.rows)
        settings = self.settings().model_copy(update={"sinks": {"web": table}})
        with self.running(settings) as service:
            wait_for(lambda: state_of(service).get("state") == "following", what="the page")
            yield service

    def change(self, times: int = 1) -> None:
        """Makes so many events: each changes the metric of eth0."""
        for _ in range(times):
            self.metric += 1
            self.source.send(Upsert(make_row("eth0", index=2, metric=self.metric), "notification"))

    def events(self, path: str = "/events", **headers: str) -> SseClient:
        return SseClient(self.port, path, {name.replace("_", "-"): value for name, value in headers.items()})

    def get(self, path: str, *lines: str, method: str = "GET", host: str | None = None) -> Answer:
        """Sends a request of these lines, and returns the answer."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{self.port}'}", "Connection: close", *lines]
        return self.raw("\r\n".join([*head, "", ""]).encode())

    def raw(self, request: bytes) -> Answer:
        """Sends these bytes, and returns the answer."""
        with closing(dialled(self.port)) as connection:
            connection.sendall(request)
            return parsed(_all_of(connection))


def state_of(service: Service) -> dict[str, Any]:
    """Returns the state of the page; {} before the first report."""
    found: dict[str, Any] = service.status().get("sinks", {}).get("web", {})
    return found


def parsed(received: bytes) -> Answer:
    """Returns the answer that these bytes are."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _dechunked(body)
    return Answer(int(first.split()[1]), headers, body)


def _all_of(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    return received


def _dechunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return whole


@pytest.fixture
def house(tmp_path: Path) -> PageHouse:
    return PageHouse(tmp_path)


@pytest.fixture
def opened(house: PageHouse) -> Iterator[Callable[..., SseClient]]:
    """Opens connections to `/events`, which are closed after the test."""
    with ExitStack() as stack:
        yield lambda *args, **headers: stack.enter_context(house.events(*args, **headers))
