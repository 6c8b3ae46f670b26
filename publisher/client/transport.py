"""The contract between a subscription and its transport: MQTT, HTTP, or a plugin's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..sink import Cursor

if TYPE_CHECKING:
    from .nodes import Nodes


@dataclass(frozen=True)
class SubscribeRequest:
    """The arguments of `publisher.subscribe`."""

    url: str
    nodes: tuple[str, ...] = ()
    """The nodes to follow; empty for all."""
    since: Mapping[str, Cursor] = field(default_factory=dict)
    base: str = "interfaces"
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    credentials_file: Path | None = None


@dataclass(frozen=True)
class Question:
    """A request to a node: the events after `since`, or the rows when it is `None`.

    With `last` it is for so many of the newest events, those of the interface `luid` alone if that is given.
    """

    node: str
    since: Cursor | None = None
    last: int | None = None
    luid: str | None = None


Wait = Callable[[int, float], object]
"""Waits until a descriptor can be read, at most so many seconds, or until the subscription is woken."""


class ClientLink(Protocol):
    """One connection. All methods but `interrupt` are called on the subscription's thread."""

    def receive(self, wait: Wait, seconds: float) -> None:
        """Waits at most so long, and gives what came to the nodes; raises PublisherError when the link is lost.

        Its text is logged as it is: it has the place, as in "the connection to broker.lan:1883 is lost: ...".

        It waits by `wait` where it can, which ends when the subscription is closed; else `interrupt` ends it.
        """
        ...

    def ask(self, question: Question) -> None:
        """Sends a question; the answer is given to the nodes, and a refusal, too.

        That to a question with `last` is given to `Nodes.past`, and its refusal to `Nodes.past_refused`.
        """
        ...

    def states_again(self, node: str) -> None:
        """Has what is retained of this node sent once more, or the whole connection made anew."""
        ...

    def interrupt(self) -> None:
        """Ends a `receive` that does not wait by `wait`, since the subscription is closed. Any thread."""
        ...

    def close(self) -> None:
        """Ends the connection at once."""
        ...


class Transport(Protocol):
    """Makes the connections of one subscription, on its thread."""

    def connect(self, nodes: Nodes) -> ClientLink:
        """Returns a link that has subscribed, and that gives what it receives to `nodes`.

        Raises ConfigurationError for what cannot be used, PublisherError for what cannot be reached.
        """
        ...


TransportFactory = Callable[[SubscribeRequest], Transport]
"""Makes the transport for a URL; raises ConfigurationError. It connects nowhere."""
