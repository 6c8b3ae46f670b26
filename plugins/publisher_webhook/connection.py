"""urllib3's connections with deadlines, which take nothing but the answer to the present request for that answer.

A socket's own timeout begins anew with every byte that comes or goes, so sending and reading have a deadline here. And
a connection is used again only while nothing else can be on the wire (RFC 9112, 9.3 and 11.2): else the rest of one
answer would be taken for the next one, and an event would count as delivered that the server never took.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.wait import wait_for_read

from .addresses import is_private
from .options import PLAIN_HTTP
from .outcome import NotAnswered

_TLS_RECORD = 16 * 1024
# Of one answer, with its headers and all interim answers before it.
_LONGEST_ANSWER = 256 * 1024
_MOST_INTERIM = 100


class BoundedConnection(HTTPConnection):
    """A connection whose `timeout` covers the sending of a whole request, and the reading of a whole response.

    `is_connected`, by which urllib3's pool decides, is True only when the last answer was read to its end and nothing
    followed it.
    """

    _settled = False
    _fresh = True
    _early = False

    @property
    def is_connected(self) -> bool:
        """True if another request may go over this connection."""
        return self._settled and super().is_connected

    def connect(self) -> None:
        """Connects; nothing of an earlier request can come over a new connection."""
        super().connect()
        self._fresh = True

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        """Begins a request: until its answer was read to the end, no other may follow it."""
        self._settled, self._early = False, False
        super().putrequest(*arguments, **options)

    def response_class(self, sock: socket.socket, **options: Any) -> TimedResponse:  # type: ignore[override]  # see below
        """Returns the response to read; http.client calls this as a class, also for a proxy's answer to CONNECT."""
        return TimedResponse(sock, self.timeout or 0.0, self._settle, **options)

    def send(self, data: Any) -> None:
        """Sends the data in parts of a TLS record: an ssl socket would give each of them the whole timeout.

        Raises ConnectionResetError when a connection that was used before has an answer, or takes no more, before the
        request is sent: that answer cannot be to this request.
        """
        if self.sock is None:
            self.connect()
        deadline = time.monotonic() + (self.timeout or 0.0)
        for start in range(0, len(data), _TLS_RECORD):
            self._notice_early_answer()
            self.sock.settimeout(_left(deadline))
            try:
                super().send(data[start : start + _TLS_RECORD])
            except BrokenPipeError:
                if self._fresh:  # urllib3 reads the answer nevertheless: it can only be to this request
                    raise
                raise ConnectionResetError("the connection was closed before the request was sent") from None

    def _notice_early_answer(self) -> None:
        if wait_for_read(self.sock, timeout=0.0):
            if not self._fresh:
                raise ConnectionResetError("the connection was closed, or an answer came, before the request was sent")
            self._early = True

    def _settle(self) -> None:
        """Notes that an answer was read to its end, and that nothing follows it."""
        self._fresh = False
        self._settled = not self._early


class SecureConnection(BoundedConnection, HTTPSConnection):
    """A bounded connection over TLS."""

    @property
    def is_connected(self) -> bool:
        """True if another request may go over this connection."""
        # What is decrypted already does not show at the socket.
        return super().is_connected and not getattr(self.sock, "pending", int)()

    def _notice_early_answer(self) -> None:
        # A server begins a new connection with session tickets (RFC 8446, 4.6.1), which are no answer.
        if not self._fresh:
            super()._notice_early_answer()


class PrivateConnection(BoundedConnection):
    """A bounded connection that sends nothing to a public address, which is known only once it is connected."""

    def connect(self) -> None:
        """Connects, and raises NotAnswered when the address is not private."""
        super().connect()
        if not is_private(ip_address(self.sock.getpeername()[0])):
            self.close()
            raise NotAnswered(PLAIN_HTTP)


class TimedResponse(http.client.HTTPResponse):
    """A response that is read within `seconds`, all of it; calls `settle` when nothing of it is left on the wire."""

    def __init__(self, sock: socket.socket, seconds: float, settle: Callable[[], object], **options: Any) -> None:
        super().__init__(sock, **options)
        self._settle = settle
        self.fp = _Buffer(_TimedReader(sock, self.fp.detach(), time.monotonic() + seconds), self._finish)

    def begin(self) -> None:
        """Reads status and headers of the final answer; raises HTTPException for one that is none.

        http.client itself skips 100 only, and would return any other interim answer (RFC 9110, 15.2) as the answer.
        """
        for _ in range(_MOST_INTERIM):
            super().begin()
            if not 100 <= self.status < 200:
                break
            if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("101 Switching Protocols, for which nothing asked")
            self.headers = None  # type: ignore[assignment]  # http.client's own sign that nothing was read yet
        else:
            raise http.client.HTTPException(f"more than {_MOST_INTERIM} interim answers")
        # What is no header is forgotten: urllib3 would log a warning with the whole URL.
        self.msg.defects = []
        self.msg.set_payload("")

    def _finish(self, rest: bytes) -> None:
        if not rest and self._is_whole():
            self._settle()

    def _is_whole(self) -> bool:
        """Returns whether the answer has ended, and its end is beyond doubt (RFC 9112, 6.3)."""
        if self.headers is None or self.version < 11 or self.will_close:
            return False
        lengths = self.headers.get_all("Content-Length", [])
        if codings := self.headers.get_all("Transfer-Encoding", []):
            return [coding.strip().lower() for coding in codings] == ["chunked"] and not lengths and self.chunked
        if self.length != 0:
            return False
        if self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            return not lengths or lengths == ["0"] or self.status == HTTPStatus.NOT_MODIFIED
        return len(lengths) == 1 and re.fullmatch(r"[0-9]+", lengths[0].strip()) is not None


class _Buffer(io.BufferedReader):
    """Reads ahead; when closed, calls `finish` with what was received and not read."""

    def __init__(self, raw: _TimedReader, finish: Callable[[bytes], object]) -> None:
        super().__init__(raw)
        self._reader = raw
        self._finish = finish

    def close(self) -> None:
        """Closes the reader, too."""
        if not self.closed:
            self._reader.end()
            self._finish(self.peek())
        super().close()


class _TimedReader(io.RawIOBase):
    """Reads at most a bounded number of bytes from a socket until `deadline`, then raises TimeoutError."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline
        self._room = _LONGEST_ANSWER
        self._ended = False

    def readable(self) -> bool:
        """Returns True, as io.BufferedReader requires."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Reads what has come, waiting at most until the deadline; raises HTTPException when it is too much."""
        if self._ended:
            return 0
        self._sock.settimeout(_left(self._deadline))
        count = self._raw.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            raise http.client.HTTPException(f"more than {_LONGEST_ANSWER} bytes of headers and body")
        return count

    def end(self) -> None:
        """Reads nothing from now on: what is buffered is all that there is."""
        self._ended = True

    def close(self) -> None:
        """Closes the socket's file, too."""
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
