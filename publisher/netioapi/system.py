"""The contract of an operating system behind `publisher.netioapi`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeVar

from ..errors import NetioError, SourceError, SystemFailureError
from ..errors import refusal as refused_by_the_system
from ..events import Family, IpInterfaceRow, NotificationType
from ..sources import Families
from .rows import IfRow, IfStackRow, InvertedIfStackRow, IpForwardRow, UnicastIpAddressRow

# Receive a notification. Called from any thread, and from several at once: they only queue.
Receiver = Callable[[IpInterfaceRow | None, NotificationType], None]
AddressReceiver = Callable[[UnicastIpAddressRow | None, NotificationType], None]
RouteReceiver = Callable[[IpForwardRow | None, NotificationType], None]
Unsubscribe = Callable[[], None]

E = TypeVar("E", bound=NetioError)

ERROR_NOT_ENOUGH_MEMORY = 8

NameKind = Literal["alias", "name", "guid"]


class System(Protocol):
    """An operating system's part of the calls. Arguments are checked already; a LUID is preferred to an index.

    A function that a `subscribe` returns ends the subscription, and waits for a receiver that runs.
    """

    def subscribe(self, family: Families, receiver: Receiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of an IP interface from now on."""
        ...

    def subscribe_addresses(self, family: Families, receiver: AddressReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a unicast address from now on; of its row the key is set."""
        ...

    def subscribe_routes(self, family: Families, receiver: RouteReceiver, initial: bool) -> Unsubscribe:
        """Calls the receiver for each change of a default route from now on; of its row the key is set."""
        ...

    def ip_interface(self, family: Family, luid: str | None, index: int | None) -> IpInterfaceRow:
        """Returns the row; raises InterfaceNotFoundError or NotFoundError."""
        ...

    def ip_interfaces(self, family: Families) -> list[IpInterfaceRow]:
        """Returns the rows of the family."""
        ...

    def addresses(self, family: Families) -> list[UnicastIpAddressRow]:
        """Returns the unicast addresses of the family."""
        ...

    def default_routes(self, family: Families) -> list[IpForwardRow]:
        """Returns the default routes of the family, in any order."""
        ...

    def if_row(self, luid: str | None, index: int | None) -> IfRow:
        """Returns the interface with its counters; raises InterfaceNotFoundError."""
        ...

    def if_rows(self) -> list[IfRow]:
        """Returns each interface once, without counters."""
        ...

    def if_stack(self) -> list[IfStackRow]:
        """Returns the pairs of neighbours in the stack, the higher first."""
        ...

    def inverted_if_stack(self) -> list[InvertedIfStackRow]:
        """Returns the same pairs, the lower first."""
        ...

    def luid_of_index(self, index: int) -> str:
        """Returns the LUID of an index; raises InterfaceNotFoundError."""
        ...

    def index_of(self, luid: str) -> int:
        """Returns the index of a LUID; raises InterfaceNotFoundError."""
        ...

    def luid_of(self, kind: NameKind, name: str) -> str:
        """Returns the LUID of a name of this kind; raises InterfaceNotFoundError, or NotSupportedError."""
        ...

    def name_of(self, kind: NameKind, luid: str) -> str:
        """Returns the name of this kind; raises InterfaceNotFoundError, or NotSupportedError."""
        ...

    def after_fork(self) -> None:
        """Forgets, in a child process, what threads of the parent hold; called before anything else in the child."""
        ...


def refusal(kind: type[E], what: str) -> E:
    """Returns an error that we raise without asking the system, with the code and text that Windows would give."""
    from ..sources.windows.calls import error_text

    text = error_text(kind.winerror_code)
    return kind(f"{what}{text and ': '}{text} (error {kind.winerror_code})")


@contextlib.contextmanager
def netio_errors() -> Iterator[None]:
    """Turns what this system or a limit of the process refuses into a NetioError."""
    try:
        yield
    except NetioError:
        raise
    except (SourceError, OSError, MemoryError, RuntimeError) as error:
        text = str(error) if isinstance(error, SourceError) else refused_by_the_system(error)
        if text is None:
            raise
        no_resource = isinstance(error, MemoryError | RuntimeError)
        code = ERROR_NOT_ENOUGH_MEMORY if no_resource else SystemFailureError.winerror_code
        raise SystemFailureError(f"{text} (error {code})", code) from error
