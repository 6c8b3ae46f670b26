"""The position of a sink in the journal, and the requested resends: values, and their JSON."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter

from ..events import Cause
from ..sink import Cursor

Seq = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Tail:
    """The sink confirmed every event up to this one; those after it come next.

    `has` is the last event at the destination, when that is another: later ones did not pass the sink's filter, or
    earlier ones wait to settle. `rows` is the selection of rows that the sink knows, empty for all.
    """

    confirmed: Cursor
    state: Literal["tail"] = "tail"
    has: Seq | None = None
    rows: str = ""


@dataclass(frozen=True)
class SnapshotDue:
    """The snapshot is due: after the event `after`, or at once when the sink confirmed nothing yet.

    `lost` is the first of the events that it makes up for, if there are such: they are no longer kept. `has` and `rows`
    are those of `Tail`.
    """

    cause: Cause
    after: Seq
    confirmed: Cursor | None
    lost: Seq | None = None
    state: Literal["snapshot_due"] = "snapshot_due"
    has: Seq | None = None
    rows: str = ""


Position = Tail | SnapshotDue


@dataclass(frozen=True)
class ResendSnapshot:
    """Send the snapshot again, after the event `after`."""

    cause: Cause
    after: Seq
    kind: Literal["snapshot"] = "snapshot"


@dataclass(frozen=True)
class ResendEvents:
    """Send the events after `since` again, or the snapshot when they are no longer kept."""

    since: Seq
    kind: Literal["events"] = "events"


@dataclass(frozen=True)
class ResendDeadLetters:
    """Send the dead letters with numbers greater than `after`, up to and including `until`, again."""

    after: int
    until: int
    kind: Literal["dead_letters"] = "dead_letters"


Resend = ResendSnapshot | ResendEvents | ResendDeadLetters

# Built when they are used first: no start needs them before its first line.
_LATER = ConfigDict(defer_build=True)
POSITIONS: TypeAdapter[Position] = TypeAdapter(Annotated[Position, Field(discriminator="state")], config=_LATER)
RESENDS: TypeAdapter[Resend] = TypeAdapter(Annotated[Resend, Field(discriminator="kind")], config=_LATER)


def position_json(position: Position) -> bytes:
    """Returns a position as JSON. A tail's, which each delivery makes, is put together here: pydantic takes 10 µs."""
    if isinstance(position, Tail) and position.has is None and not position.rows:
        epoch, seq = position.confirmed
        return b'{"confirmed":[%b,%d],"state":"tail"}' % (json.dumps(epoch).encode(), seq)
    return POSITIONS.dump_json(position)


class NumberedResend(NamedTuple):
    """A resend as the journal holds it; numbers grow."""

    number: int
    resend: Resend


def insert_resend(connection: sqlite3.Connection, sink: str, resend: Resend) -> NumberedResend:
    """Keeps a requested resend, until the sink's worker reports it as done.

    It takes the place of those before it that it includes: a sink that ended or hangs, and takes none, has few.
    """
    for earlier, before in select_resends(connection, sink):
        both = joined(before, resend)
        if both is not None:
            resend = both
            connection.execute("DELETE FROM resends WHERE id = ?", (earlier,))
    row = (sink, RESENDS.dump_json(resend))
    number = connection.execute("INSERT INTO resends (sink, data) VALUES (?, ?)", row).lastrowid
    assert number is not None, "SQLite numbers each row that is inserted"
    return NumberedResend(number, resend)


def resend_to_all(connection: sqlite3.Connection, resend: Resend, sinks: Iterable[str] = ()) -> None:
    """Keeps a resend for each of these sinks, and for each that has a position."""
    having = {sink for (sink,) in connection.execute("SELECT sink FROM positions").fetchall()}
    for sink in sorted(having.union(sinks)):
        insert_resend(connection, sink, resend)


def select_resends(connection: sqlite3.Connection, sink: str) -> Iterator[tuple[int, Resend | None]]:
    """Returns the resends of a sink with their numbers, oldest first; `None` for what is no resend."""
    sql = "SELECT id, data FROM resends WHERE sink = ? ORDER BY id"
    for number, data in connection.execute(sql, (sink,)).fetchall():
        try:
            yield number, RESENDS.validate_json(data)
        except (TypeError, ValueError):
            yield number, None


def joined(before: Resend | None, later: Resend) -> Resend | None:
    """Returns the resend that does what both do; `None` when it takes both.

    Replays of events are never joined: the worker that has begun the one takes the other for done.
    """
    match before, later:
        case ResendSnapshot(cause=cause, after=after), ResendSnapshot():
            # A loss stays marked.
            return ResendSnapshot("overrun" if cause == "overrun" else later.cause, max(after, later.after))
        case ResendDeadLetters(), ResendDeadLetters() if before.until <= later.until and before.after >= later.after:
            return later
    return None
