"""The interfaces that a page shows: this host's, or those of a fleet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from publisher.events import Family

from ..stream.messages import SseMessages
from ..stream.stream import EventStream


class HistoryRequest(NamedTuple):
    """The parameters of `/api/history`."""

    node: str | None = None
    luid: str | None = None
    family: Family | None = None
    before: int | None = None
    limit: int = 100


class Unavailable(Exception):  # noqa: N818  # an answer to a reader: try again
    """It cannot be read for now; the text has the reason."""


class ShownInterfaces(Protocol):
    """The interfaces and their events. All methods are called on the server's loop."""

    epoch: str
    """The first part of the ids of messages."""
    stream: EventStream

    def nodes(self, seq: int, *, in_sync: bool) -> list[dict[str, Any]]:
        """Returns the state of each node, for a viewer that has everything up to this message, or has not."""
        ...

    def knows_rows(self, snapshot: SseMessages) -> bool:
        """Returns whether who has this snapshot is in sync."""
        ...

    async def snapshot(self) -> SseMessages:
        """Returns the rows as they are now, as messages."""
        ...

    async def missed(self, seq: int) -> SseMessages | None:
        """Returns the messages after this one, perhaps with some before it; `None` when they are not all there."""
        ...

    async def rows(self) -> Iterable[bytes]:
        """Returns the answer of `/api/rows`, in parts. Raises Unavailable."""
        ...

    async def history(self, request: HistoryRequest) -> bytes:
        """Returns the answer of `/api/history`. Raises Unavailable."""
        ...

    async def status(self) -> Mapping[str, Any]:
        """Returns the answer of `/api/status`. Raises Unavailable."""
        ...
