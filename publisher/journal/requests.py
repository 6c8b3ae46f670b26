"""Requests of the command line to a service that runs, or will: through the journal, and without its lock."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import JournalError
from ..events import IpInterface
from ..sources.assignments import LuidAssignment
from .dead_letters import DeadLetter, delete_dead_letters, select_dead_letters
from .file import JournalFile, Stamp
from .history import JournalHistory
from .lock import holder, real_path
from .luids import read_luids, select_luids
from .mark import MarkFile
from .places import SELECT_PLACES, RetainedPlace, decoded_places
from .positions import NumberedResend, Resend, Seq, insert_resend
from .rows import decoded_row
from .sink_journal import PendingWrites
from .view import JournalView

# Answers are kept for a command line that looks for its own; the newest are enough.
_ANSWERS_KEPT = 100


class Request(BaseModel):
    """One request to a sink of a service.

    `replay`: send the events after `since` again, or the snapshot when it is `None`. `retry`: send the dead letter
    of this number again, or all of the sink's when it is `None`. `discard`: delete it, or all of them. `forget`: empty
    what the sink left at its destination now. `drop`: leave it there, and forget it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Literal["replay", "retry", "discard", "forget", "drop"]
    sink: str
    since: Seq | None = None
    dead_letter: Annotated[int, Field(ge=0)] | None = None


class InvalidRequest(NamedTuple):
    """A request that this version does not understand."""

    reason: str


class RequestQueue:
    """The service's side: takes requests, answers them, and reports the status. The core's thread."""

    def __init__(self, file: JournalFile, pending: PendingWrites) -> None:
        self._file = file
        self._pending = pending
        self._status: dict[str, Any] | None = None
        self._version: int | None = None
        self._stamp: Stamp | None = None

    def may_wait(self) -> bool:
        """Returns whether another process may have committed since `waiting`, by one look at the log.

        False does not last: a commit is seen up to a few seconds after its write to the log, when the disk is slow.
        """
        return self._stamp is None or self._file.stamp() != self._stamp

    def waiting(self) -> list[tuple[int, Request | InvalidRequest]]:
        """Returns the unanswered requests with their numbers, oldest first; raises JournalError.

        Nothing is read while no other process has committed since the last time: a service looks each second.
        """
        self._stamp = self._file.stamp()
        version = self._file.version()  # before the reading: what is committed after it is found the next time
        if version == self._version:
            return []
        found = self._file.look("SELECT id, data FROM requests WHERE result IS NULL ORDER BY id")
        if found:  # one that could not be answered is found again
            self._version = self._stamp = None
        else:
            self._version = version
        return [(number, _parsed(data)) for number, data in found]

    def answer(self, number: int, text: str, sink: str = "", resend: Resend | None = None) -> NumberedResend | None:
        """Answers a request and keeps the resend that it leads to, in one transaction; returns the resend.

        Raises JournalError, and then the request is still unanswered.
        """
        with self._file.writing() as connection:
            added = None if resend is None else insert_resend(connection, sink, resend)
            connection.execute("UPDATE requests SET result = ? WHERE id = ?", (text, number))
            connection.execute("DELETE FROM requests WHERE result IS NOT NULL AND id <= ?", (number - _ANSWERS_KEPT,))
        return added

    def put_status(self, status: dict[str, Any]) -> None:
        """Has the service's status, in JSON values, written with the next commit, when it is another than last time."""
        if status != self._status:
            text, sql = json.dumps(status), "INSERT OR REPLACE INTO status (only, data) VALUES (1, ?)"
            self._pending.put(self, {"status": lambda connection: connection.execute(sql, (text,))})
            self._status = status


def _parsed(data: str | bytes) -> Request | InvalidRequest:
    try:
        return Request.model_validate_json(data)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, detail["loc"])) or "request"
        return InvalidRequest(
            f"the service does not understand this request ({where}: {detail['msg']}): "
            "restart it with the version of the command that asks"
        )


