"""Linux: reads what the calls return, in the network namespace of the calling thread."""

from __future__ import annotations

import logging
import sys
from contextlib import closing

from ..errors import InterfaceNotFoundError
from ..events import IpInterface
from ..sources.linux.cache import LinkCache
from ..sources.linux.requests import link_dump, unfiltered_link_dump
from ..sources.linux.rtnetlink import Decoder, Link
from ..sources.luids import LuidAssigner, LuidStore
from .linux_rows import Counters, CountersDecoder, counters_request
from .system import refusal

if sys.platform == "linux":
    from ..sources.linux.netlink import InterruptedDumpError, RefusedError, RequestSocket
    from ..sources.linux.reader import LinuxReader

assert sys.platform == "linux"


def read_rows(luids: LuidStore) -> list[IpInterface]:
    """Returns the IP interfaces of this moment, sorted by LUID and family; raises SourceError.

    It opens no source: nothing is followed, so no receive buffer and no watches of settings are needed.
    """
    log = logging.getLogger("publisher.netioapi")
    with closing(LinuxReader(Decoder(), log)) as reader:
        cache = LinkCache(log, LuidAssigner(luids), reader.details, "unspec")
        rows, _ = cache.resync(reader.dump(), ())
    return sorted(rows, key=lambda row: row.key)


def read_links() -> dict[int, Link]:
    """Returns the links by index; raises SourceError."""
    with closing(RequestSocket(Decoder())) as requests:
        try:
            records = requests.dump(link_dump)
        except RefusedError:
            records = requests.dump(unfiltered_link_dump)
    return {record.ifindex: record for record in records if isinstance(record, Link)}


def read_link(index: int) -> tuple[Link, Counters]:
    """Returns a link and its counters; raises InterfaceNotFoundError, SourceError."""
    with closing(RequestSocket(Decoder())) as requests:
        link = requests.links([index])[index]
    if link is None:
        raise _removed(index)
    with closing(RequestSocket(CountersDecoder())) as requests:
        try:
            records: list[object] = [*requests.dump(lambda seq: counters_request(seq, index))]
        except InterruptedDumpError as error:  # ENODEV is among what it stands for
            raise _removed(index) from error
    [counters] = [record for record in records if isinstance(record, Counters)]
    return link, counters


def _removed(index: int) -> InterfaceNotFoundError:
    return refusal(InterfaceNotFoundError, f"the interface {index} was removed meanwhile")
