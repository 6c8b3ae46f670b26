"""Sockets that read ahead and join what is sent: paho reads one byte at a time, and sends each message alone."""

from __future__ import annotations

import math
import select
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .acknowledgements import Acknowledgements


# 200 acknowledgements have 800 bytes; a read-back has megabytes.
_AHEAD = 1 << 15
# A WebSocket handshake's answer is some hundred bytes; paho 2.2.0 reads header lines without end.
_MOST_HANDSHAKE_BYTES = 16 * 1024


class HandshakeLimit:
    """The limits of a handshake: `recv` keeps them until the socket is set to non-blocking, as paho does after it."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._bytes = 0

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; raises TimeoutError after it."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    def count(self, data: bytes) -> bytes:
        """Returns the data that was received; raises ConnectionError when a handshake cannot be so long."""
        self._bytes += len(data)
        if self._bytes > _MOST_HANDSHAKE_BYTES:
            raise ConnectionError(f"more than {_MOST_HANDSHAKE_BYTES} bytes of a WebSocket handshake")
        return data


class BufferedSocket(socket.socket):
    """A socket that reads ahead and holds back, and has a deadline for a handshake over it.

    While `holds` is set, packets are joined, up to a limit: each call of `send` costs as much as all else that paho
    does for a message, and the broker reads as often. With it a fourth more messages go through (docs/mqtt.md). Whoever
    sets it calls `release` before waiting.
    """

    limit: HandshakeLimit | None = None
    acknowledgements: Acknowledgements | None = None
    _is_on = False
    _data, _at = b"", 0
    holds = False
    _held = b""

    @property
    def is_holding(self) -> bool:
        """True while something is held back."""
        return bool(self._held)

    @property
    def left(self) -> int:
        """The bytes that were received and that nobody took."""
        return max(0, len(self._data) - self._at)

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        del flags
        if self.limit is None:
            return self._take(size)
        self.settimeout(self.limit.remaining)
        return self.limit.count(super().recv(size))

    def send(self, data: Any, flags: int = 0) -> int:
        if self.holds or self._held:
            return self._hold(data)
        try:
            return super().send(data, flags)
        except OSError as failure:
            raise self._end_of(failure) from failure

    def release(self) -> None:
        """Sends what was held back, as far as there is room."""
        self.holds = False
        self._release()

    def setblocking(self, flag: bool) -> None:
        self.limit, self._is_on = None, not flag
        super().setblocking(flag)

    def _take(self, size: int) -> bytes:
        """Returns so many bytes at most, as `recv` does."""
        at = self._at
        if at >= len(self._data):
            if not self._is_on:
                return super().recv(size)
            self._data, at = self._receive(), 0
        self._at = at + size
        return self._data[at : self._at]

    def _receive(self) -> bytes:
        data = super().recv(_AHEAD)
        if self.acknowledgements is None or not data:
            return data
        if not (others := self.acknowledgements.take(data)):
            raise BlockingIOError  # no byte at all would mean the end
        return others

    def _hold(self, data: bytes) -> int:
        """Holds the data back, behind what is held already; returns its size, as `send` does."""
        if len(self._held) >= _AHEAD:
            self._release()
            if len(self._held) >= _AHEAD:
                raise BlockingIOError
        self._held += data
        if len(self._held) >= _AHEAD:
            self._release()
        return len(data)

    def _release(self) -> None:
        while self._held:
            try:
                self._held = self._held[super().send(self._held) :]
            except OSError:  # full, or at an end, which shows where it is read
                return

    def _end_of(self, failure: OSError) -> OSError:
        """Returns what a `send` that failed is to raise: a connection that has ended is only full here.

        paho ends a connection whose `send` fails, with everything that it did not read. Acknowledgements that came
        before the end are progress, so the end is to show where they are read.
        """
        is_usual = isinstance(failure, BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError)
        return failure if is_usual or not self._is_on else BlockingIOError()


class TlsSocket(BufferedSocket, ssl.SSLSocket):
    """The same over TLS. A WebSocket handshake over it has what is left of the time.

    It closes itself when the handshake fails: paho-mqtt 2.2.0 drops its reference there and leaves the socket open.
    """

    def do_handshake(self, block: bool = False) -> None:
        if seconds := self.gettimeout():
            self.limit = HandshakeLimit(seconds)
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    @property
    def left(self) -> int:
        """Also what is decrypted, of which the socket itself knows nothing."""
        return super().left + self.pending()


def raw(connected: Any) -> socket.socket:
    """Returns the socket itself, also below paho's WebSocket, which has no such methods."""
    inner = connected if isinstance(connected, socket.socket) else connected._socket
    if not isinstance(inner, socket.socket):
        raise TypeError(f"expected a socket, not {inner!r}")
    return inner


def buffered(connected: Any) -> BufferedSocket | None:
    """Returns our socket, also below paho's WebSocket; `None` when paho made one of its own."""
    inner = raw(connected)
    return inner if isinstance(inner, BufferedSocket) else None


if sys.platform == "win32":

    def wait_for(connected: Any, to_write: bool, seconds: float) -> bool:
        """Waits until it can be read or, if wanted, written; returns whether it can be read."""
        try:
            return bool(select.select([connected], [connected] if to_write else [], [], seconds)[0])
        except (OSError, ValueError):  # closed meanwhile: reading shows it
            return True

else:

    def wait_for(connected: Any, to_write: bool, seconds: float) -> bool:
        """Waits until it can be read or, if wanted, written; returns whether it can be read, or was closed."""
        # Not select(2), which takes no descriptor from 1024 on.
        descriptor = connected.fileno()
        if descriptor < 0:
            return True
        poller = select.poll()
        poller.register(descriptor, select.POLLIN | (select.POLLOUT if to_write else 0))
        return any(events & ~select.POLLOUT for _, events in poller.poll(math.ceil(seconds * 1000)))
