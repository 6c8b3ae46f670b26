"""A receiver of webhooks on a real socket that behaves as badly as a test asks."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request as it came; `status` is what it was answered with, 0 for no answer."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    connection: int
    time: float
    status: int = 0


@dataclass
class Exchange:
    """A request and the socket that it came over, for a behaviour to answer on."""

    sock: socket.socket
    request: Request
    server: Receiver
    keep: bool = True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        reset_at_close(self.sock)
        self.keep = False


Behaviour = Callable[[Exchange], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Answer with this status; `retry_after="3"` is a header Retry-After."""

    def behave(exchange: Exchange) -> None:
        exchange.request.status = status
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        exchange.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return behave


ok = answer(204)


def raw(data: bytes, status: int = 0) -> Behaviour:
    """Answer with these bytes and close."""

    def behave(exchange: Exchange) -> None:
        exchange.request.status = status
        exchange.send(data)
        exchange.keep = False

    return behave


def drip(data: bytes, every: float, status: int = 0) -> Behaviour:
    """Answer with these bytes, one at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.request.status = status
        exchange.keep = False
        with contextlib.suppress(OSError):  # the other side has had enough
            for index in range(len(data)):
                exchange.send(data[index : index + 1])
                if exchange.server.closing.wait(every):
                    return

    return behave


def hang(exchange: Exchange) -> None:
    """Answer nothing until the server closes."""
    exchange.keep = False
    exchange.server.closing.wait()


def take_and_reset(exchange: Exchange) -> None:
    """Take the request, then break the connection."""
    exchange.reset()


def answer_and_close(exchange: Exchange) -> None:
    """Answer, keep silent about closing, and close."""
    ok(exchange)
    exchange.keep = False


def refuse_to_read(exchange: Exchange) -> None:
    """Break the connection as soon as a request begins, before it is read."""
    raise AssertionError(f"it was read: {exchange.request}")


@dataclass
class Receiver:
    """Answers each request with the next behaviour of the script, and with 204 when that is over."""

    script: deque[Behaviour] = field(default_factory=deque)
    tls: ssl.SSLContext | None = None
    always: Behaviour = ok

    def __post_init__(self) -> None:
        self.requests: list[Request] = []
        self.refused = 0
        self.closing = threading.Event()
        self._lock = threading.Condition()
        self._connections = 0
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.listen()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/hook"

    def listen(self) -> None:
        """Accept connections, on the same port as before."""
        self.closing.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept, self._listener)

    def close(self) -> None:
        """Break off everything and stop accepting."""
        self.closing.set()
        assert self._listener is not None
        with contextlib.suppress(OSError):  # Windows: a socket that listens cannot be shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._threads.clear()

    def wait(self, what: Callable[[list[Request]], Any], timeout: float = 20.0) -> list[Request]:
        """The requests as soon as `what(requests)` is true."""
        with self._lock:
            assert self._lock.wait_for(lambda: what(self.requests), timeout), self.requests
            return list(self.requests)

    @property
    def delivered(self) -> list[str]:
        """The ids of the requests that were answered with success, in order."""
        return [request.headers["webhook-id"] for request in self.requests if 200 <= request.status < 300]

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, name="receiver", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while not self.closing.is_set():
                sock, _ = listener.accept()
                self._connections += 1
                self._spawn(self._serve, sock, self._connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, contextlib.suppress(OSError):  # the other side broke the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.tls.wrap_socket(sock, server_side=True) if self.tls else sock as talk:
                while not self.closing.is_set() and self._exchange(talk, number):
                    pass

    def _exchange(self, sock: socket.socket, number: int) -> bool:
        if not self._wait_readable(sock):
            return False
        if self.script and self.script[0] is refuse_to_read:
            self.script.popleft()
            self.refused += 1
            reset_at_close(sock)
            return False
        request = _read(sock, number)
        behaviour = self.script.popleft() if self.script else self.always
        exchange = Exchange(sock, request, self)
        with self._lock:
            self.requests.append(request)
        try:
            behaviour(exchange)
        finally:
            with self._lock:
                self._lock.notify_all()
        return exchange.keep

    def _wait_readable(self, sock: socket.socket) -> bool:
        """Whether a request begins; wakes up to see whether the server closes."""
        while not self.closing.is_set():
            if select.select([sock], [], [], 0.05)[0]:
                return isinstance(sock, ssl.SSLSocket) or sock.recv(1, socket.MSG_PEEK) != b""
        return False


def reset_at_close(sock: socket.socket) -> None:
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _read(sock: socket.socket, number: int) -> Request:
    sock.settimeout(20)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(sock)
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body, number, time.monotonic())


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionResetError("closed amid a request")
    return data


@contextlib.contextmanager
def receiving(*script: Behaviour, tls: ssl.SSLContext | None = None, always: Behaviour = ok) -> Iterator[Receiver]:
    """A receiver with this script, closed in the end."""
    receiver = Receiver(deque(script), tls, always)
    try:
        yield receiver
    finally:
        receiver.close()
