"""The contract of an operating system behind `publisher.netioapi`, and the rows that it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..errors import NetioError
from ..events import Family, Interface, IpInterfaceRow, NotificationType
from ..sources import Families

# Receives a notification. Called from any thread, and from several at once: it only queues.
Receiver = Callable[[IpInterfaceRow | None, NotificationType], None]


@dataclass(frozen=True)
class IfRow:
    """MIB_IF_ROW2: an interface, with its LUID and its index."""

    interface_luid: str
    interface_index: int
    interface: Interface


class IfStackRow(NamedTuple):
    """MIB_IFSTACK_ROW: one interface on top of another, by their indexes."""

    higher_layer_interface_index: int
    lower_layer_interface_index: int


class InvertedIfStackRow(NamedTuple):
    """MIB_INVERTEDIFSTACK_ROW: the same pair, the lower interface first."""

    lower_layer_interface_index: int
    higher_layer_interface_index: int


class System(Protocol):
    """An operating system's part of the calls. Arguments are checked already; a LUID is preferred to an index."""

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Callable[[], None]:
        """Calls the receiver for each change from now on. The function that it returns ends that, and waits for it."""
        ...

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        ...

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        ...

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface; raises InterfaceNotFoundError."""
        ...

    def if_rows(self) -> list[IfRow]:
        """Returns each interface once."""
        ...

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        ...

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        ...


def refusal(kind: type[NetioError], what: str) -> NetioError:
    """Returns an error that we raise without asking the system, with the code and text that Windows would give."""
    from ..sources.windows.calls import error_text

    text = error_text(kind.winerror_code)
    return kind(f"{what}{text and ': '}{text} (error {kind.winerror_code})")
