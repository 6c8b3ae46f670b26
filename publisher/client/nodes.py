"""The nodes of a subscription: each received message is read, and given to its node. No I/O."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..events import AnyEvent, Key
from ..repeated import RepeatedWarning
from ..untrusted import UntrustedError
from .given import Surroundings
from .node import NodeFollower
from .ordered_nodes import OrderedNodes
from .past import PastQuestions
from .received import AnswerPart, EventPlace, NodeInfo, read, read_event, read_state
from .streamed import StreamedNode, StreamedStatus

if TYPE_CHECKING:
    from .transport import SubscribeRequest

MOST_NODES, MOST_ROWS = 5_000, 100_000
_LONGEST_NODE = 255
_LOG = logging.getLogger("publisher")


class Nodes:
    """Every node that is followed; used on the subscription's thread.

    A transport calls one method for each message, of a stream that keeps the last ones of each row those of `ordered`.
    What cannot be read is counted and logged once a minute: anybody may
    have written it, so it never ends a subscription.
    """

    def __init__(
        self, request: SubscribeRequest, around: Surroundings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request = request
        self._around = around
        self._clock = clock
        self._nodes: dict[str, NodeFollower] = {}
        self._streamed: dict[str, StreamedNode] = {}
        self.ordered = OrderedNodes(
            request, around, clock, self._cannot_read, most_nodes=MOST_NODES, most_rows=MOST_ROWS
        )
        self.past_questions = PastQuestions(around, clock)
        self._rows_left = 0
        self._unreadable = RepeatedWarning(_LOG, clock)
        self.unreadable = 0

    @property
    def is_busy(self) -> bool:
        """True while a node waits for more than events, so that `tick` has something to do."""
        is_asked = self.past_questions.are_open or self.ordered.is_busy
        return is_asked or any(node.is_busy for node in self._nodes.values())

    @property
    def has_room(self) -> bool:
        """False while the reader is behind: a stream is not read then."""
        return self._around.has_room

    @property
    def missed(self) -> int:
        """The number of gaps that were found."""
        return sum(node.missed for node in self._nodes.values())

    def connected(self) -> None:
        """Begins with a new connection."""
        for node in self._nodes.values():
            node.connected()

    def disconnected(self) -> None:
        """Notes that the connection is lost."""
        for node in self._nodes.values():
            node.disconnected()
        for streamed in self._streamed.values():
            streamed.disconnected()
        self.ordered.disconnected()
        self.past_questions.end()

    def tick(self) -> None:
        """Does what is due by now; called some times a second while `is_busy`."""
        for node in list(self._nodes.values()):
            node.tick()
        self.ordered.tick()
        self.past_questions.tick()

    def status(self, node: str, payload: bytes) -> None:
        """Takes a node's status: `online`, or anything else for a node that is not."""
        self._take(node, lambda about: about.status(online=payload == b"online"))

    def info(self, node: str, payload: bytes, *, retained: bool) -> None:
        """Takes a node's `info`; an empty one for a node that is forgotten."""
        if payload:
            self._take(node, lambda about: about.info(read(NodeInfo, payload), retained=retained))
        elif node in self._nodes:
            self._nodes[node].forgotten()

    def state(self, node: str, key: Key, payload: bytes, *, retained: bool) -> None:
        """Takes the state of an IP interface; an empty one for a row that is removed."""
        self._take(node, lambda about: self._state(about, key, payload, retained=retained), may_add=True)

    def event(self, node: str, key: Key, payload: bytes) -> None:
        """Takes an event of an IP interface."""
        self._take(node, lambda about: about.event(_of(key, read_event(payload))), may_add=True)

    def answer(self, node: str, payload: bytes) -> None:
        """Takes a message of an answer to a question."""
        self._take(node, lambda about: about.answer(read(AnswerPart, payload)), may_add=True)

    def refused(self, node: str) -> None:
        """Notes that a question cannot be sent to this node."""
        self._take(node, NodeFollower.refused)

    def past(self, node: str, payload: bytes) -> None:
        """Takes a message of an answer to a question with `last`."""
        try:
            self.past_questions.take(node, read(AnswerPart, payload))
        except UntrustedError as error:
            self._cannot_read(f"of node {node!r}", error)

    def past_refused(self, node: str) -> None:
        """Notes that a question with `last` cannot be sent to this node."""
        self.past_questions.refused(node)

    def streamed(self, payload: bytes) -> None:
        """Takes an event of a stream that is in order and whole."""
        try:
            event = read_event(payload)
            # Of one that cannot be read, the stream goes on behind it.
            if not isinstance(event, EventPlace) and (node := self._stream_of(event.node)) is not None:
                node.event(event)
        except UntrustedError as error:
            self._cannot_read("of a stream", error)

    def streamed_status(self, payload: bytes) -> None:
        """Takes the state of a node of such a stream."""
        try:
            status = read(StreamedStatus, payload)
            if (node := self._stream_of(status.node)) is not None:
                node.status(status)
        except UntrustedError as error:
            self._cannot_read("of a stream", error)

    def _stream_of(self, name: str) -> StreamedNode | None:
        if self._request.nodes and name not in self._request.nodes:
            return None
        found = self._streamed.get(name)
        if found is None:
            if len(self._streamed) >= MOST_NODES or not 0 < len(name) <= _LONGEST_NODE:
                raise UntrustedError("too many nodes, or a node with too long a name")
            found = self._streamed[name] = StreamedNode(name, self._around, self._request.since.get(name))
        return found

    def _state(self, about: NodeFollower, key: Key, payload: bytes, *, retained: bool) -> None:
        if not payload:
            about.state(key, None, retained=retained)
            return
        try:
            state = read_state(payload)
        except UntrustedError:
            about.state(key, read(EventPlace, payload), retained=retained)
            raise
        if state.ip_interface.key != key:
            raise UntrustedError("a state under the topic of another row")
        about.state(key, state, retained=retained)

    def _take(self, node: str, take: Callable[[NodeFollower], object], *, may_add: bool = False) -> None:
        if self._request.nodes and node not in self._request.nodes:
            return
        try:
            if may_add:
                self._count_row()
            take(self._node(node))
        except (UntrustedError, ValidationError) as error:
            self._cannot_read(f"of node {node!r}", error)

    def _count_row(self) -> None:
        """Raises UntrustedError when there is no room for one more row; counted anew when there might be none."""
        if self._rows_left <= 0:
            self._rows_left = MOST_ROWS - sum(node.row_count for node in self._nodes.values())
        if self._rows_left <= 0:
            raise UntrustedError("too many rows")
        self._rows_left -= 1

    def _node(self, name: str) -> NodeFollower:
        found = self._nodes.get(name)
        if found is None:
            if len(self._nodes) >= MOST_NODES or not 0 < len(name) <= _LONGEST_NODE:
                raise UntrustedError("too many nodes, or a node with too long a name")
            found = NodeFollower(name, self._around, self._clock, self._request.since.get(name))
            self._nodes[name] = found
        return found

    def _cannot_read(self, where: str, error: Exception) -> None:
        self.unreadable += 1
        self._unreadable.warn("a received message cannot be read, %s: %s", where, error)


def _of(key: Key, event: AnyEvent | EventPlace) -> AnyEvent | EventPlace:
    if not isinstance(event, EventPlace) and event.key != key:
        raise UntrustedError("an event under the topic of another row")
    return event
