"""The judgement of what one observer got: no hole, no repeat that is not allowed, no loss without a mark."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.fixtures.program import State, comparable

Key = tuple[str, str]
MOST_REPEATED = 256 + 1500
"""So far back may a delivery step that is at least once: the largest batch, and what is delivered within the second
after which a position is durable."""
_REMEMBERED = 100_000
_MOST_FINDINGS = 20


@dataclass
class Stream:
    """The events of one observer, in the order of their arrival. `take` may be called by one thread at a time.

    `repeats`: events may come again, with the same bytes. `skips`: a filter leaves events out. `is_marked`: a snapshot
    says which events it makes up for. `takes_snapshots`: it begins with a snapshot.
    """

    name: str
    repeats: bool = False
    skips: bool = False
    is_marked: bool = True
    takes_snapshots: bool = True
    events: int = 0
    repeated: int = 0
    snapshots: int = 0
    replaced: int = 0
    """The events in place of which there were rows."""
    overruns: int = 0
    epoch: str = ""
    at: int | None = None
    newest: int = 0
    states: dict[Key, State] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    seqs: dict[int, bytes] = field(default_factory=dict)
    """A digest of each of the newest events, by seq."""
    about: dict[int, str] = field(default_factory=dict)
    """The name of the interface of each of them."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """From where to where a snapshot led."""

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self._open: tuple[str, int, dict[Key, State]] | None = None

    def take(self, data: bytes) -> None:
        """Judges the next event, which is JSON."""
        with self.lock:
            try:
                event = json.loads(data)
            except ValueError as error:
                self._find(f"not JSON: {error}: {data[:200]!r}")
                return
            self._enter_epoch(event["epoch"])
            if event["snapshot"]:
                self._take_row(event, event["snapshot"])
            else:
                self._take_event(event, data)

    def _enter_epoch(self, epoch: str) -> None:
        if epoch != self.epoch:
            if self.epoch:
                self._find(f"another epoch: {self.epoch}, then {epoch}")
            self.epoch, self.at, self.newest, self.states = epoch, None, 0, {}

    def _take_row(self, event: dict[str, Any], snapshot: dict[str, Any]) -> None:
        position, count = snapshot["position"], snapshot["count"]
        if position == 0:
            self.snapshots += 1
            self.overruns += event["cause"] == "overrun"
            self._note_replaced(event, snapshot)
            self._open = snapshot["id"], 0, {}
        elif self._open is None or self._open[0] != snapshot["id"] or position > self._open[1] + 1:
            self._find(f"position {position} of a snapshot after {self._open and self._open[:2]}")
        else:
            identity, _, rows = self._open
            rows[event["luid"], event["family"]] = state_of(event)
            self._open = identity, position, rows
        if self._open and position == count:
            self.states, self._open = self._open[2], None
            self.spans.append((self.at if self.at is not None else 0, event["seq"]))
            self.at = event["seq"]
            self.newest = max(self.newest, event["seq"])

    def _note_replaced(self, event: dict[str, Any], snapshot: dict[str, Any]) -> None:
        seq, lost = event["seq"], snapshot.get("lost")
        if self.at is None or self.skips:
            return
        if seq < self.at and not (self.repeats and seq >= self.newest - MOST_REPEATED):
            self._find(f"a snapshot of {seq} after event {self.at}")
        if seq > self.at:
            self.replaced += seq - self.at
            marked = lost and lost["first"] <= self.at + 1 and lost["last"] >= seq and event["cause"] == "overrun"
            if self.is_marked and not marked:
                self._find(f"rows in place of events {self.at + 1} to {seq} without a mark: {event['cause']}, {lost}")

    def _take_event(self, event: dict[str, Any], data: bytes) -> None:
        seq = event["seq"]
        if self._open is not None and not self.repeats:
            self._find(f"event {seq} amid a snapshot")
        digest = hashlib.blake2b(data.strip(), digest_size=8).digest()
        if self.at is None:
            if self.takes_snapshots:
                self._find(f"event {seq} before any snapshot")
        elif seq <= self.at:
            self._judge_repeat(seq)
        elif seq > self.at + 1 and not self.skips:
            self._find(f"event {seq} after {self.at}")
        if self.seqs.get(seq, digest) != digest:
            self._find(f"event {seq} came again with other bytes")
        self.events += seq > self.newest
        self.repeated += seq <= self.newest
        self.at, self.newest = seq, max(seq, self.newest)
        self._apply(event, seq, digest)

    def _judge_repeat(self, seq: int) -> None:
        if not self.repeats or seq < self.newest - MOST_REPEATED:
            self._find(f"event {seq} again, after {self.at}, and {self.newest} was the newest")

    def _apply(self, event: dict[str, Any], seq: int, digest: bytes) -> None:
        key = event["luid"], event["family"]
        if event["notification_type"] == "delete_instance":
            self.states.pop(key, None)
        else:
            self.states[key] = state_of(event)
        self.seqs[seq] = digest
        self.about[seq] = event["interface"]["alias"]
        if len(self.seqs) > _REMEMBERED:
            oldest = next(iter(self.seqs))
            del self.seqs[oldest], self.about[oldest]

    def _find(self, text: str) -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(f"{self.name}: {text}")


def state_of(event: dict[str, Any]) -> State:
    """Returns what can be compared of the state in an event."""
    return comparable({name: event[name] for name in ("row", "interface", "addresses", "default_routes")})
