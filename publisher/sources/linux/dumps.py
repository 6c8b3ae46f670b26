"""The rtnetlink socket for dumps: each comes in parts with a digest of the bytes, by which it is known again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator
from contextlib import suppress

from .attributes import RtnetlinkError
from .parts import DumpPart, KnownPart
from .requests import nothing
from .rtnetlink import (
    NLM_F_DUMP_INTR,
    RTM_NEWNEIGHTBL,
    Decoder,
    Failure,
    Listed,
    NeighbourParameters,
    header,
)

if sys.platform == "linux":
    from .netlink import AT_ONCE, RefusedError, RequestSocket, invalid_answer, raise_unless

assert sys.platform == "linux"


class DumpSocket(RequestSocket):
    """Sends requests for dumps, one at a time, and receives the parts. One thread at a time.

    It is to be closed after a dump that was not received to its end.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__(decoder)
        self.known: list[KnownPart] = []
        """The parts of the last `dump`."""
        # The kernel makes a part as large as the buffer that was offered last (max_recvmsg_len in netlink_dump), and
        # the first one before anything was received. After one answer the first dump has the parts of the later ones.
        with suppress(BlockingIOError, RefusedError):  # gVisor may acknowledge nothing, and a sandbox refuse
            self._send(nothing)
            self._socket.recv_into(self._buffer, 0, AT_ONCE)

    def parts(self, request: Callable[[int], bytes], known: Container[int]) -> Iterator[DumpPart]:
        """Yields the datagrams of a dump as they come: the same bytes each time while nothing changes.

        `known` are digests of parts that are neither the last one nor interrupted; these are not decoded. Nothing else
        can be asked through this socket before the last part was received. Raises as `dump` does.
        """
        self._seq = 0  # answers carry the number of the request
        self._send(request)
        last = False
        while not last:
            data = bytes(memoryview(self._buffer)[: self._receive_datagram()])
            try:
                digest = self._digest(data)
                part = (
                    DumpPart(data, digest, interrupted=False, last=False)
                    if digest in known
                    else self._decoded(data, digest)
                )
            except RtnetlinkError as error:
                raise invalid_answer(error) from error
            last = part.last
            yield part

    def _decoded(self, data: bytes, digest: int) -> DumpPart:
        records: list[Listed] = []
        interrupted = last = False
        for _, flags, _, record in self._decoder.decode(data):
            interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
            if isinstance(record, Failure):
                raise_unless(record, 0)
                last = True
            elif record is not None:
                records.append(record)
        return DumpPart(data, digest, interrupted, last, records)

    def _digest(self, data: bytes) -> int:
        """Returns the hash of a part without a neighbour table itself: it comes first, and shows times that go on."""
        kind, *_, end = header(data, 0, len(data))
        if kind == RTM_NEWNEIGHTBL:
            [(*_, record)] = self._decoder.decode(data, end)
            if isinstance(record, NeighbourParameters) and not record.ifindex:
                return hash(data[end:])
        return hash(data)

    def _dump(self, request: Callable[[int], bytes]) -> tuple[list[Listed], bool]:
        self.known = []
        dumped: list[Listed] = []
        interrupted = False
        for part in self.parts(request, ()):
            records = part.records or []
            self.known.append(KnownPart.of(part, records))
            dumped += records
            interrupted = interrupted or part.interrupted
        return dumped, interrupted
