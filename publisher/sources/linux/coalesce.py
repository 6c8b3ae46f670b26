"""Classifies rtnetlink messages: parts of a removal, newest states of links, links to read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from .rtnetlink import (
    AF_INET6,
    AF_UNSPEC,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    AddressMessage,
    Failure,
    Link,
    Message,
    NeighbourParameters,
    Record,
)

_IFF_UP = 0x1
_OF_NO_LINK = (Failure, NeighbourParameters)


class Classified(NamedTuple):
    """The parts that messages play, by their positions.

    `newest`: by interface index, the last state of each link that is not removed after it. `part_of_removal`: the
    kernel takes a link down and removes its addresses before it sends DELLINK; that is one change, the removal, and
    no flap. `removed`: the indexes of links that were removed.
    """

    newest: dict[int, int]
    part_of_removal: set[int]
    removed: set[int]


def classify(messages: Sequence[Message]) -> Classified:
    """Classifies messages, seen from their end."""
    newest: dict[int, int] = {}
    part_of_removal: set[int] = set()
    removed: set[int] = set()
    in_removal: set[int] = set()
    for position in range(len(messages) - 1, -1, -1):
        kind, _, _, record = messages[position]
        index = index_of(record)
        if is_removal(kind, record):
            removed.add(index)
            in_removal.add(index)
        elif index not in removed:
            if is_state(kind, record):
                newest.setdefault(index, position)
        elif index in in_removal:
            if _belongs_to_removal(kind, record):
                part_of_removal.add(position)
            else:
                in_removal.discard(index)
    return Classified(newest, part_of_removal, removed)


def hold_back(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Splits messages after which more wait into those to apply now, and those that may be the begin of a removal.

    The latter are the last ones of a link that went down. Their order with those of other links means nothing.
    """
    if not any(is_state(kind, record) and _belongs_to_removal(kind, record) for kind, _, _, record in messages):
        return list(messages), []
    ended: set[int] = set()
    went_down: dict[int, int] = {}
    for position in range(len(messages) - 1, -1, -1):
        kind, _, _, record = messages[position]
        index = index_of(record)
        if index in ended:
            continue
        if is_removal(kind, record) or not _belongs_to_removal(kind, record):
            ended.add(index)
        elif is_state(kind, record):
            went_down[index] = position
    held = [went_down.get(index_of(message.record), len(messages)) <= at for at, message in enumerate(messages)]
    now, later = (
        [message for message, is_held in zip(messages, held, strict=True) if is_held == wanted]
        for wanted in (False, True)
    )
    return now, later


def oldest_states(messages: Iterable[Message]) -> dict[int, Link]:
    """Returns the first state of each link that the messages report, by interface index."""
    oldest: dict[int, Link] = {}
    for kind, _, _, record in messages:
        if isinstance(record, Link) and is_state(kind, record):
            oldest.setdefault(record.ifindex, record)
    return oldest


def states_before(
    known: Mapping[int, Link], waiting: Iterable[Message], removed: Container[int], dump: Iterable[Link]
) -> dict[int, Link]:
    """Returns the links of a dump, by index, in the states before the messages that are not applied yet.

    `removed` are the links whose removal waits: they stay as they are known. A new link that comes after such a removal
    is left to its messages: it may be one of those, plugged in again, and two are never the same.
    """
    replugged = any(index in removed for index in known)
    oldest = oldest_states(waiting)
    links = {index: link for index, link in known.items() if index in removed}
    for link in dump:
        index = link.ifindex
        if index in removed or not link.is_named or (replugged and index in oldest and index not in known):
            continue
        if index in oldest:
            before = known[index] if index in known else oldest[index].identified(link)
            links[index] = before.with_settings(link)
        else:
            links[index] = link
    return links


def touched(messages: Iterable[Message], known: Callable[[int], Link | None] = lambda _: None) -> set[int]:
    """Returns the indexes of the links to read: a message may show settings from before the change, or none at all.

    One that shows a link in all as it is known reports no change of it: a stale message differs in another member.
    """
    indexes: set[int] = set()
    removed: set[int] = set()
    for kind, _, _, record in messages:
        index = index_of(record)
        if index <= 0 or not _touches(kind, record):
            if is_removal(kind, record):
                removed.add(index)
        elif index in removed or not (isinstance(record, Link) and _is_as_known(record, known(index))):
            indexes.add(index)
    return indexes


def is_removal(kind: int, record: Record | None) -> bool:
    """Returns whether a link was removed. A DELLINK of family AF_BRIDGE is a port that leaves its bridge."""
    return kind == RTM_DELLINK and isinstance(record, Link) and record.family == AF_UNSPEC


def is_state(kind: int, record: Record | None) -> bool:
    """Returns whether the message reports a state of a link: every whole one has an mtu and a name."""
    if not (kind == RTM_NEWLINK and isinstance(record, Link) and record.family == AF_UNSPEC):
        return False
    return record.mtu is not None and record.is_named


def is_part(kind: int, record: Record | None) -> bool:
    """Returns whether the message reports a part of a link, and not its state: that of a Wi-Fi scan has a name only."""
    is_new = kind == RTM_NEWLINK and isinstance(record, Link) and record.family == AF_UNSPEC
    return is_new and not is_state(kind, record)


def index_of(record: Record | None) -> int:
    """Returns the index of the link that the record is about, 0 for none."""
    return 0 if record is None or isinstance(record, _OF_NO_LINK) else record.ifindex or 0


def _touches(kind: int, record: Record | None) -> bool:
    if isinstance(record, AddressMessage):
        # The removal of its addresses is all that is reported of an IPv6 that is switched off (docs/linux.md).
        return kind == RTM_DELADDR and len(record.address or b"") == 16
    if isinstance(record, Link):
        return kind == RTM_NEWLINK and record.family in (AF_UNSPEC, AF_INET6)
    return True


def _is_as_known(link: Link, known: Link | None) -> bool:
    return known is not None and link.family == AF_UNSPEC and link.state == known.state


def _belongs_to_removal(kind: int, record: Record | None) -> bool:
    if isinstance(record, Link):
        return record.family != AF_UNSPEC or not record.flags & _IFF_UP
    return kind != RTM_NEWADDR
