"""A stream in one order that goes on after a lost connection: a question that was lost with it is asked again."""

from __future__ import annotations

import json

from publisher.events import Event
from publisher.testing import make_events, make_row
from tests.fixtures.followed_node import NODE, FollowedNodes, key_of


class OrderedStream(FollowedNodes):
    """The messages of a bucket, each at the next place."""

    def __init__(self) -> None:
        super().__init__()
        self._place = 0

    def write(self, *events: Event) -> None:
        """Gives events, then the position."""
        for event in events:
            self.row(event)
        self.place(events[-1])

    def row(self, event: Event) -> None:
        self._place += 1
        self.nodes.ordered.row(NODE, self._place, key_of(event), event.json_bytes)

    def place(self, event: Event) -> None:
        self._place += 1
        position = {"epoch": event.epoch, "seq": event.seq, "id": event.id}
        self.nodes.ordered.position(NODE, self._place, json.dumps(position).encode())


def test_rows_that_were_asked_for_come_with_the_answer_and_not_with_the_rest() -> None:
    stream = OrderedStream()
    stream.connect()
    ordered = stream.nodes.ordered
    events = make_events(6, row=make_row("eth1", index=3))
    ordered.begin()
    stream.write(events[0])
    ordered.end()
    assert stream.told == ["snapshot 1 1", "row eth1 1"]
    stream.write(events[2])  # a hole
    stream.pass_seconds(20)
    # The connection is lost before each answer, and each time the stream goes on behind what it gave.
    for _ in range(3):
        ordered.disconnected()
        ordered.resumed()
        stream.place(events[5])
        ordered.end()
        assert stream.told == []
    # The rows, the changes that are no longer there, and so the rows again.
    for _ in range(3):
        stream.pass_seconds(20)
        assert stream.told == []
        stream.write(events[5])
        ordered.end(NODE)
    assert stream.asked[-3:] == [None, 1, None]
    assert stream.told == ["snapshot 1 6", "row eth1 6"]
