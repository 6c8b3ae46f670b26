"""The rtnetlink socket for notifications. It belongs to the network namespace of the thread that opens it."""

from __future__ import annotations

import errno
import select
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

from ...errors import SourceError
from ...sink import Log
from .attributes import RtnetlinkError
from .rtnetlink import Decoder, Message
from .socket_filter import SO_ATTACH_FILTER, FilterArgument

if sys.platform == "linux":
    from .netlink import AT_ONCE, DATAGRAM, SOL_NETLINK, open_socket

assert sys.platform == "linux"

# Forwarding and the settings of router advertisements have groups of their own (docs/linux.md).
GROUPS = {
    1: "LINK",
    5: "IPV4_IFADDR",
    7: "IPV4_ROUTE",
    9: "IPV6_IFADDR",
    11: "IPV6_ROUTE",
    12: "IPV6_IFINFO",
    24: "IPV4_NETCONF",
    25: "IPV6_NETCONF",
}
_ROUTE_GROUPS = {7, 11}
# A kernel before 5.3 has neither nexthop objects nor this group.
_NEXTHOP_GROUP = 32
MOST_DATAGRAMS = 250
"""The bound of one `receive`, so that events are published while a flood goes on."""
SMALLEST_DATAGRAM = 2304
"""The bytes of the receive buffer that a notification takes at least (docs/linux.md, trap 6)."""
_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33


class Received(NamedTuple):
    """Received notifications in order, whether some were lost, the invalid datagrams, and whether more wait."""

    messages: list[Message]
    lost: bool
    invalid: list[bytes]
    more: bool


class NotificationSocket:
    """Receives every change of links, addresses and settings that the kernel reports. One thread at a time."""

    def __init__(self, decoder: Decoder, receive_buffer: int, log: Log) -> None:
        self._decoder = decoder
        self._socket = open_socket()
        self._buffer = bytearray(DATAGRAM)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self.receive_buffer = _set_receive_buffer(self._socket, receive_buffer)
        # Messages about all routes would fill the receive buffer of a router: without the filter none are received.
        groups = GROUPS if _attach_route_filter(self._socket) else GROUPS.keys() - _ROUTE_GROUPS
        refused = [name for group, name in GROUPS.items() if group not in groups or not _join(self._socket, group)]
        _join(self._socket, _NEXTHOP_GROUP)
        if refused:
            text = "the kernel reports no changes of the groups %s; they are found when everything is read again"
            log.warning(text, ", ".join(refused))

    def fileno(self) -> int:
        """Returns the descriptor, readable when notifications wait."""
        return self._socket.fileno()

    def receive(self) -> Received:
        """Returns the notifications that wait, of at most MOST_DATAGRAMS datagrams, without blocking.

        Raises SourceError when nothing can be received any more.
        """
        messages: list[Message] = []
        invalid: list[bytes] = []
        lost = False
        for _ in range(MOST_DATAGRAMS):
            try:
                length, sender = self._socket.recvfrom_into(self._buffer, 0, AT_ONCE)
            except BlockingIOError:
                return Received(messages, lost, invalid, more=False)
            except OSError as error:
                # Reported once for each overflow; what is queued stays readable, and so does the socket (netlink(7)).
                if error.errno != errno.ENOBUFS:
                    raise SourceError(f"cannot receive the kernel's notifications: {error}") from error
                lost = True
                continue
            if sender[0] != 0:
                continue  # from another process, not from the kernel
            try:
                messages += self._decoder.decode(self._buffer, length)
            except RtnetlinkError:
                invalid.append(bytes(self._buffer[:length]))
        # Else the settings of the last change would be read after it, and be a second event.
        return Received(messages, lost, invalid, more=bool(self._readable.poll(0)))

    def close(self) -> None:
        """Releases the socket."""
        self._socket.close()


def _join(opened: socket.socket, group: int) -> bool:
    try:
        opened.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        return False
    return True


def _attach_route_filter(opened: socket.socket) -> bool:
    argument = FilterArgument()
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, argument.bytes)
    except OSError:
        return False
    return True


def _set_receive_buffer(opened: socket.socket, size: int) -> int:
    """Asks for this size, beyond net.core.rmem_max if permitted; returns the size that the kernel grants, which is
    twice as large (socket(7))."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:  # EPERM without CAP_NET_ADMIN
        with suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
