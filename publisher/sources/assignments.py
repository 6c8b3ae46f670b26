"""Assignments of LUIDs in memory: found by name, address and port, and bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from ..events import luid_parts
from .identity import Identity

MOST_NAMED = 10_000
"""The most assignments of interfaces that are gone and known by name: those of containers never come again."""
MOST_HARDWARE = 50_000
"""The most assignments of hardware that is gone."""


class LuidAssignment(NamedTuple):
    """A LUID with the identity of the interface that has it.

    `first_name` is the name under which it appeared last: udev renames interfaces at each boot. `shared`: another
    interface had the same address at the same time. `seen` is greater in what appeared or went later; it is no time.
    """

    luid: str
    kind: str
    name: bytes
    first_name: bytes
    address: bytes = b""
    port: str = ""
    shared: bool = False
    seen: int = 0

    @property
    def if_type(self) -> int:
        """The IANA type, which is a part of the LUID."""
        return luid_parts(self.luid).if_type

    @property
    def by_name(self) -> bool:
        """True when the interface is known by its name."""
        return self.shared or not self.address


_SHARED = LuidAssignment._fields.index("shared")
"""The members before it are those by which an assignment is found."""


class Changes(NamedTuple):
    """The assignments to store, and the LUIDs whose assignments are no longer to be stored."""

    changed: list[LuidAssignment]
    removed: list[str]


class KnownAssignments:
    """The assignments by LUID, name, first name, address and port. Those that are not held are of gone interfaces.

    Each method costs the same however many assignments there are.
    """

    def __init__(self, assignments: Iterable[LuidAssignment]) -> None:
        self._by_luid: dict[str, LuidAssignment] = {}
        self._index: dict[tuple[Hashable, ...], set[str]] = {}
        self._shared: set[bytes] = set()
        self._held: set[str] = set()
        self._gone: dict[bool, OrderedDict[str, None]] = {True: OrderedDict(), False: OrderedDict()}
        self._changed: set[str] = set()
        self._removed: set[str] = set()
        self.seen = 0
        """The greatest `seen` so far."""
        for assignment in sorted(assignments, key=lambda assignment: assignment.seen):
            self._add(assignment)
        for luids in [luids for key, luids in self._index.items() if key[0] == "address" and len(luids) > 1]:
            self.share(self._by_luid[next(iter(luids))].address)

    def named(self, if_type: int, kind: str, name: bytes) -> list[LuidAssignment]:
        """Returns the assignments of this name that are gone, the last seen first."""
        return self._free("name", if_type, kind, name)

    def named_first(self, if_type: int, kind: str, name: bytes) -> list[LuidAssignment]:
        """Returns the assignments that appeared under this name and are gone, the last seen first."""
        return self._free("first name", if_type, kind, name)

    def addressed(self, address: bytes) -> set[str]:
        """Returns the LUIDs of this address, those that are held as well."""
        return self._index.get(("address", address), set())

    def at_port(self, address: bytes, port: str) -> set[str]:
        """Returns the LUIDs of this address and port, those that are held as well."""
        return self._index.get(("port", address, port), set())

    def is_shared(self, address: bytes) -> bool:
        """Returns whether several interfaces ever had this address at once."""
        return address in self._shared

    def share(self, address: bytes) -> None:
        """Notes that several interfaces have this address at once."""
        if address not in self._shared:
            self._shared.add(address)
            for luid in list(self.addressed(address)):
                self.put(self._by_luid[luid]._replace(shared=True))

    def get(self, luid: str) -> LuidAssignment | None:
        """Returns the assignment of a LUID."""
        return self._by_luid.get(luid)

    def is_held(self, luid: str) -> bool:
        """Returns whether the interface with this LUID is there."""
        return luid in self._held

    def hold(self, luid: str, identity: Identity, port: str) -> None:
        """Puts the assignment of an interface that appeared."""
        for gone in self._gone.values():
            gone.pop(luid, None)
        self._held.add(luid)
        self.seen += 1
        _, kind, name, address, *_ = identity
        self.put(LuidAssignment(luid, kind, name, name, address, port, address in self._shared, self.seen))

    def release(self, luid: str) -> None:
        """Notes that an interface is gone; the assignments that were seen first are removed when there are too many."""
        self._held.discard(luid)
        self.seen += 1
        self.put(self._by_luid[luid]._replace(seen=self.seen))
        for by_name, most in ((True, MOST_NAMED), (False, MOST_HARDWARE)):
            while len(self._gone[by_name]) > most:
                self.remove(next(iter(self._gone[by_name])))

    def put(self, assignment: LuidAssignment) -> None:
        """Inserts or replaces by LUID."""
        before = self._by_luid.get(assignment.luid)
        if before == assignment:
            return
        if before is None:
            self._add(assignment)
        elif assignment.luid in self._held and before[:_SHARED] == assignment[:_SHARED]:
            self._by_luid[assignment.luid] = assignment
        else:
            self._take_out(before)
            self._add(assignment)
        self._changed.add(assignment.luid)
        self._removed.discard(assignment.luid)

    def remove(self, luid: str) -> None:
        """Removes the assignment of an interface that is gone."""
        self._take_out(self._by_luid.pop(luid))
        self._changed.discard(luid)
        self._removed.add(luid)

    def changes(self) -> Changes | None:
        """Returns what is to be stored since `saved`; None for nothing."""
        if not self._changed and not self._removed:
            return None
        return Changes([self._by_luid[luid] for luid in sorted(self._changed)], sorted(self._removed))

    def saved(self) -> None:
        """Notes that all changes were stored."""
        self._changed.clear()
        self._removed.clear()

    def _free(self, *key: Hashable) -> list[LuidAssignment]:
        luids = self._index.get(key)
        if not luids:
            return []
        return sorted((self._by_luid[luid] for luid in luids - self._held), key=lambda found: -found.seen)

    def _add(self, assignment: LuidAssignment) -> None:
        luid = assignment.luid
        self._by_luid[luid] = assignment
        self.seen = max(self.seen, assignment.seen)
        if assignment.shared:
            self._shared.add(assignment.address)
        for key in _keys(assignment):
            self._index.setdefault(key, set()).add(luid)
        if luid not in self._held:
            self._gone[assignment.by_name][luid] = None

    def _take_out(self, assignment: LuidAssignment) -> None:
        for key in _keys(assignment):
            self._index[key].discard(assignment.luid)
            if not self._index[key]:
                del self._index[key]
        self._gone[assignment.by_name].pop(assignment.luid, None)


def _keys(assignment: LuidAssignment) -> list[tuple[Hashable, ...]]:
    of_type = assignment.if_type, assignment.kind
    keys: list[tuple[Hashable, ...]] = [("name", *of_type, assignment.name)]
    if assignment.first_name != assignment.name:
        keys.append(("first name", *of_type, assignment.first_name))
    if assignment.address:
        keys.append(("address", assignment.address))
        keys.append(("port", assignment.address, assignment.port))
    return keys
