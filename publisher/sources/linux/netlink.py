"""The two rtnetlink sockets: one sends requests, the other receives notifications; and the reads by requests.

Both belong to the network namespace of the thread that opens them.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from ...errors import SourceError
from .attributes import RtnetlinkError
from .link import Dump
from .rtnetlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    AddressMessage,
    Decoder,
    Failure,
    Link,
    Message,
    NeighbourParameters,
    Record,
    address_dump,
    link_dump,
    link_read,
    neighbours_dump,
)

if sys.platform == "linux":
    from .sysctl import SystemDetails

assert sys.platform == "linux"

# Forwarding and the settings of router advertisements have groups of their own (docs/linux.md).
GROUPS = (1, 5, 9, 12, 24, 25)  # LINK, IPV4_IFADDR, IPV6_IFADDR, IPV6_IFINFO, IPV4_NETCONF, IPV6_NETCONF
MOST_DATAGRAMS = 1000
"""The bound of one `receive`, so that events are published while a flood goes on."""
SMALLEST_DATAGRAM = 2304
"""The bytes of the receive buffer that a notification takes at least (docs/linux.md, trap 6)."""
_SOL_NETLINK, _ADD_MEMBERSHIP, _GET_STRICT_CHK = 270, 1, 12
_SO_RCVBUFFORCE = 33
_DATAGRAM = 65536  # the kernel fills the datagrams of a dump up to 32 KiB
_ATTEMPTS = 50  # a third of the dumps is interrupted while links come and go: fifty in a row are one in 10^23


T = TypeVar("T")


class InterruptedDumpError(SourceError):
    """The interfaces change so fast that the kernel could not list them all at one moment."""


class RequestSocket:
    """Sends requests and receives the answers. One thread at a time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._socket = _open_socket()
        self._buffer = bytearray(_DATAGRAM)
        self._seq = 0

    def dump(self, request: Callable[[int], bytes]) -> list[Record]:
        """Returns every record, as of one moment; raises InterruptedDumpError when there is none, SourceError."""
        for attempt in range(_ATTEMPTS):
            records, interrupted = self._dump(request)
            if not interrupted:
                return records
            time.sleep(min(attempt, 10) / 1000)
        raise InterruptedDumpError(f"the interfaces changed during each of {_ATTEMPTS} attempts to list them")

    def link(self, index: int) -> Link | None:
        """Returns this link as it is now, None when it was removed; raises SourceError."""
        self._seq += 1
        self._socket.send(link_read(self._seq, index))
        while True:
            for message in self._receive():
                if isinstance(message.record, Link):
                    return message.record
                if isinstance(message.record, Failure):
                    _raise_unless(message.record, 0, errno.ENODEV)
                    return None

    def close(self) -> None:
        """Releases the socket."""
        self._socket.close()

    def _dump(self, request: Callable[[int], bytes]) -> tuple[list[Record], bool]:
        self._seq += 1
        self._socket.send(request(self._seq))
        records: list[Record] = []
        interrupted = False
        while True:
            for kind, flags, _, record in self._receive():
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if isinstance(record, Failure):
                    _raise_unless(record, 0)
                    return records, interrupted
                if record is not None and kind not in (NLMSG_DONE, NLMSG_ERROR):
                    records.append(record)

    def _receive(self) -> list[Message]:
        """Returns those messages of the next datagram that answer the last request."""
        length, sender = self._socket.recvfrom_into(self._buffer, 0, socket.MSG_TRUNC)
        if sender[0] != 0:
            return []
        messages = self._decoder.decode(self._buffer, length) if length <= _DATAGRAM else []
        return [message for message in messages if message.seq == self._seq]


class LinuxReader:
    """Requests to the kernel, in the network namespace of the thread that makes the reader. One thread at a time."""

    def __init__(self, decoder: Decoder) -> None:
        self.details = SystemDetails()
        self._requests = RequestSocket(decoder)

    def dump(self) -> Dump:
        """Reads all links, addresses and neighbour parameters; raises InterruptedDumpError, SourceError."""
        links = _only(Link, self._requests.dump(link_dump))
        addresses = _only(AddressMessage, self._requests.dump(address_dump))
        neighbours = _only(NeighbourParameters, self._requests.dump(neighbours_dump))
        return Dump(links, addresses, neighbours, self.details.path_mtu_times())

    def link(self, index: int) -> Link | None:
        """Returns this link as it is now, None when it was removed; raises SourceError."""
        return self._requests.link(index)

    def close(self) -> None:
        """Releases the sockets."""
        self._requests.close()
        self.details.close()


class Received(NamedTuple):
    """Received notifications in order, whether some were lost, the invalid datagrams, and whether more wait."""

    messages: list[Message]
    lost: bool
    invalid: list[bytes]
    more: bool


class NotificationSocket:
    """Receives every change of links, addresses and settings that the kernel reports. One thread at a time."""

    def __init__(self, decoder: Decoder, receive_buffer: int) -> None:
        self._decoder = decoder
        self._socket = _open_socket()
        self._buffer = bytearray(_DATAGRAM)
        self._socket.setblocking(False)
        self.receive_buffer = _set_receive_buffer(self._socket, receive_buffer)
        for group in GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

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
                length, sender = self._socket.recvfrom_into(self._buffer, 0, socket.MSG_TRUNC)
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
        return Received(messages, lost, invalid, more=True)

    def close(self) -> None:
        """Releases the socket."""
        self._socket.close()


def _only(kind: type[T], records: Iterable[object]) -> list[T]:
    return [record for record in records if isinstance(record, kind)]


def _open_socket() -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError as error:
        raise SourceError(f"cannot open an rtnetlink socket: {error}; a sandbox must allow AF_NETLINK") from error
    opened.bind((0, 0))
    # Since Linux 4.20. An older kernel checks requests less strictly, which makes no difference to ours.
    try:
        opened.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            opened.close()
            raise SourceError(f"cannot set up the rtnetlink socket: {error}") from error
    return opened


def _set_receive_buffer(opened: socket.socket, size: int) -> int:
    """Asks for this size, beyond net.core.rmem_max if permitted; returns the size that the kernel grants, which is
    twice as large (socket(7))."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _raise_unless(failure: Failure, *expected: int) -> None:
    if failure.number not in expected:
        raise SourceError(f"the kernel refused to list the interfaces: {os.strerror(abs(failure.number))}")
