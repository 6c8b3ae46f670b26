"""urllib3's connections with deadlines: a socket's own timeout begins anew with every byte that comes or goes."""

from __future__ import annotations

import http.client
import io
import socket
import time
from ipaddress import ip_address
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from .options import PLAIN_HTTP, is_private
from .outcome import NotAnswered

_TLS_RECORD = 16 * 1024


class BoundedConnection(HTTPConnection):
    """Its `timeout` holds for a whole request to be sent, and for a whole answer to be read."""

    def response_class(self, sock: socket.socket, **options: Any) -> TimedResponse:  # type: ignore[override]  # see below
        """Called by http.client in place of the class that it is there, also for a proxy's answer to CONNECT."""
        return TimedResponse(sock, self.timeout or 0.0, **options)

    def send(self, data: Any) -> None:
        """Send in parts of a TLS record: an ssl socket would give each of them the whole timeout."""
        if self.sock is None:
            self.connect()
        deadline = time.monotonic() + (self.timeout or 0.0)
        for start in range(0, len(data), _TLS_RECORD):
            self.sock.settimeout(_left(deadline))
            super().send(data[start : start + _TLS_RECORD])


class SecureConnection(BoundedConnection, HTTPSConnection):
    """The same over TLS."""


class PrivateConnection(BoundedConnection):
    """Sends nothing to an address that is not private: known only once the name was resolved and connected to."""

    def connect(self) -> None:
        super().connect()
        if not is_private(ip_address(self.sock.getpeername()[0])):
            self.close()
            raise NotAnswered(PLAIN_HTTP)


class TimedResponse(http.client.HTTPResponse):
    """An answer that is read within `seconds`, all of it."""

    def __init__(self, sock: socket.socket, seconds: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), time.monotonic() + seconds))


class _TimedReader(io.RawIOBase):
    """Reads from a socket until `deadline`, then raises TimeoutError."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
