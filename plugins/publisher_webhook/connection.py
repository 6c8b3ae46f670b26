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
    """A connection whose `timeout` covers the sending of a whole request, and the reading of a whole response."""

    def response_class(self, sock: socket.socket, **options: Any) -> TimedResponse:  # type: ignore[override]  # see below
        """Returns the response to read; http.client calls this as a class, also for a proxy's answer to CONNECT."""
        return TimedResponse(sock, self.timeout or 0.0, **options)

    def send(self, data: Any) -> None:
        """Sends the data in parts of a TLS record: an ssl socket would give each of them the whole timeout."""
        if self.sock is None:
            self.connect()
        deadline = time.monotonic() + (self.timeout or 0.0)
        for start in range(0, len(data), _TLS_RECORD):
            self.sock.settimeout(_left(deadline))
            super().send(data[start : start + _TLS_RECORD])


class SecureConnection(BoundedConnection, HTTPSConnection):
    """A bounded connection over TLS."""


class PrivateConnection(BoundedConnection):
    """A bounded connection that sends nothing to a public address, which is known only once it is connected."""

    def connect(self) -> None:
        """Connects, and raises NotAnswered when the address is not private."""
        super().connect()
        if not is_private(ip_address(self.sock.getpeername()[0])):
            self.close()
            raise NotAnswered(PLAIN_HTTP)


class TimedResponse(http.client.HTTPResponse):
    """A response that is read within `seconds`, all of it."""

    def __init__(self, sock: socket.socket, seconds: float, **options: Any) -> None:
        super().__init__(sock, **options)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), time.monotonic() + seconds))

    def begin(self) -> None:
        """Reads status and headers, and forgets what is no header: urllib3 would log a warning with the whole URL."""
        super().begin()
        self.msg.defects = []
        self.msg.set_payload("")


class _TimedReader(io.RawIOBase):
    """Reads from a socket until `deadline`, then raises TimeoutError."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        """Returns True, as io.BufferedReader requires."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Reads what has come, waiting at most until the deadline."""
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Closes the socket's file, too."""
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
