"""The two rtnetlink sockets: one sends requests, the other receives notifications.

Both belong to the network namespace of the thread that opens them.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import NamedTuple, TypeVar

from ...errors import SourceError
from ...sink import Log
from .attributes import RtnetlinkError
from .requests import link_read
from .rtnetlink import NLM_F_DUMP_INTR, Decoder, Failure, Link, Listed, Message
from .socket_filter import SO_ATTACH_FILTER, FilterArgument

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
_SOL_NETLINK, _ADD_MEMBERSHIP, _GET_STRICT_CHK = 270, 1, 12
_SO_RCVBUFFORCE = 33
# As numbers: to combine two members of an enum costs as much as to receive.
_WHOLE = int(socket.MSG_TRUNC)
AT_ONCE = int(socket.MSG_TRUNC | socket.MSG_DONTWAIT)
_TIMEVAL = struct.Struct("@ll")
_ANSWER_SECONDS = 30
# The errors of kernels that do not have a request, and of sandboxes that forbid it.
_REFUSALS = frozenset(
    (errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
)
_SANDBOX = "Android forbids it to apps, and so may a sandbox (SELinux, seccomp): run publisher outside of it"
S = TypeVar("S", bound="RequestSocket")
_SHORTAGES = (errno.ENOBUFS, errno.ENOMEM)
_DATAGRAM = 65536  # the kernel fills the datagrams of a dump up to 32 KiB
# Links that are asked for by one datagram: a call less for each is a quarter of a read. All answers wait in the receive
# buffer, 4 KiB each, of 208 KiB.
_READ_TOGETHER = 16
_ATTEMPTS = 50  # a third of the dumps is interrupted while links come and go: fifty in a row are one in 10^23


class InterruptedDumpError(SourceError):
    """The kernel could not list everything at one moment; it can be asked again."""


def invalid_answer(error: RtnetlinkError) -> InterruptedDumpError:
    """Returns the error for an answer that cannot be decoded: the kernel is asked again."""
    return InterruptedDumpError(f"an answer of the kernel is invalid: {error}")


class RefusedError(SourceError):
    """The kernel, or a sandbox, does not answer this request at all."""


class RequestSocket:
    """Sends requests and receives the answers. One thread at a time."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._socket = _open_socket()
        # Answers come within milliseconds. A kernel that gives none must not hold everything up for ever.
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(_ANSWER_SECONDS, 0))
        self._buffer = bytearray(_DATAGRAM)
        self._seq = 0

    def dump(self, request: Callable[[int], bytes]) -> list[Listed]:
        """Returns every record, as of one moment.

        Raises InterruptedDumpError when there is no such moment, RefusedError, SourceError.
        """
        for attempt in range(_ATTEMPTS):
            records, interrupted = self._dump(request)
            if not interrupted:
                return records
            time.sleep(min(attempt, 10) / 1000)
        raise InterruptedDumpError(f"the interfaces changed during each of {_ATTEMPTS} attempts to list them")

    def links(self, indexes: Sequence[int]) -> dict[int, Link | None]:
        """Returns these links as they are now, None for a removed one; raises as `dump` does."""
        found: dict[int, Link | None] = {}
        for start in range(0, len(indexes), _READ_TOGETHER):
            found |= self._read_together(indexes[start : start + _READ_TOGETHER])
        return found

    def close(self) -> None:
        """Releases the socket."""
        self._socket.close()

    def _read_together(self, indexes: Sequence[int]) -> dict[int, Link | None]:
        """Sends one datagram of requests, of which each has its own answer."""
        first = self._send(lambda number: b"".join(map(link_read, count(number), indexes)), len(indexes))
        waiting = dict(enumerate(indexes, first))
        found: dict[int, Link | None] = {}
        while waiting:
            for _, _, seq, record in self._receive():
                if seq in waiting and isinstance(record, Link | Failure):
                    if isinstance(record, Failure):
                        raise_unless(record, 0, errno.ENODEV)
                    found[waiting.pop(seq)] = record if isinstance(record, Link) else None
        return found

    def _dump(self, request: Callable[[int], bytes]) -> tuple[list[Listed], bool]:
        self._send(request)
        records: list[Listed] = []
        interrupted = False
        while True:
            for _, flags, seq, record in self._receive():
                if seq != self._seq or record is None:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if isinstance(record, Failure):
                    raise_unless(record, 0)
                    return records, interrupted
                records.append(record)

    def _send(self, request: Callable[[int], bytes], numbers: int = 1) -> int:
        """Sends what `request` returns for the first of so many numbers that follow each other; returns that one."""
        first = self._seq + 1
        self._seq += numbers
        try:
            self._socket.send(request(first))
        except OSError as error:
            if error.errno in _REFUSALS:
                raise RefusedError(f"{error.strerror}. {_SANDBOX}") from error
            if error.errno in _SHORTAGES:
                raise InterruptedDumpError(f"the kernel cannot be asked now: {error.strerror}") from error
            raise SourceError(f"cannot send a request to the kernel: {error}") from error
        return first

    def _receive(self) -> list[Message]:
        """Returns the messages of the next datagram; those with another `seq` answer an earlier request."""
        length = self._receive_datagram()
        try:
            return self._decoder.decode(self._buffer, length)
        except RtnetlinkError as error:
            raise invalid_answer(error) from error

    def _receive_datagram(self) -> int:
        """Receives the next datagram of the kernel into the buffer; returns its length."""
        while True:
            try:
                length, sender = self._socket.recvfrom_into(self._buffer, 0, _WHOLE)
            except BlockingIOError as error:
                raise InterruptedDumpError(f"the kernel gave no answer within {_ANSWER_SECONDS} s") from error
            except OSError as error:
                if error.errno in _SHORTAGES:
                    raise InterruptedDumpError(f"the kernel cannot answer now: {error.strerror}") from error
                raise SourceError(f"cannot receive the kernel's answers: {error}") from error
            if sender[0] == 0 and length <= _DATAGRAM:
                return length


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
        self._socket = _open_socket()
        self._buffer = bytearray(_DATAGRAM)
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


def opened_later(open_it: Callable[[], S]) -> S:
    """Returns a socket that is opened beside others; raises InterruptedDumpError.

    The others could be opened, so an error is taken for one that goes by, as the lack of descriptors.
    """
    try:
        return open_it()
    except SourceError as error:
        raise InterruptedDumpError(str(error)) from error


def _open_socket() -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError as error:
        raise SourceError(f"an rtnetlink socket cannot be opened: {_reason(error)}") from error
    try:
        opened.bind((0, 0))
    except OSError as error:
        opened.close()
        # Android 11 and newer: SELinux denies it to apps, and so to Termux.
        raise SourceError(f"an rtnetlink socket cannot be bound: {_reason(error)}") from error
    # Since Linux 4.20, and not in gVisor. A kernel without it checks requests less strictly: no difference to ours.
    with suppress(OSError):
        opened.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
    return opened


def _reason(error: OSError) -> str:
    return f"{error.strerror}. {_SANDBOX}" if error.errno in _REFUSALS else f"{error.strerror}"


def _join(opened: socket.socket, group: int) -> bool:
    try:
        opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
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


def raise_unless(failure: Failure, *expected: int) -> None:
    """Raises InterruptedDumpError or RefusedError for a number that is none of the expected ones."""
    if failure.number in expected:
        return
    text = os.strerror(abs(failure.number))
    if failure.number in _REFUSALS:
        raise RefusedError(f"{text}. {_SANDBOX}")
    raise InterruptedDumpError(f"the kernel cannot answer now: {text}")
