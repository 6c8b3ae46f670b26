"""How the command line speaks to a service that runs, or will: through the journal, and without its lock."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import JournalDamagedError, JournalError
from ..events import Event, IpInterface
from ..sources.luids import LuidAssignment
from .file import JournalFile, Row
from .lock import holder

# Answers are kept for a command line that looks for its own; the newest are enough.
_ANSWERS_KEPT = 100


@dataclass(frozen=True)
class Request:
    """What the command line asks a service for.

    `replay`: send the events after `since` again, or the snapshot when it is `None`. `retry`: send the dead letter
    of this number again, or all of the sink's when it is `None`.
    """

    kind: Literal["replay", "retry"]
    sink: str
    since: int | None = None
    dead_letter: int | None = None


@dataclass(frozen=True)
class DeadLetter:
    """An event that a sink's destination refused for good. `time` is in seconds since 1970."""

    id: int
    sink: str
    time: float
    reason: str
    event: Event


class RequestQueue:
    """The service's side: takes requests, answers them, and says how it is doing. Any thread."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._taken: set[int] = set()
        self._status: str | None = None

    def take_requests(self) -> list[tuple[int, Request]]:
        """The requests not taken yet, with numbers, oldest first; those that a crash left unanswered come again."""
        waiting = self._file.query("SELECT id, data FROM requests WHERE result IS NULL ORDER BY id")
        fresh = [(number, Request(**json.loads(data))) for number, data in waiting if number not in self._taken]
        self._taken.update(number for number, _ in fresh)
        return fresh

    def finish_request(self, number: int, text: str) -> None:
        """Answer a request."""
        with self._file.writing() as connection:
            connection.execute("UPDATE requests SET result = ? WHERE id = ?", (text, number))
            connection.execute("DELETE FROM requests WHERE result IS NOT NULL AND id <= ?", (number - _ANSWERS_KEPT,))
        self._taken.discard(number)

    def put_status(self, status: dict[str, Any]) -> None:
        """Say how the service is doing, in JSON values; writes nothing when it is what was said last."""
        text = json.dumps(status)
        if text != self._status:
            with self._file.writing(durably=False) as connection:
                connection.execute("INSERT OR REPLACE INTO status (only, data) VALUES (1, ?)", (text,))
            self._status = text


class JournalClient:
    """What another process may do with a journal, whether a service holds it or not. One thread at a time."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path) -> JournalClient:
        """Raises JournalError when there is no journal, or none that can be read; nothing is set aside."""
        if not path.exists():
            raise JournalError(
                f"there is no journal {path}: has the publisher been run? (journal.path says where it is)"
            )
        return cls(JournalFile(path))

    @property
    def running(self) -> str | None:
        """The process id of the service that holds the journal, as text; `None` when none does."""
        return holder(self._file.path)

    @property
    def epoch(self) -> str:
        """The journal's epoch; empty when the journal was never used."""
        found = self._file.query("SELECT value FROM meta WHERE name = 'epoch'")
        return str(found[0][0]) if found else ""

    @property
    def seq(self) -> int:
        """The newest event's."""
        return int(self._file.query("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def status(self) -> dict[str, Any] | None:
        """What the running service said last; `None` when none runs."""
        found = self._file.query("SELECT data FROM status") if self.running else []
        return dict(json.loads(found[0][0])) if found else None

    def post(self, request: Request) -> int:
        """Leave a request; its number. A service that is not running finds it at its start."""
        with self._file.writing() as connection:
            number = connection.execute(
                "INSERT INTO requests (data) VALUES (?)", (json.dumps(asdict(request)),)
            ).lastrowid
        if number is None:
            raise JournalError(f"the journal {self._file.path} did not take the request")
        return number

    def done(self, number: int) -> str | None:
        """The answer to a request; `None` while there is none."""
        found = self._file.query("SELECT result FROM requests WHERE id = ?", (number,))
        return str(found[0][0]) if found and found[0][0] is not None else None

    def rows(self) -> list[IpInterface]:
        """The rows as last known."""
        return [decoded_row(data) for (data,) in self._file.query("SELECT data FROM rows ORDER BY luid, family")]

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        """Those of one sink, or all, oldest first."""
        return read_dead_letters(self._file, sink)

    def load_luids(self) -> list[LuidAssignment]:
        """Which interface has which LUID."""
        return read_luids(self._file)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_dead_letters(file: JournalFile, sink: str | None, after: int = 0, limit: int = -1) -> list[DeadLetter]:
    """The dead letters of one sink, or all, with greater numbers than `after`, oldest first."""
    sql = "SELECT id, sink, time, reason, data FROM dead_letters WHERE (?1 IS NULL OR sink = ?1) AND id > ?2"
    found = file.query(f"{sql} ORDER BY id LIMIT ?3", (sink, after, limit))
    return [DeadLetter(number, name, when, why, decoded_event(data)) for number, name, when, why, data in found]


def read_luids(file: JournalFile) -> list[LuidAssignment]:
    """Every LUID that was given, with the interface it was given to."""
    found = file.query("SELECT luid, key, name, last_seen FROM luids ORDER BY luid")
    return [LuidAssignment(luid, _decoded(key), _decoded(name), last_seen) for luid, key, name, last_seen in found]


def write_luid(connection: sqlite3.Connection, assignment: LuidAssignment) -> None:
    """Insert or replace by LUID."""
    key, name = _encoded(assignment.key), _encoded(assignment.name)
    row: Row = (assignment.luid, key, name, assignment.last_seen)
    connection.execute("INSERT OR REPLACE INTO luids (luid, key, name, last_seen) VALUES (?, ?, ?, ?)", row)


def decoded_event(data: bytes) -> Event:
    """The event that was written; raises JournalDamagedError."""
    try:
        return Event.from_json(data)
    except ValueError as error:
        raise JournalDamagedError(f"the journal holds what is no event: {error}") from error


def decoded_row(data: bytes) -> IpInterface:
    """The row that was written; raises JournalDamagedError."""
    try:
        return IpInterface.model_validate_json(data)
    except ValueError as error:
        raise JournalDamagedError(f"the journal holds what is no row: {error}") from error


# An interface name need not be UTF-8; Python carries such bytes as lone surrogates, which SQLite refuses as text.
def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
