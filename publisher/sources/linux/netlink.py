"""The rtnetlink socket for requests. It belongs to the network namespace of the thread that opens it."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import TypeVar

from ...errors import SourceError
from .attributes import RtnetlinkError
from .requests import link_read
from .rtnetlink import NLM_F_DUMP_INTR, Decoder, Failure, Link, Listed, Message

assert sys.platform == "linux"

SOL_NETLINK, _GET_STRICT_CHK = 270, 12
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
DATAGRAM = 65536  # the kernel fills the datagrams of a dump up to 32 KiB
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
        self._socket = open_socket()
        # Answers come within milliseconds. A kernel that gives none must not hold everything up for ever.
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(_ANSWER_SECONDS, 0))
        self._buffer = bytearray(DATAGRAM)
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
            if sender[0] == 0 and length <= DATAGRAM:
                return length


def opened_later(open_it: Callable[[], S]) -> S:
    """Returns a socket that is opened beside others; raises InterruptedDumpError.

    The others could be opened, so an error is taken for one that goes by, as the lack of descriptors.
    """
    try:
        return open_it()
    except SourceError as error:
        raise InterruptedDumpError(str(error)) from error


def open_socket() -> socket.socket:
    """Returns an rtnetlink socket of this thread's network namespace; raises SourceError."""
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
        opened.setsockopt(SOL_NETLINK, _GET_STRICT_CHK, 1)
    return opened


def _reason(error: OSError) -> str:
    return f"{error.strerror}. {_SANDBOX}" if error.errno in _REFUSALS else f"{error.strerror}"


def raise_unless(failure: Failure, *expected: int) -> None:
    """Raises InterruptedDumpError or RefusedError for a number that is none of the expected ones."""
    if failure.number in expected:
        return
    text = os.strerror(abs(failure.number))
    if failure.number in _REFUSALS:
        raise RefusedError(f"{text}. {_SANDBOX}")
    raise InterruptedDumpError(f"the kernel cannot answer now: {text}")
