"""paho's network functions, called on the thread that owns the connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .sockets import BufferedSocket, FramedPackets, ReadAhead, buffered, wait_for

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from .acknowledgements import Acknowledgements

# A peer that sends without end does not hold up what is to be sent.
_MOST_READS = 100
# paho looks at its keepalive only when it is called.
_LONGEST_WAIT = 1.0


class NetworkLoop:
    """Reads and writes for one client; paho calls the client's callbacks from here. One thread.

    Both paho and `send` give whole packets to one socket, which keeps their order. Acknowledgements are taken before
    paho reads them.
    """

    def __init__(
        self, client: Client, failed: Callable[[Exception], object], is_alive: Callable[[], bool] = lambda: False
    ) -> None:
        """`failed` is called when paho raises over what it received; it ends the connection.

        While `is_alive` returns True, paho is not asked about its keepalive.
        """
        self._client = client
        self._failed = failed
        self._is_alive = is_alive
        self._connected: Any = None
        self._socket: BufferedSocket | None = None
        self._ahead: ReadAhead | None = None

    def opened(self, connected: Any, packets: Acknowledgements) -> None:
        """Takes the socket of the connection; called before it is used."""
        self._connected, self._socket = connected, buffered(connected)
        self._ahead = self._socket
        if connected is not self._socket:
            # Over a WebSocket the packets are in frames, which paho's object takes off and puts around.
            self._ahead = FramedPackets(connected.recv)
            connected.recv = self._ahead.take
        self._ahead.acknowledgements = packets

    def send(self, packet: bytes) -> None:
        """Sends a whole packet behind everything that was sent before, joined with others until a turn is taken."""
        if self._socket is not None:
            self._socket.holds = True
        self._connected.send(packet)

    @property
    def descriptor(self) -> int | None:
        """The socket's descriptor; `None` when there is none."""
        connected = self._client.socket()
        descriptor = -1 if connected is None else connected.fileno()
        return descriptor if descriptor >= 0 else None

    def release(self) -> None:
        """Sends what was held back."""
        if self._socket is not None:
            self._socket.release()

    @property
    def is_holding(self) -> bool:
        """True while there was no room for all that was sent."""
        return self._socket is not None and self._socket.is_holding

    @property
    def has_more(self) -> bool:
        """True when something was read ahead, and there is a connection to take it."""
        return self._client.socket() is not None and self._is_read_ahead()

    def turn(self, seconds: float) -> None:
        """Waits for the socket, at most so long and a second, reads and writes."""
        client = self._client
        connected = client.socket()
        if connected is None:
            return
        self.release()
        if (
            seconds <= 0
            or self._is_read_ahead()
            or wait_for(connected, self._is_to_write(), min(seconds, _LONGEST_WAIT))
        ):
            self._read()
        if client.want_write():
            client.loop_write()
        self.release()
        if not self._is_alive():
            # On a slow link the answer to a PINGREQ waits behind a batch for longer than paho does.
            client.loop_misc()

    def run(self, is_over: Callable[[], bool], seconds: float) -> bool:
        """Takes turns until it is over, for so many seconds, or while there is a connection; returns `is_over()`."""
        deadline = time.monotonic() + seconds
        while not is_over() and self._client.socket() is not None:
            rest = deadline - time.monotonic()
            # Also when the time is over: the answer may have come while this process stood still.
            self.turn(max(rest, 0.0))
            if rest <= 0:
                break
        return is_over()

    def _read(self) -> None:
        for _ in range(_MOST_READS):
            try:
                # Mostly acknowledgements alone came: then paho is not called.
                if self._ahead is None or self._ahead.look():
                    self._client.loop_read()
            except Exception as error:  # noqa: BLE001  # paho 2.2.0 raises various ones over malformed packets
                self._failed(error)
                return
            if self._client.socket() is None or not self._is_read_ahead():
                return

    def _is_read_ahead(self) -> bool:
        """Returns whether something was received that nobody took: no wait for the socket ends because of it."""
        ahead, connected = self._ahead, self._socket
        return (ahead is not None and ahead.left > 0) or (
            connected is not None and connected is not ahead and connected.left > 0
        )

    def _is_to_write(self) -> bool:
        return self._client.want_write() or self.is_holding
