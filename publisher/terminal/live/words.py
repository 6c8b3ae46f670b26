"""One interface with both of its families in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len

from ...events import Added, Address, Changed, DefaultRoute, Event, Family, InitialNotification, Interface
from ...printable import printable
from ...text import speed_text
from ..text import address_text

# IPv4 first, then what others can reach.
_SCOPES = ("global", "organization", "site", "admin", "subnet", "link", "interface")
_STATES = {"lower_layer_down": "lower down", "not_present": "absent"}
# Of more digits nobody makes a number.
_PARTS = re.compile(r"[0-9]{1,18}|[^0-9]+")
# The worst first, for sorting.
_RANKS = {"down": 0, "lower down": 1, "absent": 2, "up": 8, "off": 9}
_STATE_STYLES = {"up": "green", "down": "red", "lower down": "red", "absent": "red", "off": "dim"}


class Words(NamedTuple):
    """One interface in words; every text is printable, and empty where nothing is known."""

    name: str
    state: str
    state_style: str
    state_rank: int
    speed: str
    bits_per_second: int
    families: str
    mtu: str
    route: str
    addresses: tuple[str, ...]
    order: tuple[tuple[int, int | str], ...]
    """Sorts names as people do: eth2 before eth10."""
    widths: tuple[int, int, int, int]
    """The cells of name, state, speed and default route."""
    search: str
    """The text that a filter searches, in lower case."""


def words_of(interface: Interface, rows: Mapping[Family, InitialNotification | Added | Changed]) -> Words:
    """Returns the words for an interface and its rows by family."""
    both = [rows[family] for family in ("inet", "inet6") if family in rows]
    state = _state(interface, connected=any(event.row.connected for event in both))
    speed, bits = _speed(interface, is_up=state == "up")
    name = printable(interface.alias)
    mtus = list(dict.fromkeys(event.row.nl_mtu for event in both if event.row.nl_mtu is not None))
    addresses = tuple(address_text(entry) for event in both for entry in sorted(event.addresses, key=_by_scope))
    route = _route([route for event in both for route in event.default_routes])
    about = (interface.description, interface.kind, interface.physical_address)
    return Words(
        name=name,
        state=state,
        state_style=_STATE_STYLES.get(state, "yellow"),
        state_rank=_RANKS.get(state, 5),
        speed=speed,
        bits_per_second=bits,
        families=" ".join("6" if event.family == "inet6" else "4" for event in both),
        mtu="/".join(map(str, mtus)),
        route=route,
        addresses=addresses,
        order=tuple((0, int(part)) if part[0] in "0123456789" else (1, part) for part in _PARTS.findall(name.lower())),
        widths=(cell_len(name), len(state), len(speed), len(route)),
        search=" ".join([name, state, *addresses, *(printable(text) for text in about if text)]).lower(),
    )


def style_of(event: Event) -> str:
    """Returns the colour of a change: red when something is not there any more, green when it is there again."""
    kinds = set(event.kinds)
    if kinds & {"removed", "link_down"}:
        return "red"
    return "green" if kinds & {"added", "link_up"} else "yellow"


def _state(interface: Interface, *, connected: bool) -> str:
    """Returns the state in a word: a loopback, a tunnel has no state of its own, and is up when it is connected."""
    if interface.oper_status == "up" or (interface.oper_status == "unknown" and connected):
        return "up"
    if interface.admin_status == "down":
        return "off"
    return _STATES.get(interface.oper_status, interface.oper_status)


def _speed(interface: Interface, *, is_up: bool) -> tuple[str, int]:
    """Returns the speed in words and in bit/s: the last one that it had when it is not up."""
    if is_up:
        bits = interface.transmit_link_speed or 0
        return (speed_text(bits) if bits else ""), bits
    last = interface.last_link_speed or 0
    return (f"was {speed_text(last)}" if last else ""), 0


def _by_scope(address: Address) -> int:
    return _SCOPES.index(address.scope)


def _route(routes: list[DefaultRoute]) -> str:
    hops = dict.fromkeys("on-link" if route.next_hop is None else printable(route.next_hop) for route in routes)
    return ", ".join(hops)
