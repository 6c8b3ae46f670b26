"""One node of a stream that is in order and whole, as Server-Sent Events are. No I/O."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from ..events import AnyEvent
from ..sink import Cursor
from .given import Surroundings
from .outbox import NodeStatus
from .received import Count


class StreamedStatus(BaseModel):
    """The state of a node, as a stream tells it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    node: str = Field(min_length=1, max_length=255)
    online: bool
    in_sync: bool
    epoch: str = Field(default="", max_length=64)
    seq: Count = 0
    skips: bool = False


class StreamedNode:
    """Gives each event once, whatever is sent again after a reconnect."""

    def __init__(self, node: str, around: Surroundings, since: Cursor | None = None) -> None:
        self._around = around
        self._at = since
        self._told = NodeStatus(node, online=False, in_sync=False)

    def event(self, event: AnyEvent) -> None:
        """Takes the next event."""
        place = event.snapshot
        if place is None:
            if self._at is not None and event.epoch == self._at.epoch and event.seq <= self._at.seq:
                return
            self._at = Cursor(event.epoch, event.seq)
        elif place.position == place.count:
            self._at = Cursor(event.epoch, event.seq)
        self._around.put(event)

    def status(self, status: StreamedStatus) -> None:
        """Takes the node's state."""
        self._tell(NodeStatus(status.node, status.online, status.in_sync, skips=status.skips))

    def disconnected(self) -> None:
        """Notes that the stream ended: nobody knows of the node."""
        self._tell(replace(self._told, online=False, in_sync=False))

    def _tell(self, status: NodeStatus) -> None:
        at = self._at or Cursor("", 0)  # the place of what was given, not of what is to come
        status = replace(status, epoch=at.epoch, seq=at.seq)
        if replace(status, seq=0) != replace(self._told, seq=0):
            self._around.put(status)
        self._told = status
