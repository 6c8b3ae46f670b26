"""The nodes of a subscription to a stream in one order: each message is read, and given to its node. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..events import AnyEvent, Key
from ..untrusted import UntrustedError
from .given import Surroundings
from .ordered import OrderedNode
from .received import EventPlace, NodePosition, OrderedStatus, read, read_event, read_row

if TYPE_CHECKING:
    from .transport import SubscribeRequest

# 100,000 rows of usual size are 200 MB; those of anybody's making may be a thousand times larger.
_MOST_BYTES_HELD = 256 << 20
_LONGEST_NODE = 255


class OrderedNodes:
    """Every node that is followed in such a stream; used on the subscription's thread.

    A transport calls `begin`, then `row` and `position` for each message in the order of their `place`, then `end` when
    it has given all that was there, and goes on with what comes. After a lost connection it calls `resumed` instead of
    `begin` where the stream goes on behind what it gave. `end` with a node ends the answer to a question.
    """

    def __init__(
        self,
        request: SubscribeRequest,
        around: Surroundings,
        clock: Callable[[], float],
        cannot_read: Callable[[str, Exception], object],
        *,
        most_nodes: int,
        most_rows: int,
    ) -> None:
        self._request = request
        self._around = around
        self._clock = clock
        self._cannot_read = cannot_read
        self._most_nodes, self._most_rows = most_nodes, most_rows
        self._rows_left, self._bytes_left = 0, 0
        self._nodes: dict[str, OrderedNode] = {}
        self._reads_all = True

    @property
    def is_busy(self) -> bool:
        """True while a node waits for a moment."""
        return not self._reads_all and any(node.is_busy for node in self._nodes.values())

    def begin(self) -> None:
        """Begins to read everything."""
        self._reads_all = True
        for node in self._nodes.values():
            node.begin()

    def resumed(self) -> None:
        """Goes on behind what was given."""
        for node in self._nodes.values():
            node.resumed()

    def row(self, node: str, place: int, key: Key, payload: bytes, *, removed: bool = False) -> None:
        """Takes a message of an IP interface; `removed` and without a payload it is nobody's event."""
        try:
            self._count_row(payload)
            is_event = not removed or bool(payload)
            if (about := self._node(node, may_add=is_event)) is not None:
                about.message(place, key, *(self._event(node, key, payload) if is_event else (None, None)))
        except UntrustedError as error:
            self._cannot_read(f"of node {node!r}", error)

    def position(self, node: str, place: int, payload: bytes | None) -> None:
        """Takes the place of the last event that a node has written; `None` for one that is removed."""
        try:
            if (about := self._node(node, may_add=payload is not None)) is not None:
                about.position(place, None if payload is None else read(NodePosition, payload).cursor)
        except UntrustedError as error:
            self._cannot_read(f"of node {node!r}", error)

    def status(self, node: str, payload: bytes | None) -> None:
        """Takes a node's status; `None` when its lease has run out."""
        try:
            state = None if payload is None else read(OrderedStatus, payload)
            if state is not None and state.node != node:
                raise UntrustedError("a status under the key of another node")
            if (about := self._node(node, may_add=state is not None)) is not None:
                about.status(state)
        except UntrustedError as error:
            self._cannot_read(f"of node {node!r}", error)

    def end(self, node: str | None = None) -> None:
        """Notes that all was given that was there; of one node, all that was asked for."""
        if node is None:
            self._reads_all = False
        for about in list(self._nodes.values()) if node is None else [self._nodes[node]]:
            about.end(is_answer=node is not None)

    def look(self) -> None:
        """Ends leases that were not renewed; called about once a second."""
        for node in self._nodes.values():
            node.look()

    def disconnected(self) -> None:
        """Notes that the connection is lost."""
        for node in self._nodes.values():
            node.disconnected()

    def tick(self) -> None:
        """Does what is due by now."""
        for node in list(self._nodes.values()):
            node.tick()

    def _event(self, node: str, key: Key, payload: bytes) -> tuple[AnyEvent | EventPlace, bytes | None]:
        """Returns the event, and its own JSON if that is the payload."""
        row = read_row(payload) if self._reads_all else None
        event, data = (read_event(payload), None) if row is None else (row, payload)
        if isinstance(event, EventPlace):
            return event, None
        if event.key != key:
            raise UntrustedError("an event under the key of another row")
        # As the key has it: a journal keeps the events of a host that was renamed.
        return (event if event.node == node else event.replaced({"node": node})), data

    def _count_row(self, payload: bytes) -> None:
        """Raises UntrustedError when there is no room for one more row; counted anew when there might be none."""
        if self._rows_left <= 0 or self._bytes_left < len(payload):
            nodes = self._nodes.values()
            self._rows_left = self._most_rows - sum(node.row_count for node in nodes)
            self._bytes_left = _MOST_BYTES_HELD - sum(node.byte_count for node in nodes)
        if self._rows_left <= 0 or self._bytes_left < len(payload):
            raise UntrustedError("too many rows")
        self._rows_left -= 1
        self._bytes_left -= len(payload)

    def _node(self, name: str, *, may_add: bool) -> OrderedNode | None:
        """Returns the node; `None` for one that is not followed, or of which nothing is there but what was removed."""
        if self._request.nodes and name not in self._request.nodes:
            return None
        found = self._nodes.get(name)
        if found is None and may_add:
            if len(self._nodes) >= self._most_nodes or not 0 < len(name) <= _LONGEST_NODE:
                raise UntrustedError("too many nodes, or a node with too long a name")
            found = OrderedNode(name, self._around, self._clock, self._request.since.get(name))
            self._nodes[name] = found
            if not self._reads_all:
                found.appeared()
        return found
