"""What an operating system does for `publisher.netioapi`, and in which terms it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..errors import NetioError
from ..events import Family, Interface, IpInterfaceRow, NotificationType
from ..sources import Families

# Where a system puts what it tells: only notes it, from any thread, several at once.
Ring = Callable[[IpInterfaceRow | None, NotificationType], None]


@dataclass(frozen=True)
class IfRow:
    """MIB_IF_ROW2: an interface and what it is known by."""

    interface_luid: str
    interface_index: int
    interface: Interface


class IfStackRow(NamedTuple):
    """MIB_IFSTACK_ROW: one interface on top of another, by their indexes."""

    higher_layer_interface_index: int
    lower_layer_interface_index: int


class InvertedIfStackRow(NamedTuple):
    """MIB_INVERTEDIFSTACK_ROW: the same, the other way round."""

    lower_layer_interface_index: int
    higher_layer_interface_index: int


class System(Protocol):
    """What an operating system does for these calls. Arguments are checked already; LUIDs win over indexes."""

    def subscribe(self, family: Families, ring: Ring, initial: bool) -> Callable[[], None]:
        """Ring for every change from now on; the function returned ends that, and rings no more once it returned."""
        ...

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow: ...

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]: ...

    def if_row(self, luid: str | None, index: int | None) -> IfRow: ...

    def if_rows(self) -> list[IfRow]: ...

    def if_stack(self) -> list[IfStackRow]: ...

    def inverted_if_stack(self) -> list[InvertedIfStackRow]: ...


def refusal(kind: type[NetioError], what: str) -> NetioError:
    """An error of our own judgement, with the code and the text that Windows would have given."""
    from ..sources.windows.calls import error_text

    text = error_text(kind.winerror_code)
    return kind(f"{what}{text and ': '}{text} (error {kind.winerror_code})")
