"""The view of a broker's nodes: takes messages, returns lines and requests, and keeps a table. No I/O.

The rows are those of the states. Events have what changed and, by their `seq`, show that a message was missed; then the
node is asked for the events after the last one that was received. Anybody may have written any of it: what cannot be
read is counted, numbers of nodes and rows are bounded, and an epoch or `seq` that was made up lasts until the node
answers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue, ValidationError

from publisher.events import Key
from publisher.terminal import FAMILY_NAMES, LiveTable, ShownState, clock
from publisher.untrusted import UntrustedError, parse_json, parse_model

from ..messages import MqttMessage
from .received import AnswerPart, EventState, NodeProgress, check_time, event_of, words_of

if TYPE_CHECKING:
    from ..client.connection import IncomingMessage

# After so long, a request without an answer counts as lost.
_PATIENCE_SECONDS = 10.0
# A state with 2,000 addresses has half of it.
_MOST_BYTES = 1 << 20
_MOST_NODES, _MOST_ROWS = 5_000, 100_000
_MOST_COUNTED = 1_000_000
# Events of an older epoch in a row that may be late; events that may be lost while an answer is awaited.
_MOST_OLDER, _MOST_LOST = 5, 10_000
_LONGEST_NODE, _LONGEST_LINE = 255, 1000
_TOPIC = re.compile(r"(?P<node>[^/]+)/(?P<luid>[0-9a-f]{16})/(?P<family>inet6?)/(?P<kind>state|event)")


class Gap(NamedTuple):
    """Events after `since` are missing; they were requested at `asked_at`."""

    since: int
    asked_at: float


class _Node:
    """The position of one node's events, and its open request."""

    def __init__(self) -> None:
        self.epoch = ""
        self.seq = 0
        self.missing = 0
        self.skips = False
        """Whether a hole in `seq` is no loss: its sink has a filter, or its events settle."""
        self.gap: Gap | None = None
        self.next_gap: int | None = None
        self.answer: tuple[str, set[Key]] = ("events", set())
        # The events received since the last question: the node cannot be further than its answer and these.
        self.since_asked = 0
        self.older = 0


