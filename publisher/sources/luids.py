"""Stable LUIDs where the system has none: an interface keeps its LUID over renames, re-plugs and reboots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from ..errors import SourceError
from ..events import make_luid
from .assignments import KnownAssignments, LuidAssignment
from .identity import FIRST_NUMBER, LAST_NUMBER, Identity, is_local


class LuidStore(Protocol):
    """A store of assignments; the journal is one. Called from the source's thread only."""

    def load_luids(self) -> list[LuidAssignment]:
        """Returns every assignment."""
        ...

    def save_luids(self, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()) -> None:
        """Inserts or replaces by `luid`, and deletes the removed LUIDs; durably before it returns."""
        ...


class MemoryLuids:
    """Assignments in memory, for `watch()` and the calls of netioapi."""

    def __init__(self) -> None:
        self._by_luid: dict[str, LuidAssignment] = {}

    def load_luids(self) -> list[LuidAssignment]:
        return list(self._by_luid.values())

    def save_luids(self, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()) -> None:
        self._by_luid |= {assignment.luid: assignment for assignment in assignments}
        for luid in removed:
            self._by_luid.pop(luid, None)


class _Holder(NamedTuple):
    """An interface that is there."""

    luid: str
    identity: Identity


class LuidAssigner:
    """Assigns a LUID to each live interface: the one from before if it is known again, and never another's.

    docs/linux.md, "Identities", has the rules. `index` identifies an interface while it lives. A LUID's number is a
    hash of the identity, so that programs without a common store agree. No clock decides anything. One thread at a
    time; nothing is stored before `flush()`.
    """

    def __init__(self, store: LuidStore) -> None:
        self._store = store
        self._known = KnownAssignments(store.load_luids())
        self._live: dict[int, _Holder] = {}
        # The number of live interfaces of each address, and of each address and port.
        self._present: Counter[tuple[bytes, str | None]] = Counter()

    def assign(self, index: int, identity: Identity) -> str:
        """Returns the LUID of this interface; a renamed one keeps its own."""
        return self.assign_all({index: identity})[index]

    def assign_all(self, identities: dict[int, Identity]) -> dict[int, str]:
        """Returns the LUIDs of interfaces that were read together."""
        for index, identity in identities.items():
            if index in self._live and not self._keep(index, identity):
                self.release(index)
        arrived = {index: identities[index] for index in sorted(identities) if index not in self._live}
        for identity in arrived.values():
            self._count(identity, 1)
        for identity in arrived.values():
            self._share(identity)
        for match in (self._same_place, self._same_port, self._same_hardware, self._same_name):
            for index in [index for index in arrived if index not in self._live]:
                if found := next(match(arrived[index]), None):
                    self._take(index, found, arrived[index])
        for index, identity in arrived.items():
            if index not in self._live:
                self._take(index, self._new(identity), identity)
        return {index: self._live[index].luid for index in identities}

    def release(self, index: int) -> None:
        """Releases the LUID of a removed interface; harmless when it has none."""
        holder = self._live.pop(index, None)
        if holder is not None:
            self._count(holder.identity, -1)
            self._known.release(holder.luid)

    def flush(self) -> None:
        """Stores what changed, durably. Raises what the store raises; the next call then tries again."""
        if changes := self._known.changes():
            self._store.save_luids(*changes)
            self._known.saved()

    def _keep(self, index: int, identity: Identity) -> bool:
        """Returns whether the live interface with this index can be this one; stores its new name."""
        luid, before = self._live[index]
        if before == identity:
            return True
        if (before.if_type, before.kind) != (identity.if_type, identity.kind):
            return False
        if before.address and identity.address and before.address != identity.address:
            return False
        assignment = self._assignment(luid)
        address, port = identity.address or assignment.address, identity.port or assignment.port
        self._count(before, -1)
        self._count(identity, 1)
        self._live[index] = _Holder(luid, identity)
        self._known.put(assignment._replace(name=identity.name, address=address, port=port))
        self._share(identity)
        if before.name != identity.name:
            self._retire(identity)
        return True

    def _retire(self, identity: Identity) -> None:
        """Removes assignments of interfaces that are gone and were known by the name that this one took over."""
        for other in self._known.named(identity.if_type, identity.kind, identity.name):
            if not other.address or (other.shared and other.address == identity.address):
                self._known.remove(other.luid)

    # The ways to know an interface again, from the surest on. Each yields assignments of interfaces that are gone.

    def _same_place(self, identity: Identity) -> Iterator[LuidAssignment]:
        """The same address, name and, if both are known, port; without an address the same kind and name."""
        for found in self._known.named(identity.if_type, identity.kind, identity.name):
            if found.address == identity.address and (not identity.port or found.port in ("", identity.port)):
                yield found

    def _same_port(self, identity: Identity) -> Iterator[LuidAssignment]:
        """The only interface at this port of what shares an address."""
        if not identity.port or not self._known.is_shared(identity.address):
            return
        luids = self._known.at_port(identity.address, identity.port)
        if len(luids) == 1 and self._present[identity.address, identity.port] == 1:
            yield from self._of_type(luids, identity)

    def _same_hardware(self, identity: Identity) -> Iterator[LuidAssignment]:
        """The same address under any name; among several that share it, the name decides."""
        if not identity.address:
            return
        if self._known.is_shared(identity.address):
            yield from (found for found in self._by_names(identity) if found.address == identity.address)
        else:
            yield from self._of_type(self._known.addressed(identity.address), identity)

    def _same_name(self, identity: Identity) -> Iterator[LuidAssignment]:
        """The same name, where one of the two has no address, or an address of which software makes a new one.

        A kernel before 5.6 reports no permanent address; a phone makes up another one at each plug.
        """
        local = is_local(identity.address) and not self._known.addressed(identity.address)
        none_reported = not self._present
        for found in self._by_names(identity):
            if not found.address:
                yield found
            elif identity.address:
                if local and is_local(found.address) and not found.shared:
                    yield found
            elif found.shared or none_reported:
                yield found

    def _by_names(self, identity: Identity) -> Iterator[LuidAssignment]:
        """Those of this name, then those that appeared under it and were renamed: udev does so with hardware."""
        yield from self._known.named(identity.if_type, identity.kind, identity.name)
        if not identity.kind:
            yield from self._known.named_first(identity.if_type, identity.kind, identity.name)

    def _of_type(self, luids: Iterable[str], identity: Identity) -> Iterator[LuidAssignment]:
        for luid in luids:
            found = self._assignment(luid)
            if not self._known.is_held(luid) and (found.if_type, found.kind) == (identity.if_type, identity.kind):
                yield found

    def _new(self, identity: Identity) -> LuidAssignment:
        """Returns an assignment with the number of the identity, or the next one that is free."""
        by_address = identity.address and identity.lasting and not self._known.addressed(identity.address)
        number = identity.number_by_address() if by_address else identity.number_by_name()
        for _ in range(FIRST_NUMBER, LAST_NUMBER + 1):
            luid = make_luid(identity.if_type, number)
            if self._known.get(luid) is None:
                return LuidAssignment(luid, identity.kind, identity.name, identity.name)
            number = number + 1 if number < LAST_NUMBER else FIRST_NUMBER
        raise SourceError(
            f"more than {LAST_NUMBER - FIRST_NUMBER} interfaces of type {identity.if_type}: no LUID is left"
        )

    def _take(self, index: int, assignment: LuidAssignment, identity: Identity) -> None:
        self._live[index] = _Holder(assignment.luid, identity)
        self._known.hold(assignment.luid, identity, identity.port or assignment.port)

    def _assignment(self, luid: str) -> LuidAssignment:
        assignment = self._known.get(luid)
        assert assignment is not None
        return assignment

    def _count(self, identity: Identity, step: int) -> None:
        for key in ((identity.address, None), (identity.address, identity.port)) if identity.address else ():
            self._present[key] += step
            if not self._present[key]:
                del self._present[key]

    def _share(self, identity: Identity) -> None:
        """Notes that the address of this interface is that of another one, if it is."""
        if identity.address and self._present[identity.address, None] > 1:
            self._known.share(identity.address)
