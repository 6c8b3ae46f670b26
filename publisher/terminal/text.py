"""Texts for people: one IP interface in words."""

from __future__ import annotations

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