class JournalClient:
    """A journal as another process sees it, whether a service holds it or not. One thread at a time.

    It is opened for reading only, but for the moment in which a request is posted.
    """

    def __init__(self, file: JournalView) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path) -> JournalClient:
        """Raises JournalError when there is no journal, or none that can be read; nothing is set aside or migrated."""
        if not path.exists():
            raise JournalError(
                f"there is no journal {path}: has the publisher been run? (journal.path says where it is)"
            )
        return cls(JournalView(path))

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._file.path

    @property
    def running(self) -> str | None:
        """The process id of the service that holds the journal, as text; `None` when none does."""
        return holder(self._file.path)

    @property
    def stuck(self) -> bool:
        """True if the service that holds the journal cannot write it: what the journal holds is old."""
        mark = MarkFile(real_path(self._file.path)).read()
        return mark is not None and mark.state == "stuck" and self.running is not None

    @property
    def epoch(self) -> str:
        """The journal's epoch; empty when the journal was never used."""
        found = self._file.query("SELECT value FROM meta WHERE name = 'epoch'")
        return str(found[0][0]) if found else ""

    @property
    def seq(self) -> int:
        """The newest event's seq."""
        return int(self._file.query("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def status(self) -> dict[str, Any] | None:
        """Returns the last status of the running service; `None` when none runs. Raises JournalError for no object."""
        found = self._file.query("SELECT data FROM status") if self.running else []
        if not found:
            return None
        try:
            # Not strict: an error that a sink reports may hold any character.
            status = json.loads(found[0][0])
        except (ValueError, RecursionError) as error:
            raise self.not_understood(str(error)) from None
        if not isinstance(status, dict):
            raise self.not_understood("not an object")
        return status

    def not_understood(self, reason: str) -> JournalError:
        """Returns the error for a status that this version does not understand."""
        return JournalError(
            f"the status in the journal {self.path} cannot be understood ({reason}): "
            "use the version of publisher that the service runs"
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._file.released(), closing(JournalFile(self._file.path, owned=False)) as file, file.writing() as write:
            yield write

    def post(self, request: Request) -> int:
        """Leaves a request and returns its number. A service that is not running finds it at its start."""
        with self._writing() as connection:
            data = request.model_dump_json(exclude_none=True)
            number = connection.execute("INSERT INTO requests (data) VALUES (?)", (data,)).lastrowid
        if number is None:
            raise JournalError(f"the journal {self._file.path} did not take the request")
        return number

    def discard(self, sink: str, number: int | None) -> int:
        """Deletes a dead letter, or all of a sink's, of a journal that no service holds; returns their count."""
        with self._writing() as connection:
            return delete_dead_letters(connection, sink, number)

    def done(self, number: int) -> str | None:
        """Returns the answer to a request; `None` while there is none."""
        found = self._file.query("SELECT result FROM requests WHERE id = ?", (number,))
        return str(found[0][0]) if found and found[0][0] is not None else None

    def history(self) -> JournalHistory:
        """Returns the history of the events."""
        return JournalHistory(self._file.reading)

    @property
    def node(self) -> str:
        """The host's name; empty when the journal was never used."""
        found = self._file.query("SELECT value FROM meta WHERE name = 'node'")
        return str(found[0][0]) if found else ""

    def rows(self) -> list[IpInterface]:
        """Returns the rows as last known."""
        return [decoded_row(data) for (data,) in self._file.query("SELECT data FROM rows ORDER BY luid, family")]

    def dead_letters(self, sink: str | None = None) -> list[DeadLetter]:
        """Returns the dead letters of one sink, or all, oldest first."""
        with self._file.reading() as connection:
            return [*select_dead_letters(connection, sink)]

    def places(self) -> list[RetainedPlace]:
        """Returns the places where sinks keep something, as recorded."""
        return decoded_places(self._file.query(SELECT_PLACES))

    def load_luids(self) -> list[LuidAssignment]:
        """Returns every valid assignment of a LUID."""
        with self._file.reading() as connection:
            return read_luids(connection).assignments

    def known_luids(self) -> frozenset[str]:
        """Returns the LUIDs of the rows, and of every interface that had one assigned."""
        with self._file.reading() as connection:
            return select_luids(connection)

    def close(self) -> None:
        """Releases the file."""
        self._file.close()
