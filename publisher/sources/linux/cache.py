"""The cache of links, as last reported by the kernel, and the updates that messages and reads lead to. No socket.

A link's own members (state, name, mtu, master and so on) come from received messages only, in their order, and each
received state counts. The settings of the families in a message may be those from before the change (docs/linux.md,
trap 1): they come from a read that is made when no more messages wait. A read gives nothing else, since the messages
about what it shows of the link itself may still wait; so no row steps back to an earlier state.

A message that carries a part of a link reports no state: it only marks the link, which is read whole when no message
about it waits any more (docs/linux.md, trap 9).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

from ...errors import PublisherError
from ...events import Family, IpInterface
from ...garbage import uncollected
from ...sink import Log
from .. import Families, Update, Validator
from ..luids import LuidAssigner
from .coalesce import classify, index_of, is_part, is_removal, is_state, states_before
from .known_routes import DefaultRoutes, losing
from .link import (
    CachedLink,
    LinkDetails,
    identifying,
    may_change_speed,
    speed_of,
    unreported_losses,
)
from .parts import Dump, ReadPart, entry_of
from .routes import Routes
from .rows import PathMtuTimes, Times, bare_name, may_have_speed, text
from .rtnetlink import (
    AF_INET6,
    FAMILIES,
    IFLA_EVENT_FEATURES,
    RTM_DELADDR,
    RTM_NEWLINK,
    AddressMessage,
    Link,
    Message,
    NeighbourParameters,
)
from .stack import LinkStack

# A row with that many addresses and links in its stack is long. The pause between two reports, in seconds an entry.
_MANY, _PAUSE = 100, 20e-6
FAMILIES_OF: dict[Families, tuple[Family, ...]] = {"unspec": ("inet", "inet6"), "inet": ("inet",), "inet6": ("inet6",)}


class LinkCache:
    """Turns messages, and the reads made after them, into updates. One thread at a time."""

    def __init__(
        self,
        log: Log,
        luids: LuidAssigner,
        details: LinkDetails,
        families: Families,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.validator = Validator(log)
        self.put_off_until = math.inf
        """When `apply` reports what it put off since its row is long and was reported just before."""
        self.incomplete: set[int] = set()
        """The links of which a message carried a part; `complete` takes what was read of them."""
        self.routes = DefaultRoutes()
        """The default routes as last taken."""
        self._clock = clock
        self._log = log
        self._luids = luids
        self._is_unstored = False
        self._details = details
        self._families = FAMILIES_OF[families]
        self.path_mtu = PathMtuTimes()
        self._links: dict[int, CachedLink] = {}
        self._stack = LinkStack()
        # Links whose rows differ from what was reported, and those of them with another place in the stack.
        self._changed: set[int] = set()
        self._restacked: set[int] = set()
        # The times to be read, of links by index: from files, by the name that the link has when no more messages wait.
        self._unread: set[tuple[int, Family]] = set()
        # Links whose offloads are to be read again: no message shows them, and they are asked for by name.
        self._other_offloads: set[int] = set()

    def names(self) -> dict[int, bytes]:
        """Returns the names of the links by index."""
        return {index: bare_name(cached.link) for index, cached in self._links.items()}

    def indexes(self) -> KeysView[int]:
        """Returns the indexes of the links."""
        return self._links.keys()

    def neighbours(self, indexes: Iterable[int]) -> set[int]:
        """Returns these links with the families in which they have parameters of neighbours (`entry_of`)."""
        links = self._those(indexes)
        return {entry_of(family, cached.link.ifindex) for cached in links for family in cached.resolving}

    def may_have_speed(self, indexes: Iterable[int]) -> set[int]:
        """Returns those of these links that have a speed, or of which a driver may report one now."""
        links = self._those(indexes)
        return {cached.link.ifindex for cached in links if cached.speed is not None or may_have_speed(cached.link)}

    def _those(self, indexes: Iterable[int]) -> list[CachedLink]:
        return [self._links[index] for index in indexes if index in self._links]

    def link(self, index: int) -> Link | None:
        """Returns the link with this index as it is known, None when there is none."""
        cached = self._links.get(index)
        return None if cached is None else cached.link

    def name(self, index: int) -> bytes | None:
        """Returns the name of the link with this index, None when there is none."""
        cached = self._links.get(index)
        return None if cached is None else bare_name(cached.link)

    @uncollected()
    def resync(self, dump: Dump, waiting: Sequence[Message]) -> tuple[tuple[IpInterface, ...], list[Message]]:
        """Returns all rows after everything was read, and the messages that are still to be applied, in order.

        `waiting` are the received messages that were not applied before the dump. They lead to states that the dump
        may show already, so a link that they report keeps the state before them, and a link that they remove keeps its
        rows. Their addresses are brought into the rows at once: each message about an address holds for it alone.
        """
        removed = classify(waiting).removed
        self.path_mtu = dump.path_mtu
        known = {index: cached.link for index, cached in self._links.items()}
        links = states_before(known, waiting, removed, dump.links)
        for index in self._links.keys() - links:
            self._drop(index)
        identities = {index: self._adopt(link).identity for index, link in links.items()}
        for index, luid in self._luids.assign_all(identities).items():
            self._links[index].set_luid(luid)
        left = self._take_addresses(dump.addresses, waiting, links.keys() - removed)
        self._take_neighbours(dump.neighbours)
        self.routes.take_all(self.routes.kept(dump.routes, losing(left) & known.keys()))
        for index, cached in self._links.items():
            self._read_speed(cached)
            if index in known:  # those of a new link were read with its kind
                cached.read_offloads(self._details)
            self._build(cached)
        self._changed.clear()
        self._restacked.clear()
        self._unread.clear()
        self._other_offloads.clear()
        self.incomplete.clear()
        self.put_off_until = math.inf
        self._save()
        return tuple(row for cached in self._links.values() for row in cached.rows.values()), left

    def apply(
        self,
        messages: Sequence[Message],
        reads: Mapping[int, Link | None] | None,
        routes: Routes = MappingProxyType({}),
    ) -> list[Update]:
        """Returns the updates that these messages lead to, in order.

        `reads` are the touched links, and `routes` the default routes of families that were due, read after the last
        message was received. With None more messages wait, and changes of addresses, of the stack and of the families'
        settings are put off, so that many are one update.
        """
        updates: list[Update] = []
        classified = classify(messages)
        for position, (kind, _, _, record) in enumerate(messages):
            index = index_of(record)
            if position in classified.part_of_removal and index in self._links:
                continue
            match record:
                case Link() if is_removal(kind, record):
                    updates += self._drop(index)
                case Link() if is_state(kind, record):
                    newest = reads is not None and classified.newest.get(index) == position
                    if newest and self.routes.take(index, routes):
                        # A message that shows the link as it is known, or a part of it, has no row built.
                        self._changed.add(index)
                    updates += self._receive(record, reads.get(index) if reads is not None and newest else None)
                    if record.event == IFLA_EVENT_FEATURES:
                        self._other_offloads.add(index)
                case Link() if is_part(kind, record):
                    self.incomplete.add(index)
                case Link(family=family) if family == AF_INET6 and kind == RTM_NEWLINK:
                    self._unread.add((index, "inet6"))
                case AddressMessage():
                    self._take_address(kind, record)
        if reads is not None:
            self._changed |= self.routes.take_all(routes)
            updates += self._settle(reads)
        self._save()
        return updates

    def complete(self, reads: Mapping[int, Link | None]) -> list[Update]:
        """Returns the updates of links that were read whole, after which no message about them waits."""
        self.incomplete -= reads.keys()
        updates = [update for link in reads.values() if link and link.is_named for update in self._set(link)]
        updates += self._settle({})
        self._save()
        return updates

    def compare(self, shown: ReadPart, reported: Set[int]) -> list[Update]:
        """Returns the updates of a part of what is there, but for the links that messages reported meanwhile.

        Of these the part may show a state from before a message that was applied, or from after one that waits.
        """
        put_off, self._changed = (self._changed, self.put_off_until), set()
        now = datetime.now(UTC)
        updates = [update for index in sorted(shown.removed - reported) for update in self._drop(index)]
        for link in shown.links:
            if link.ifindex not in reported and link.is_named:
                updates += self._set(link)
        for index, messages in shown.addresses.items():
            take = partial(CachedLink.set_addresses, messages=messages, now=now, validator=self.validator)
            self._compare(index, reported, take)
        for parameters in shown.neighbours:
            self._compare(parameters.ifindex or 0, reported, partial(CachedLink.set_times, parameters=parameters))
        self.read_times(shown.times - reported)
        for index in shown.speeds:
            self._compare(index, reported, self._read_speed)
        self._changed |= self.routes.take_all(shown.routes)
        updates += self._settle({})
        self._changed |= put_off[0]
        self.put_off_until = min(self.put_off_until, put_off[1])
        self._save()
        return [update._replace(cause="reconcile") for update in updates]

    def _compare(self, index: int, reported: Set[int], take: Callable[[CachedLink], bool]) -> None:
        cached = self._links.get(index)
        if cached is not None and index not in reported and take(cached):
            self._changed.add(index)

    def flush(self) -> list[Update]:
        """Returns the updates of all that was put off."""
        return [update for index in sorted(self._changed) for update in self._publish(index)]

    def read_times(self, indexes: Iterable[int]) -> None:
        """Has what /proc/sys shows of these links read again when no more messages wait; that `apply` reports it."""
        self._unread.update((index, family) for index in indexes for family in FAMILIES.values())

    def _read_times(self, index: int, family: Family) -> None:
        cached = self._links.get(index)
        if cached is None:
            return
        before = cached.times.get(family, Times())
        read = self._details.times(family, bare_name(cached.link))
        kept = before.reachable if read.base_reachable == before.base_reachable else None
        # Without files the link has another name by now, of which the message comes, or not this family.
        if read != Times() and (times := read._replace(reachable=kept)) != before:
            cached.times[family] = times
            self._changed.add(index)

    def _settle(self, reads: Mapping[int, Link | None]) -> list[Update]:
        """Returns the updates of what was put off until no more messages wait."""
        unread, self._unread = self._unread, set()
        for index, family in unread:
            self._read_times(index, family)
        for index in self._other_offloads & self._links.keys():
            if self._links[index].read_offloads(self._details):
                self._changed.add(index)
        self._other_offloads.clear()
        for index, read in reads.items():
            cached = self._links.get(index)
            if read is not None and cached is not None:
                before, cached.link = cached.link, cached.link.with_settings(read)
                if before is not cached.link and before.state != cached.link.state:
                    self._changed.add(index)
        if not self._changed and not self._restacked:
            self.put_off_until = math.inf
            return []
        for index in self._restacked & self._links.keys():
            # A bond, a bridge and a VLAN are as fast as what is below them.
            self._read_speed(self._links[index])
        changed = sorted(self._changed | self._restacked)
        self._restacked.clear()
        self.put_off_until = math.inf
        return [update for index in changed if self._is_due(index) for update in self._publish(index)]

    def _is_due(self, index: int) -> bool:
        """Returns whether the rows may be reported: long ones after a pause, so that the cost of changes is linear."""
        cached = self._links.get(index)
        if cached is None or cached.entries < _MANY:
            return True
        due = cached.reported_at + cached.entries * _PAUSE
        if due > self._clock():
            self._changed.add(index)
            self.put_off_until = min(self.put_off_until, due)
            return False
        return True

    def _receive(self, received: Link, read: Link | None) -> list[Update]:
        """Returns the updates of a received state; its settings are those of the read, else those known before.

        What may end may as well be left out of the message: it stays as it is known until the link is read whole.
        """
        index = received.ifindex
        self.incomplete.discard(index)
        known = self._links[index].link if index in self._links else None
        if known is not None and received.is_part_of(known):
            self.incomplete.add(index)
            return []
        settings = read or known
        link = told = received.with_settings(settings) if settings else received
        if known is not None:
            link = told.completed(known)
        elif read is not None:
            link = told.identified(read)
        if link is not told or (read is not None and link.completed(read) is not link):
            self.incomplete.add(index)
        return self._set(link)

    def _set(self, link: Link) -> list[Update]:
        """Returns the updates of a state of a link."""
        index = link.ifindex
        before = self._links[index].link if index in self._links else None
        if before is not None and before.state == link.state:
            self._log_flaps(before, link)
            self._links[index].link = link
            return []
        cached = self._adopt(link)
        luid = cached.luid
        updates: list[Update] = []
        if before is None or identifying(before) != identifying(link):
            updates = cached.set_luid(self._luids.assign(index, cached.identity))
        if before is None:
            for family in self._families:
                self._read_times(index, family)
        else:
            if before.name != link.name:
                self.read_times((index,))
                # udev renames a link just after it was made: its driver was asked by a name that it no longer had.
                self._other_offloads.add(index)
        if cached.luid != luid:
            self._restacked |= self._stack.adjacent(index)
        if before is None or may_change_speed(before, link):
            self._read_speed(cached)
        return updates + self._publish(index)

    def _adopt(self, link: Link) -> CachedLink:
        """Returns the cached link, which then equals this link."""
        index = link.ifindex
        cached = self._links.get(index)
        if cached is None:
            cached = self._links[index] = CachedLink(link)
            cached.read_kind(self._details)
        else:
            before, cached.link = cached.link, link
            if (before.kind, before.hardware_type) != (link.kind, link.hardware_type):
                cached.read_kind(self._details)
            elif before.name != link.name:
                cached.complete_kind(self._details)
            self._log_flaps(before, link)
        self._restacked |= self._stack.put(link)
        return cached

    def _drop(self, index: int) -> list[Update]:
        """Removes the link, also out of the stacks that it was part of."""
        cached = self._links.pop(index, None)
        if cached is None:
            return []
        self._luids.release(index)
        self.routes.drop(index)
        self._changed.discard(index)
        self.incomplete.discard(index)
        self._restacked |= self._stack.adjacent(index)
        self._stack.remove(index)
        return cached.set_luid("")

    def _take_address(self, kind: int, message: AddressMessage) -> None:
        cached = self._links.get(message.ifindex)
        if cached is None or message.family not in FAMILIES:
            return
        if kind == RTM_DELADDR:
            cached.remove_address(message)
        else:
            self.validator.build(lambda: cached.add_address(message, datetime.now(UTC)), message)
        self._changed.add(message.ifindex)

    def _take_addresses(
        self, dump: Iterable[AddressMessage], waiting: Iterable[Message], indexes: set[int]
    ) -> list[Message]:
        """Sets the addresses of these links to those of a dump and of waiting messages; returns the other messages."""
        by_index: dict[int, list[AddressMessage]] = {}
        for address in dump:
            by_index.setdefault(address.ifindex, []).append(address)
        now = datetime.now(UTC)
        for index in indexes:
            self._links[index].set_addresses(by_index.get(index, []), now, self.validator)
        left: list[Message] = []
        for message in waiting:
            if isinstance(message.record, AddressMessage) and message.record.ifindex in indexes:
                self._take_address(message.type, message.record)
            else:
                left.append(message)
        return left

    def _take_neighbours(self, dump: Iterable[NeighbourParameters] | None) -> None:
        if dump is None:
            for index in self._links:
                for family in FAMILIES.values():
                    self._read_times(index, family)
            return
        for parameters in dump:
            if cached := self._links.get(parameters.ifindex or 0):
                cached.set_times(parameters)
        for index, cached in self._links.items():
            for number in cached.resolving:
                if FAMILIES[number] not in cached.times:  # left out while links came and went
                    self._read_times(index, FAMILIES[number])

    def _read_speed(self, cached: CachedLink) -> bool:
        return cached.set_speed(speed_of(cached.link, self._details))

    def _publish(self, index: int) -> list[Update]:
        self._changed.discard(index)
        cached = self._links.get(index)
        return self._build(cached) if cached else []

    def _build(self, cached: CachedLink) -> list[Update]:
        """Returns the updates of what differs from what was reported of this link."""
        index = cached.link.ifindex
        higher, lower = self._luids_of(self._stack.higher(index)), self._luids_of(self._stack.lower(index))
        build = partial(cached.build, self._families, self.path_mtu, higher, lower, self.routes.of(index))
        updates = self.validator.build(build, cached.link) or []
        if updates:
            cached.reported_at = self._clock()
        return updates

    def _luids_of(self, indexes: Set[int]) -> tuple[str, ...]:
        return tuple(sorted(self._links[index].luid for index in indexes)) if indexes else ()

    def _log_flaps(self, before: Link, after: Link) -> None:
        if lost := unreported_losses(before, after):
            self._log.debug("%s: the carrier was lost and came back %d times without a message", text(after.name), lost)

    def _save(self) -> None:
        """Stores the LUIDs; a trouble is one line in the log, and one when it is over."""
        try:
            self._luids.flush()
        except PublisherError as error:
            if not self._is_unstored:
                self._log.warning("cannot store LUIDs: %s; they stay in memory and are stored later", error)
            self._is_unstored = True
        else:
            if self._is_unstored:
                self._log.info("the LUIDs are stored again")
            self._is_unstored = False
