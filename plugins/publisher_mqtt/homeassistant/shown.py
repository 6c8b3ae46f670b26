"""The members of rows that devices of Home Assistant show, and by which a container's interface is recognised. No I/O.

A device depends on few members of its rows, and nearly no event changes one of them: these are kept, and compared,
instead of rows and payloads.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from publisher.events import Address, Family, Interface, IpInterfaceRow

# IANA types of interfaces that have a link speed when they are up: Ethernet and Wi-Fi.
_ETHERNET = 6
_TYPES_WITH_SPEED = frozenset({_ETHERNET, 71})
# Their kinds on Linux; of others, some have one while they are up (a tap reports 10 Mbit/s).
_KINDS_WITH_SPEED = frozenset({None, "bond", "bridge", "ipvlan", "macvlan", "macvtap", "team", "veth", "vlan"})
# Those whose speed a cable or a port decides; that of Wi-Fi is another at each moment, that of others the host's.
_KINDS_OF_CABLES = frozenset({None, "bond", "team"})


class ShownRow(NamedTuple):
    """The members of one row; `model` is the interface in words."""

    alias: str
    model: str
    kind: str | None
    link_netnsid: int | None
    higher: tuple[str, ...]
    lower: tuple[str, ...]
    has_speed: bool
    may_be_slower: bool
    has_mtu: bool
    has_metric: bool
    has_global_address: bool


class Shape(NamedTuple):
    """Everything that a device's payload depends on."""

    luid: str
    alias: str
    model: str
    family: Family
    components: tuple[str, ...]

    @property
    def size(self) -> int:
        """A number that grows with the payload's size."""
        return 200 * len(self.components) + len(self.alias) + len(self.model)


def shown_row(row: IpInterfaceRow, interface: Interface, addresses: Iterable[Address]) -> ShownRow:
    """Returns the members of this row that are shown."""
    kind = interface.kind
    # Also while the speed is unknown since the link is down: else each flap would remove and add the entity.
    has_speed = interface.type in _TYPES_WITH_SPEED and kind in _KINDS_WITH_SPEED
    return ShownRow(
        alias=interface.alias,
        model=intern(interface.description or kind or f"interface type {interface.type}"),
        kind=kind and intern(kind),
        link_netnsid=interface.link_netnsid,
        higher=interface.higher,
        lower=interface.lower,
        has_speed=has_speed or interface.transmit_link_speed is not None,
        may_be_slower=interface.type == _ETHERNET and kind in _KINDS_OF_CABLES,
        has_mtu=row.nl_mtu is not None,
        has_metric=row.metric is not None,
        has_global_address=any(address.scope == "global" for address in addresses),
    )


@lru_cache(maxsize=1024)
def shared(names: frozenset[str]) -> frozenset[str]:
    """Returns an equal set that others have, too: thousands of devices have the same few components."""
    return names
