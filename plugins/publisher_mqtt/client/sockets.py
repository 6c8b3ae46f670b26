"""Sockets that read ahead and take all that is sent: paho reads one byte at a time, and ends what cannot be sent."""

from __future__ import annotations

import math
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
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


class ReadAhead:
    """Reads ahead, takes the acknowledgements, and hands out the rest in small pieces, as paho asks for it."""

    acknowledgements: Acknowledgements | None = None
    _data, _at = b"", 0
    _failure: OSError | None = None

    @property
    def left(self) -> int:
        """The bytes that were received and that nobody took."""
        return len(self._data) - self._at

    def look(self) -> bool:
        """Receives what came; returns whether something of it is for paho, as an end or an error is, too."""
        if self.left == 0:
            try:
                self._data, self._at = self._received(), 0
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            except OSError as failure:
                self._failure = failure
        return True

    def take(self, size: int) -> bytes:
        """Returns so many bytes at most, as `recv` does."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        at = self._at
        if at >= len(self._data):
            self._data, at = self._received(), 0
        self._at = min(at + size, len(self._data))
        return self._data[at : self._at]

    def _received(self) -> bytes:
        data = self._receive()
        if self.acknowledgements is None or not data:
            return data
        if not (others := self.acknowledgements.take(data)):
            raise BlockingIOError  # no byte at all would mean the end
        return others

    def _receive(self) -> bytes:
        """Returns what came; no byte at the end."""
        raise NotImplementedError


class BufferedSocket(ReadAhead, socket.socket):
    """A socket that reads ahead, takes whatever is sent, and has a deadline for a handshake over it.

    What there is no room for is sent later, in order: so whoever sends, paho or we, sends whole packets. While `holds`
    is set, packets are joined, up to a limit: each call of the system's `send` costs as much as all else that is done
    for a message, and the broker reads as often. With it a fourth more messages go through (docs/mqtt.md). Whoever sets
    it calls `release` before waiting.
    """

    limit: HandshakeLimit | None = None
    holds = False
    _held: bytearray | None = None
    """What is to be sent; `None` during a handshake."""

    @property
    def is_holding(self) -> bool:
        """True while something is held back."""
        return bool(self._held)

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        del flags
        if self._held is not None:
            return self.take(size)
        if self.limit is None:
            return super().recv(size)
        self.settimeout(self.limit.remaining)
        return self.limit.count(super().recv(size))

    def send(self, data: Any, flags: int = 0) -> int:
        if self._held is None:
            return super().send(data, flags)
        self._held += data
        if not self.holds or len(self._held) >= _AHEAD:
            self._send_held(self._held)
        return len(data)

    def release(self) -> None:
        """Sends what was held back, as far as there is room."""
        self.holds = False
        if self._held:
            self._send_held(self._held)

    def setblocking(self, flag: bool) -> None:
        self.limit = None
        if flag or self._held is None:
            self._held = None if flag else bytearray()
        super().setblocking(flag)

    def _receive(self) -> bytes:
        return super().recv(_AHEAD)

    def _send_held(self, held: bytearray) -> None:
        """Sends what is held, as far as there is room.

        Of a connection that has ended the end is to show where it is read: acknowledgements that came before it are
        progress. So it is only full here.
        """
        while held:
            try:
                del held[: super().send(held)]
            except OSError:
                return


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


class FramedPackets(ReadAhead):
    """Reads packets ahead that come in frames; `receive` is that of paho's WebSocket."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive_frame = receive

    def _receive(self) -> bytes:
        return self._receive_frame(_AHEAD)


def buffered(connected: Any) -> BufferedSocket:
    """Returns our socket, also below paho's WebSocket."""
    inner = raw(connected)
    if not isinstance(inner, BufferedSocket):
        raise TypeError(f"expected a BufferedSocket, not {inner!r}")
    return inner


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
        found = poller.poll(math.ceil(seconds * 1000))
        return bool(found) and bool(found[0][1] & ~select.POLLOUT)
