"""The events that wait for a reader: how many there can be."""

from __future__ import annotations

from publisher.client.outbox import MOST_WAITING, Outbox
from publisher.client.received import EventPlace, read_event
from publisher.testing import make_event, make_row


def fill(outbox: Outbox, addresses: int) -> int:
    """Puts events of so many addresses until there is no room; returns how many."""
    row = make_row("eth0", addresses=[f"10.{number // 250}.{number % 250}.1/24" for number in range(addresses)])
    event, count = read_event(make_event(5, "parameter_notification", row).json_bytes), 0
    assert not isinstance(event, EventPlace)
    while outbox.has_room:
        outbox.put(event)
        count += 1
    return count


def test_large_events_count_as_several() -> None:
    outbox = Outbox(lambda: None)
    assert fill(outbox, 1) == MOST_WAITING
    while outbox.take(0.0):
        pass
    assert 0 < fill(outbox, 2_000) < 100
    while outbox.take(0.0):
        pass
    assert fill(outbox, 1) == MOST_WAITING
