"""A webhook server that is hostile on request: interim answers, answers too many, garbage, slow, endless."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.fixtures.webhook_server import Behaviour, Exchange, answer, drip, hang, ok, raw, take_and_reset

FINAL = b"HTTP/1.1 204 No Content\r\n\r\n"


def endless_body(exchange: Exchange) -> None:
    exchange.keep = False
    exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not exchange.server.closing.is_set():
        exchange.send(b"x" * 65536)


def endless_interim(exchange: Exchange) -> None:
    exchange.keep = False
    while not exchange.server.closing.is_set():
        exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


def kept(data: bytes) -> Behaviour:
    """Returns a behaviour that sends these bytes and keeps the connection."""
    return lambda exchange: exchange.send(data)


MODES: tuple[Behaviour, ...] = (
    kept(b"HTTP/1.1 102 Processing\r\n\r\n" + FINAL),
    kept(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    kept(FINAL + FINAL),
    kept(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    kept(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nhello"),
    kept(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    raw(b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\nhalf"),
    raw(b"\x16\x03\x01 what"),
    raw(b"HTTP/1.1 200 X\r\n" + b"X: y\r\n" * 50_000),
    endless_body,
    endless_interim,
    drip(b"HTTP/1.1 200 OK\r\n\r\n", 0.2),
    hang,
    take_and_reset,
    answer(503, retry_after="0"),
    answer(429, retry_after="-1"),
    answer(503, retry_after="Sun, 22 Nov 2026 20:00:30 +9999"),
    answer(302, location="file:///etc/passwd"),
    answer(400, b"x" * 60_000),
    answer(404),
)


class Server:
    """The behaviour of a receiver: well while `hostile` is False, else each mode in turn."""

    def __init__(self) -> None:
        self.hostile = False
        self._modes: Iterator[Behaviour] = itertools.cycle(MODES)

    def __call__(self, exchange: Exchange) -> None:
        (next(self._modes) if self.hostile else ok)(exchange)
