"""The keys of the buckets: the subjects that a viewer reads, and what each message means. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from publisher.events import Family, Key

from ..names import POSITION, STATUS, NodeSubjects, node_of, status_bucket, stream_of, subject_of

if TYPE_CHECKING:
    from publisher.client import Nodes

    from .consumer import PlacedMessage

_ROW = re.compile(r"(?P<luid>[0-9a-f]{16})\.(?P<family>inet6?)")
_REMOVED = frozenset({"DEL", "PURGE"})


class Bucket:
    """The bucket of the rows and that of the nodes' statuses, for the followed nodes."""

    def __init__(self, name: str, nodes: tuple[str, ...]) -> None:
        self._name = name
        self._nodes = [NodeSubjects(name, node) for node in nodes]
        self._rows, self._statuses = subject_of(name, ""), subject_of(status_bucket(name), "")
        self.stream, self.status_stream = stream_of(name), stream_of(status_bucket(name))
        self._node_of = lru_cache(maxsize=8192)(_node_of)

    def subjects(self) -> tuple[str, ...]:
        """Returns the subjects of rows and positions."""
        return tuple(node.every for node in self._nodes) or (f"{self._rows}>",)

    def status_subjects(self) -> tuple[str, ...]:
        """Returns the subjects of the statuses."""
        return tuple(node.status for node in self._nodes) or (f"{self._statuses}*.{STATUS}",)

    def subjects_of(self, node: str) -> tuple[str, ...]:
        """Returns the subjects of one node's rows and position."""
        return (NodeSubjects(self._name, node).every,)

    def position_of(self, node: str) -> tuple[str, ...]:
        """Returns the subject of one node's position."""
        return (NodeSubjects(self._name, node).position,)

    def give(self, message: PlacedMessage, nodes: Nodes) -> None:
        """Gives a message of the rows to its node; one under another key is nobody's."""
        token, _, rest = message.subject.removeprefix(self._rows).partition(".")
        node, removed = self._node_of(token), is_removed(message)
        if node is None:
            return
        if rest == POSITION:
            nodes.ordered.position(node, message.place, None if removed else message.payload)
        elif match := _ROW.fullmatch(rest):
            family: Family = "inet6" if match["family"] == "inet6" else "inet"
            nodes.ordered.row(node, message.place, Key(match["luid"], family), message.payload, removed=removed)

    def give_status(self, message: PlacedMessage, nodes: Nodes) -> None:
        """Gives a status to its node."""
        token, _, _ = message.subject.removeprefix(self._statuses).partition(".")
        if (node := self._node_of(token)) is not None:
            nodes.ordered.status(node, None if is_removed(message) else message.payload)


def _node_of(token: str) -> str | None:
    try:
        return node_of(token)
    except ValueError:
        return None


def is_removed(message: PlacedMessage) -> bool:
    """Returns whether a message removes its key: by a publisher, or by the server at the end of its time."""
    return message.headers.get("KV-Operation") in _REMOVED or "Nats-Marker-Reason" in message.headers
