"""Texts for people: any text made harmless, and one IP interface in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


def printable(text: str, *, keep: str = "") -> str:
    r"""Returns the text with every character that is not printable as an escape, like `\x1b`.

    An interface's name may hold any bytes, and a terminal would obey an escape sequence in it. The characters of `keep`
    stay as they are, for example line feeds.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


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
