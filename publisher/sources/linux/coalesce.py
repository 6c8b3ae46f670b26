"""What becomes of the interfaces in a row of messages, seen from its end. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from .rtnetlink import (
    AF_UNSPEC,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    Address,
    Failure,
    Link,
    Message,
    Neighbours,
    Record,
)

_IFF_UP = 0x1
_COUNTERS = Link._fields.index("carrier_ups")


class Classified(NamedTuple):
    """Positions of messages.

    `lasting`: about an interface that is not removed after it, so a read made later is about the same interface.
    `part_of_removal`: the kernel takes an interface down and its addresses away before it sends DELLINK; that is one
    change, the removal, and no flap. `removed`: the indexes of interfaces that were removed.
    """

    lasting: set[int]
    part_of_removal: set[int]
    removed: set[int]


def classify(messages: Sequence[Message]) -> Classified:
    """What becomes of each."""
    lasting: set[int] = set()
    part_of_removal: set[int] = set()
    removed: set[int] = set()
    going: set[int] = set()
    for position in range(len(messages) - 1, -1, -1):
        kind, _, _, record = messages[position]
        index = index_of(record)
        if is_removal(kind, record):
            removed.add(index)
            going.add(index)
            continue
        if index not in removed:
            lasting.add(position)
        elif index in going:
            if _belongs_to_removal(kind, record):
                part_of_removal.add(position)
            else:
                going.discard(index)
    return Classified(lasting, part_of_removal, removed)


def touched(messages: Sequence[Message], known: Container[int]) -> set[int]:
    """The interfaces to read, once each: a message may be older than the settings it shows, or shows none at all."""
    indexes = set()
    for kind, _, _, record in messages:
        index = index_of(record)
        if isinstance(record, Address):
            # IPv6 switched off is told by its addresses only.
            if (kind == RTM_DELADDR and len(record.address or b"") == 16) or index not in known:
                indexes.add(index)
        elif not (isinstance(record, Link) and (kind != RTM_NEWLINK or record.family not in (AF_UNSPEC, 10))):
            indexes.add(index)
    return {index for index in indexes if index > 0}


def is_removal(kind: int, record: Record | None) -> bool:
    """Whether an interface is gone: a bridge's DELLINK only says that a port left it."""
    return kind == RTM_DELLINK and isinstance(record, Link) and record.family == AF_UNSPEC


def index_of(record: Record | None) -> int:
    """The interface it is about, 0 for none."""
    if record is None or isinstance(record, Failure | Neighbours):
        return 0
    return record.ifindex or 0


def same(one: Link, other: Link) -> bool:
    """Whether two links say the same; how often the carrier came and went aside."""
    return one[:_COUNTERS] == other[:_COUNTERS]


def _belongs_to_removal(kind: int, record: Record | None) -> bool:
    if isinstance(record, Link):
        return record.family != AF_UNSPEC or not record.flags & _IFF_UP
    return kind != RTM_NEWADDR
