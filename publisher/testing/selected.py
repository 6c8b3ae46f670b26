"""The events that a sink with the options `only` or `settle` gets: with holes in `seq`, or standing for several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from ..delivery.selection import Selection, seen_by
from ..events import Event
from ..filters import EventFilter
from ..sources import Remove, Update, Upsert
from ..table import Table
from .events import make_row, make_snapshot, make_stamp


class SelectedEvents(NamedTuple):
    """A snapshot, and the events after it."""

    snapshot: Sequence[Event]
    tail: Sequence[Event]


def selected_events(*, settle: bool = False) -> SelectedEvents:
    """Returns what a sink gets of some changes, of which a filter leaves a part, or of which some settle together."""
    selection = Selection(EventFilter(interfaces=("eth*",)), timedelta(seconds=60) if settle else None)
    rows = [make_row("eth0"), make_row("eth1", index=3), make_row("lan0", index=4)]
    table = Table(rows, make_stamp())
    updates: list[Update] = [
        Upsert(make_row("lan0", index=4, nl_mtu=1400)),
        Upsert(make_row("eth0", connected=False)),
        Upsert(make_row("eth0", connected=True)),
        Upsert(make_row("lan1", index=3)),  # leaves the filter
        Upsert(make_row("eth2", index=4, nl_mtu=1400)),  # enters it
        Upsert(make_row("eth3", index=5)),
        Remove(*make_row(index=5).key),
        Upsert(make_row("eth0", nl_mtu=9000)),
    ]
    events = [event for update in updates for event in table.apply(update)]
    passing = [row for row in rows if selection.only.keeps(row)]
    return SelectedEvents(make_snapshot(passing), seen_by(selection, events))
