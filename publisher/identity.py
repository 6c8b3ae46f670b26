"""Stable LUIDs where the system has none: which interface is which, over renames, re-plugs and reboots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LuidAssignment:
    """A LUID given to an interface: `key` is what it is recognised by, `last_seen` in seconds since 1970."""

    luid: str
    key: str
    name: str
    last_seen: float


class LuidStore(Protocol):
    """Where assignments are kept; the journal is one. Called from the source's thread only."""

    def load_luids(self) -> list[LuidAssignment]:
        """Every assignment."""
        ...

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        """Insert or replace by `luid`, durably before returning."""
        ...


class MemoryLuids:
    """Assignments that last as long as the process: for `watch()` and the netioapi calls."""

    def __init__(self) -> None:
        self._by_luid: dict[str, LuidAssignment] = {}

    def load_luids(self) -> list[LuidAssignment]:
        return list(self._by_luid.values())

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        self._by_luid |= {assignment.luid: assignment for assignment in assignments}
