"""The details of a link that rtnetlink does not have, and the dump that fills the cache of links."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ...events import Family
from .iftype import interface_type
from .rows import PathMtuTimes, Times, bare_name, may_be_wireless, may_have_speed
from .rtnetlink import AddressMessage, Link, NeighbourParameters


class LinkDetails(Protocol):
    """Details of a link, by its name."""

    def times(self, family: Family, name: bytes) -> Times: ...
    def speed(self, name: bytes) -> int | None: ...
    def is_wireless(self, name: bytes, index: int) -> bool: ...


class Dump(NamedTuple):
    """Everything that was read at one moment."""

    links: list[Link]
    addresses: list[AddressMessage]
    neighbours: list[NeighbourParameters]
    path_mtu: PathMtuTimes


def type_of(link: Link, details: LinkDetails) -> int:
    """Returns the IANA ifType of a link."""
    wireless = may_be_wireless(link) and details.is_wireless(bare_name(link), link.ifindex)
    return interface_type(link, wireless=wireless)


def speed_of(link: Link, details: LinkDetails) -> int | None:
    """Returns the speed of a link in bit/s, None when it is not known."""
    return details.speed(bare_name(link)) if may_have_speed(link) else None
