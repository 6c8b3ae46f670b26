"""Stable LUIDs where the system has none: an interface keeps its LUID over renames, re-plugs and reboots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from ..errors import SourceError
from ..events import luid_parts, make_luid

FIRST_INDEX = 0x8000
_LAST_INDEX = 0xFF_FFFF
_DAY = 86_400.0
_REUSE_AFTER = 30 * _DAY
# The most by which `last_seen` may lag behind: it bounds the writes, and is far below the 30 days.
_REFRESH_AFTER = _DAY / 4


@dataclass(frozen=True)
class LuidAssignment:
    """A LUID with the interface that has it: `key` identifies the interface, `last_seen` is in seconds since 1970."""

    luid: str
    key: str
    name: str
    last_seen: float


class LuidStore(Protocol):
    """A store of assignments; the journal is one. Called from the source's thread only."""

    def load_luids(self) -> list[LuidAssignment]:
        """Returns every assignment."""
        ...

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        """Inserts or replaces by `luid`, durably before it returns."""
        ...


class MemoryLuids:
    """Assignments in memory, for `watch()` and the calls of netioapi."""

    def __init__(self) -> None:
        self._by_luid: dict[str, LuidAssignment] = {}

    def load_luids(self) -> list[LuidAssignment]:
        return list(self._by_luid.values())

    def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
        self._by_luid |= {assignment.luid: assignment for assignment in assignments}


class Device(NamedTuple):
    """The facts that identify an interface. `permanent` is its permanent hardware address; a virtual one has none."""

    if_type: int
    kind: str
    name: bytes
    permanent: bytes | None = None

    @property
    def key(self) -> str:
        """The hardware address if there is one, else the name (in Latin-1, where every byte is a character)."""
        identity = f"mac={self.permanent.hex()}" if self.permanent else f"name={self.name.decode('latin-1')}"
        return f"{self.if_type}/{self.kind}/{identity}"

    @property
    def shown_name(self) -> str:
        """The name as text for people."""
        return self.name.decode("utf-8", "backslashreplace")


