"""The places at destinations where sinks keep something for later readers, as the journal remembers them.

A record is written before the sink is opened and deleted when the place was emptied, so no kill leaves a place unknown.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from .positions import ResendSnapshot, insert_resend

if TYPE_CHECKING:  # file.py salvages places
    from .file import JournalFile, Row

_LOG = logging.getLogger("publisher.journal")
_COLUMNS = "type, place, sink, node, options, emptying"
SELECT_PLACES = f"SELECT {_COLUMNS} FROM places ORDER BY sink, type, place"


class PlaceKey(NamedTuple):
    """The key of a place: the sink's type in the configuration, and the name that the sink gives the place."""

    type: str
    place: str


class RetainedPlace(BaseModel):
    """A place, and what it takes to empty it: the sink's type, node and options, without any secret."""

    model_config = ConfigDict(frozen=True, strict=True)

    type: str
    place: str
    sink: str
    node: str
    options: dict[str, Any]
    emptying: bool = False
    """True once a try to empty it has begun: what is there may be anything."""

    @property
    def key(self) -> PlaceKey:
        """The place's key."""
        return PlaceKey(self.type, self.place)


class PlaceRegister:
    """The recorded places. The core's thread; every method raises JournalError."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def all(self) -> list[RetainedPlace]:
        """Returns every recorded place; what is no record is logged and left out."""
        return decoded_places(self._file.look(SELECT_PLACES))

    def record(self, places: Iterable[RetainedPlace]) -> None:
        """Writes these places, in one transaction.

        The sink of one that is new, or that was being emptied, gets the snapshot: its position says nothing of what is
        there.
        """
        with self._file.writing() as connection:
            for place in places:
                if not _is_kept(connection, place):
                    insert_resend(connection, place.sink, ResendSnapshot("notification", 0))
                _insert(connection, place)

    def empty(self, places: Collection[RetainedPlace]) -> None:
        """Notes that these places are about to be emptied."""
        with self._file.writing() as connection:
            for place in places:
                sql = "UPDATE places SET emptying = 1 WHERE type = ? AND place = ?"
                connection.execute(sql, place.key)

    def remove(self, places: Iterable[PlaceKey]) -> None:
        """Deletes the records of places that are empty, or that somebody else cares for."""
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM places WHERE type = ? AND place = ?", list(places))


def decoded_places(rows: Iterable[Row]) -> list[RetainedPlace]:
    """Returns the places of these rows; what is no record is logged and left out."""
    places = []
    for type_, place, sink, node, options, emptying in rows:
        members = {"type": type_, "place": place, "sink": sink, "node": node, "emptying": bool(emptying)}
        try:
            places.append(RetainedPlace.model_validate(members | {"options": json.loads(options)}))
        except (ValueError, TypeError, RecursionError) as error:
            text = "the journal holds an invalid place of sink %r, which is left out: %s"
            _LOG.error(text, sink, type(error).__name__)
    return places


def salvage_places(damaged: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    """Copies what can be read of the places of a journal that was set aside; the caller has the transaction."""
    try:
        found = damaged.execute(SELECT_PLACES).fetchall()
    except sqlite3.Error:
        return  # That part is damaged too, or older than the table.
    for place in decoded_places(found):
        _insert(connection, place)


def _is_kept(connection: sqlite3.Connection, place: RetainedPlace) -> bool:
    sql = "SELECT 1 FROM places WHERE type = ? AND place = ? AND NOT emptying"
    return connection.execute(sql, place.key).fetchone() is not None


def _insert(connection: sqlite3.Connection, place: RetainedPlace) -> None:
    row = (*place.key, place.sink, place.node, json.dumps(place.options), int(place.emptying))
    connection.execute(f"INSERT OR REPLACE INTO places ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)
