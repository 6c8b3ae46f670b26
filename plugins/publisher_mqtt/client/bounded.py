"""A paho client that keeps only the beginning of a received packet that is too large."""

from __future__ import annotations

from paho.mqtt.client import Client

# Requests are small, but our own states are read back, with every address of a row.
MOST_BYTES_TAKEN = 1 << 20
_AT_ONCE = 1 << 16


class BoundedClient(Client):
    """Reads a packet of any size, and keeps its first megabyte.

    paho reads each packet whole, in MQTT up to 256 MB, and asks the socket for all of it at once: one message of
    150 MB cost 430 MiB. With MQTT 5 a broker obeys our maximum packet size; MQTT 3.1.1 has none. The packet is read to
    its end and acknowledged, so its sender cannot cost us the connection; what is cut off is too large for every
    reader of ours.
    """

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet
        if not packet["have_remaining"]:
            return super()._sock_recv(bufsize)
        room = MOST_BYTES_TAKEN - len(packet["packet"])
        data = super()._sock_recv(min(bufsize, _AT_ONCE if room <= 0 else min(room, _AT_ONCE)))
        if room > 0 or len(data) < 2:
            return data
        # One byte of it is returned, since none would mean that the connection has ended.
        packet["to_process"] -= len(data) - 1
        return data[-1:]