class BrokerView:
    """Every node on a broker. `client` is the topic level of answers, `replay/<client>`."""

    def __init__(self, base: str, client: str, clock_seconds: Callable[[], float] = time.monotonic) -> None:
        self.table = LiveTable()
        self.missed = 0
        self.healed = 0
        self.unreadable = 0
        self._base = base
        self._client = client
        self._clock = clock_seconds
        self._nodes: dict[str, _Node] = {}

    @property
    def topics(self) -> list[str]:
        """The topic filters to subscribe to."""
        about_nodes = [f"{self._base}/+/{name}" for name in ("status", "info", f"replay/{self._client}")]
        return [*about_nodes, f"{self._base}/+/+/+/event", f"{self._base}/+/+/+/state"]

    @property
    def summary(self) -> str:
        """The numbers of nodes, rows and missed events, as a line."""
        parts = [f"{len(self._nodes)} nodes", f"{len(self.table)} IP interfaces"]
        if self.missed:
            parts.append(f"{self.missed} events missed, {self.healed} of them sent again")
        if self.unreadable:
            parts.append(f"{self.unreadable} messages could not be read")
        return " · ".join(parts)

    def begin(self) -> None:
        """Forgets everything for a new connection, whose retained messages are the whole state."""
        self.table.clear()
        self._nodes.clear()

    def take(self, message: IncomingMessage) -> list[str | MqttMessage]:
        """Takes a message; returns lines for people, and requests to publish."""
        results: list[str | MqttMessage] = []
        try:
            results.extend(self._take(message.topic.removeprefix(f"{self._base}/"), message.payload, message.retain))
        except (UntrustedError, ValidationError):
            self.unreadable += 1
        return [result[:_LONGEST_LINE] if isinstance(result, str) else result for result in results]

    def _take(self, topic: str, payload: bytes, retained: bool) -> Iterator[str | MqttMessage]:
        if match := _TOPIC.fullmatch(topic):
            node, key = match["node"], Key(match["luid"], "inet6" if match["family"] == "inet6" else "inet")
            self._node(node)
            if match["kind"] == "state":
                yield from self._state(node, key, payload, retained)
            else:
                yield from self._event(node, parse_json(payload, max_bytes=_MOST_BYTES))
            return
        node, _, rest = topic.partition("/")
        if rest == "status":
            yield from self._status(node, payload == b"online")
        elif rest == "info":
            place = parse_model(payload, NodeProgress, max_bytes=_MOST_BYTES)
            self._node(node).skips = place.skips
            if not retained:
                yield from self._reached(node, place.epoch, place.seq)
        elif rest == f"replay/{self._client}":
            yield from self._answer(node, parse_model(payload, AnswerPart, max_bytes=_MOST_BYTES))

    def _node(self, name: str) -> _Node:
        found = self._nodes.get(name)
        if found is None:
            if len(self._nodes) >= _MOST_NODES or len(name) > _LONGEST_NODE:
                raise UntrustedError("too many nodes, or a node with too long a name")
            found = self._nodes[name] = _Node()
        return found

    def _status(self, node: str, online: bool) -> Iterator[str]:
        self._node(node)
        self.table.set_online(node, online)
        yield f"{node}: {'online' if online else 'offline'}"

    def _state(self, node: str, key: Key, payload: bytes, retained: bool) -> Iterator[str]:
        if not payload:
            self.table.remove(node, key)
            return
        state = parse_model(payload, ShownState, max_bytes=_MOST_BYTES)
        self._show(node, key, state)
        if retained:
            yield _line(node, key, state, f"is there  {state.interface.oper_status}  {state.addresses_text}".rstrip())

    def _show(self, node: str, key: Key, state: ShownState) -> None:
        check_time(state)
        if len(self.table) >= _MOST_ROWS and self.table.get(node, key) is None:
            raise UntrustedError("too many rows")
        self.table.put(node, key, state)

    def _event(self, node: str, value: JsonValue) -> Iterator[str | MqttMessage]:
        event = event_of(value)
        check_time(event)
        words = words_of(value)
        yield _line(node, event.key, event, words.facts if words else _what(event))
        self._node(node).since_asked += 1
        yield from self._reached(node, event.epoch, event.seq, itself_came=True)

    def _reached(self, node: str, epoch: str, seq: int, *, itself_came: bool = False) -> Iterator[str | MqttMessage]:
        """Takes the node's newest event. Epochs sort by age; the first message of one is its beginning here."""
        about = self._node(node)
        if epoch > about.epoch:
            about.epoch, about.seq, about.gap, about.next_gap = epoch, seq, None, None
            return
        if epoch < about.epoch:
            # One comes late; several in a row show that the epoch that is known was made up.
            about.older += itself_came
            if about.older >= _MOST_OLDER and about.gap is None:
                yield from self._ask(node, about, about.seq)
            return
        about.older = 0
        missing = seq - about.seq - itself_came
        since, about.seq = about.seq, max(seq, about.seq)
        if missing > 0 and not about.skips:
            missing = min(missing, _MOST_COUNTED)
            self.missed += missing
            about.missing += missing
            yield f"{node}: {missing} events missed after {since}"
            yield from self._ask(node, about, since)

    def _ask(self, node: str, about: _Node, since: int) -> Iterator[MqttMessage]:
        now = self._clock()
        if about.gap is not None and now - about.gap.asked_at < _PATIENCE_SECONDS:
            # One request at a time: its answer may have these, too; else they are requested after it.
            about.next_gap = since if about.next_gap is None else min(since, about.next_gap)
            return
        since = min(since, about.gap.since) if about.gap else since
        about.gap, about.since_asked = Gap(since, now), 0
        request = {"since": {"epoch": about.epoch, "seq": since}, "client": self._client}
        yield MqttMessage(f"{self._base}/{node}/replay/get", json.dumps(request).encode(), retain=False)

    def _answer(self, node: str, answer: AnswerPart) -> Iterator[str | MqttMessage]:
        about = self._node(node)
        if answer.error is not None:
            about.gap = None
            yield f"{node}: {answer.error}"
            return
        if answer.position == 0:
            about.answer = (answer.answer, set())
            _correct(about, answer)
        elif (event := event_of(answer.event)).epoch == about.epoch:
            self._replayed(node, about, event)
        if answer.position == answer.count:
            yield from self._answered(node, about)

    def _replayed(self, node: str, about: _Node, event: EventState) -> None:
        if len(about.answer[1]) < _MOST_ROWS:
            about.answer[1].add(event.key)
        shown = self.table.get(node, event.key)
        if shown is not None and shown.seq > event.seq:
            return
        if event.notification_type == "delete_instance":
            self.table.remove(node, event.key)
        else:
            self._show(node, event.key, event)

    def _answered(self, node: str, about: _Node) -> Iterator[str | MqttMessage]:
        kind, keys = about.answer
        if kind == "snapshot":
            self.table.keep_only(node, keys)
        about.gap, since, about.next_gap = None, about.next_gap, None
        if since is not None:
            yield from self._ask(node, about, since)
            return
        self.healed += about.missing
        about.missing = 0
        yield f"{node}: caught up by {'the events that were missed' if kind == 'events' else 'the rows as they are'}"


def _correct(about: _Node, head: AnswerPart) -> None:
    """Takes the node's own word for its epoch and `seq`, if we asked: what was received before may be made up."""
    if about.gap is None or head.epoch is None or head.seq is None:
        return
    furthest = head.seq + about.since_asked + _MOST_LOST
    if head.epoch != about.epoch:
        about.epoch, about.seq, about.next_gap = head.epoch, head.seq, None
    elif about.seq > furthest:
        about.seq, about.next_gap = head.seq, None


def _line(node: str, key: Key, state: ShownState, what: str) -> str:
    return f"{clock(state.time)}  {node}  {state.interface.alias}  {FAMILY_NAMES[key.family]}  {what}"


def _what(event: EventState) -> str:
    """Returns the changes of an event of a newer version, whatever its members are."""
    plain = {"add_instance": "added", "delete_instance": "deleted"}.get(event.notification_type)
    changes = (
        f"{name} {_short(change, 'before')} -> {_short(change, 'after')}" for name, change in event.changed.items()
    )
    return plain or ", ".join(changes)


def _short(change: dict[str, Any], side: str) -> str:
    value = change.get(side)
    return "-" if value is None else "there" if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)
