"""The store of LUIDs in the journal: which interface was given which, over restarts."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..sources.assignments import LuidAssignment
from .file import JournalFile
from .luids import prune_luids, read_luids, write_luids

_LOG = logging.getLogger("publisher.journal")


class JournalLuids:
    """A `LuidStore` in the journal. The core's thread."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def load_luids(self) -> list[LuidAssignment]:
        """Returns every valid assignment, after removing the oldest beyond the bound. Raises JournalError."""
        with self._file.writing() as connection:
            prune_luids(connection)
            assignments, invalid = read_luids(connection)
        if invalid:
            text = "%d rows of the table luids in %s are invalid; those interfaces may get other LUIDs"
            _LOG.warning(text, invalid, self._file.path)
        return assignments

    def save_luids(self, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()) -> None:
        """Inserts or replaces by LUID and deletes the removed ones, in one transaction. Raises JournalError."""
        with self._file.writing() as connection:
            write_luids(connection, assignments, removed)
