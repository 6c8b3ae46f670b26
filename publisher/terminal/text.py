"""Texts for people: one IP interface in words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ..printable import printable


class RowMembers(Protocol):
    """The members of a row that people see."""

    @property
    def connected(self) -> bool | None: ...
    @property
    def nl_mtu(self) -> int | None: ...
    @property
    def metric(self) -> int | None: ...


class InterfaceMembers(Protocol):
    """The members of an interface that people see."""

    @property
    def alias(self) -> str: ...
    @property
    def oper_status(self) -> str: ...


class AddressMembers(Protocol):
    """The members of an address that people see."""

    @property
    def address(self) -> str: ...
    @property
    def prefix_length(self) -> int: ...
    @property
    def dad_state(self) -> str: ...


class Columns(NamedTuple):
    """One IP interface in words. A text is empty where the value is not known."""

    name: str
    status: str
    connected: str
    mtu: str
    metric: str
    addresses: tuple[str, ...]


def columns_of(row: RowMembers, interface: InterfaceMembers, addresses: Iterable[AddressMembers]) -> Columns:
    """Returns the words for one IP interface; every text is printable."""
    return Columns(
        name=printable(interface.alias),
        status=printable(interface.oper_status),
        connected={True: "yes", False: "no", None: ""}[row.connected],
        mtu="" if row.nl_mtu is None else str(row.nl_mtu),
        metric="" if row.metric is None else str(row.metric),
        addresses=tuple(map(address_text, addresses)),
    )


def address_text(entry: AddressMembers) -> str:
    """Returns the address with its prefix length, and its state unless that is the usual one."""
    state = "" if entry.dad_state == "preferred" else f" ({entry.dad_state})"
    return printable(f"{entry.address}/{entry.prefix_length}{state}")


class Ago(NamedTuple):
    """A moment in words, and the seconds until the words change."""

    text: str
    seconds: float


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 31_557_600
# Up to 119 min, 47 h and 99 days: a number of two digits is quicker to read than a unit is to compare.
_AGES = (
    (2 * _MINUTE, 1, "s"),
    (2 * _HOUR, _MINUTE, "min"),
    (2 * _DAY, _HOUR, "h"),
    (100 * _DAY, _DAY, "days"),
    (2 * _YEAR, 7 * _DAY, "weeks"),
)


def ago(seconds: float) -> Ago:
    """Returns the words for a moment so many seconds ago, like "12 s ago"; a moment to come is now, by a clock that
    differs.
    """
    if seconds < 1:
        return Ago("now", 1 - seconds)
    for below, length, unit in _AGES:
        if seconds < below:
            number = int(seconds // length)
            return Ago(f"{number} {unit} ago", (number + 1) * length - seconds)
    number = int(seconds // _YEAR)
    return Ago(f"{number} years ago", (number + 1) * _YEAR - seconds)


def moment_text(moment: float, now: float) -> str:
    """Returns the local time of day of a moment in seconds since 1970, with the date when that is not today's.

    A moment that no calendar has is a question mark.
    """
    try:
        then, today = time.localtime(moment), time.localtime(now)
    except (OverflowError, ValueError, OSError):
        return "?"
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)
