"""The contents of a journal's file, read and validated as a whole when it is opened."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import JournalDamagedError
from ..events import IpInterface
from .event_log import logged_event
from .file import JournalFile
from .luids import check_luids, read_luids, write_luids
from .places import salvage_places
from .rows import decoded_row

EPOCH = r"[0-9a-f]{16}"
# The tables whose rows SQLite numbers (AUTOINCREMENT), and the numbers that it can still go on from for ever. After
# the greatest integer it reports a full disk (SQLITE_FULL) at each insert, which no space would ever heal.
_NUMBERED = ("dead_letters", "requests", "resends")
_LAST_NUMBER = 1 << 62


class Meta(BaseModel):
    """The facts about the journal, as the table `meta` has them."""

    model_config = ConfigDict(frozen=True, strict=True)

    epoch: Annotated[str, Field(pattern=f"^{EPOCH}$")]
    node: str
    boot: str
    clean: Literal["0", "1"]
    known: Literal["1"] | None = None


@dataclass(frozen=True)
class JournalContents:
    """The facts, the rows and the newest event's `seq`; `meta` is `None` in a file that was just made."""

    meta: Meta | None
    rows: list[IpInterface]
    seq: int


def read_contents(file: JournalFile) -> JournalContents:
    """Returns the contents; raises JournalDamagedError, or a ValueError or TypeError, when they are invalid."""
    with file.reading() as connection:
        facts = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        meta = Meta.model_validate(facts) if facts else None
        rows = _rows(connection)
        seq = _newest(connection, meta)
        _check_numbers(connection)
        check_luids(connection)
    if meta is None and (rows or seq):
        raise JournalDamagedError(f"the journal {file.path} is damaged: the facts about it are missing")
    return JournalContents(meta, rows, seq)


def _rows(connection: sqlite3.Connection) -> list[IpInterface]:
    rows = []
    for luid, family, data in connection.execute("SELECT luid, family, data FROM rows ORDER BY luid, family"):
        row = decoded_row(data)
        if row.key != (luid, family):
            raise JournalDamagedError(f"the journal holds the row {row.key} as {(luid, family)}")
        rows.append(row)
    return rows


def _newest(connection: sqlite3.Connection, meta: Meta | None) -> int:
    """Returns the newest event's seq after a look at it and at the oldest: what follows is counted from them."""
    newest = 0
    for order in ("ASC", "DESC"):
        sql = f"SELECT seq, position, data FROM events ORDER BY seq {order} LIMIT 1"
        for seq, position, data in connection.execute(sql):
            if meta is None or not isinstance(position, int):
                raise JournalDamagedError(f"the journal holds the event number {seq} without an epoch or a position")
            newest = logged_event(meta.epoch, seq, data).seq
    return newest


def _check_numbers(connection: sqlite3.Connection) -> None:
    """Raises JournalDamagedError when SQLite has no number left for the next row of a table."""
    last = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    last += [
        (table, connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]) for table in _NUMBERED
    ]
    for table, number in last:
        if not (isinstance(number, int) and number < _LAST_NUMBER):
            raise JournalDamagedError(f"the journal holds {number!r} as the last number of the table {table}")


def salvage(path: Path, connection: sqlite3.Connection) -> str:
    """Copies the LUIDs and the places that a file that was set aside still has; returns its epoch, else an empty text.

    Others know interfaces by their LUIDs, and what sinks left at destinations has to be emptied some day. Positions are
    of the epoch that ended.
    """
    epoch = ""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as damaged:
        with suppress(sqlite3.Error):  # Each part that is damaged itself is left out.
            write_luids(connection, read_luids(damaged).assignments)
        with suppress(sqlite3.Error):
            salvage_places(damaged, connection)
        with suppress(sqlite3.Error):
            found = damaged.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            epoch = str(found[0]) if found else ""
    return epoch if re.fullmatch(EPOCH, epoch) else ""