class LuidAssigner:
    """Assigns a LUID to each live interface: one that no other live interface has, and the one from before if known.

    An interface is identified by its permanent hardware address, type and kind, else by its name, type and kind. Where
    several share these, the name decides. `index` identifies an interface while it lives. One thread at a time;
    nothing is stored before `flush()`.
    """

    def __init__(self, store: LuidStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._assigned = {assignment.luid: assignment for assignment in store.load_luids()}
        self._by_key: dict[str, set[str]] = {}
        self._next: dict[int, int] = {}
        for assignment in self._assigned.values():
            self._by_key.setdefault(assignment.key, set()).add(assignment.luid)
            if_type, number = luid_parts(assignment.luid)
            self._next[if_type] = max(self._next.get(if_type, FIRST_INDEX), number + 1)
        self._live: dict[int, str] = {}
        self._taken: set[str] = set()
        self._unsaved: set[str] = set()
        self._refreshed = clock()
        self._oldest = self._oldest_unseen()

    def assign(self, index: int, device: Device) -> str:
        """Returns the LUID of this interface; a renamed one keeps its own."""
        return self.assign_all({index: device})[index]

    def assign_all(self, devices: dict[int, Device]) -> dict[int, str]:
        """Returns the LUIDs of interfaces that were read together: the name decides before the hardware alone."""
        for index, device in devices.items():
            luid = self._live.get(index)
            if luid and not self._keep(luid, device):
                self.release(index)
        for matches in (self._same_name, self._only_one):
            for index, device in devices.items():
                if index not in self._live and (luid := matches(device)):
                    self._take(index, luid, device)
        for index, device in devices.items():
            if index not in self._live:
                self._take(index, self._new(device.if_type), device)
        return {index: self._live[index] for index in devices}

    def release(self, index: int) -> None:
        """Releases the LUID of a removed interface; harmless when it has none."""
        luid = self._live.pop(index, None)
        if luid is not None:
            self._taken.discard(luid)
            self._write(replace(self._assigned[luid], last_seen=self._clock()))

    def flush(self) -> None:
        """Stores what changed, durably. Raises what the store raises; the next call then tries again."""
        if abs(self._clock() - self._refreshed) >= _REFRESH_AFTER:
            self._refreshed = self._clock()
            for luid in self._taken:
                self._write(replace(self._assigned[luid], last_seen=self._refreshed))
        if self._unsaved:
            self._store.save_luids([self._assigned[luid] for luid in sorted(self._unsaved)])
            self._unsaved.clear()
            self._oldest = self._oldest_unseen()

    def _oldest_unseen(self) -> float:
        return min((a.last_seen for a in self._assigned.values() if a.luid not in self._taken), default=math.inf)

    def _keep(self, luid: str, device: Device) -> bool:
        """Returns whether the live interface with this LUID can be this device; stores its new name."""
        assignment = self._assigned[luid]
        if assignment.key == device.key and assignment.name == device.shown_name:
            return True
        if assignment.key != device.key and not _renamed(assignment.key, device.key):
            return False
        self._write(replace(assignment, key=device.key, name=device.shown_name))
        return True

    def _free(self, device: Device) -> list[LuidAssignment]:
        """Returns the assignments that this device may continue, the last seen first."""
        luids = self._by_key.get(device.key, set()) - self._taken
        return sorted((self._assigned[luid] for luid in luids), key=lambda assignment: -assignment.last_seen)

    def _same_name(self, device: Device) -> str | None:
        name = device.shown_name
        return next((assignment.luid for assignment in self._free(device) if assignment.name == name), None)

    def _only_one(self, device: Device) -> str | None:
        """Returns the LUID of this hardware under any name, if there is one only: among several it would be a guess."""
        free = self._free(device)
        return free[0].luid if len(free) == 1 else None

    def _new(self, if_type: int) -> str:
        """Returns a LUID of this type: the longest unseen one if that is 30 days ago, else one of the next number."""
        number = self._next.get(if_type, FIRST_INDEX)
        unseen = self._unseen(if_type, math.inf if number > _LAST_INDEX else self._clock() - _REUSE_AFTER)
        if unseen:
            return unseen
        if number > _LAST_INDEX:
            raise SourceError(
                f"more than {_LAST_INDEX - FIRST_INDEX} live interfaces of type {if_type}: no LUID is left"
            )
        self._next[if_type] = number + 1
        return make_luid(if_type, number)

    def _unseen(self, if_type: int, since: float) -> str | None:
        """Returns the longest unseen LUID of this type that was not seen since this moment."""
        if self._oldest > since:
            return None  # none is that old: this spares a search for each of thousands of new interfaces
        mine = [
            a for a in self._assigned.values() if a.luid not in self._taken and luid_parts(a.luid).if_type == if_type
        ]
        oldest = min(mine, key=lambda assignment: assignment.last_seen, default=None)
        return oldest.luid if oldest and oldest.last_seen <= since else None

    def _take(self, index: int, luid: str, device: Device) -> None:
        self._live[index] = luid
        self._taken.add(luid)
        self._write(LuidAssignment(luid, device.key, device.shown_name, self._clock()))

    def _write(self, assignment: LuidAssignment) -> None:
        before = self._assigned.get(assignment.luid)
        if before is not None and before.key != assignment.key:
            self._by_key[before.key].discard(before.luid)
            if not self._by_key[before.key]:
                del self._by_key[before.key]
        self._assigned[assignment.luid] = assignment
        self._by_key.setdefault(assignment.key, set()).add(assignment.luid)
        self._unsaved.add(assignment.luid)


def _renamed(before: str, after: str) -> bool:
    """Returns whether two keys differ in the name alone: of the same type and kind, and neither of hardware."""
    type_before, kind_before, identity_before = before.split("/", 2)
    type_after, kind_after, identity_after = after.split("/", 2)
    by_name = identity_before.startswith("name=") and identity_after.startswith("name=")
    return by_name and (type_before, kind_before) == (type_after, kind_after)
