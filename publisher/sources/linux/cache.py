"""What the kernel said so far, interface by interface, and the updates that each further word makes. No socket.

What a told message says of the link itself (state, name, mtu, master, ...) counts as told, each time. The families'
settings in it may be those from before the change (linux.md, trap 1), so they are taken from a read made after it.
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ...errors import PublisherError
from ...events import Family, IpInterface
from .. import Families, Update, Validator
from ..luids import LuidAssigner
from .coalesce import classify, index_of, same
from .iftype import interface_type
from .link import FAMILIES, CachedLink
from .rows import PathMtuTimes, Times, bare_name, device, lower_index, may_be_wireless, may_have_speed
from .rtnetlink import (
    AF_INET6,
    AF_UNSPEC,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWLINK,
    Link,
    Message,
    Neighbours,
    Netconf,
    text,
)
from .rtnetlink import Address as ToldAddress

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_SETTINGS = Link._fields.index("has_inet")
_WATCHED: dict[Families, tuple[Family, ...]] = {"unspec": ("inet", "inet6"), "inet": ("inet",), "inet6": ("inet6",)}


class LinkDetails(Protocol):
    """What is known by other ways than rtnetlink's messages."""

    def times(self, family: Family, name: bytes) -> Times: ...
    def speed(self, name: bytes) -> int | None: ...
    def is_wireless(self, name: bytes, index: int) -> bool: ...


class LinkCache:
    """Turns messages, and the reads made after them, into updates. One thread at a time."""

    def __init__(
        self, log: FilteringBoundLogger, luids: LuidAssigner, details: LinkDetails, families: Families
    ) -> None:
        self._log = log
        self._luids = luids
        self._details = details
        self._families = _WATCHED[families]
        self._ports: dict[int, CachedLink] = {}
        self._beside: dict[int, set[int]] = {}
        self._unsent: set[int] = set()
        self.path_mtu = PathMtuTimes()
        self.validator = Validator(log)

    def names(self) -> dict[int, bytes]:
        """The known interfaces' names by index."""
        return {index: bare_name(port.link) for index, port in self._ports.items()}

    def indexes(self) -> KeysView[int]:
        """The known interfaces."""
        return self._ports.keys()

    def name(self, index: int) -> bytes | None:
        """The name of the interface with this index, None when there is none."""
        port = self._ports.get(index)
        return None if port is None else bare_name(port.link)

    def resync(
        self, links: Iterable[Link], addresses: Iterable[ToldAddress], neighbours: Iterable[Neighbours]
    ) -> tuple[IpInterface, ...]:
        """All rows, after everything was read anew. What did not change stays the same object."""
        current = {link.ifindex: link for link in links}
        for index in self._ports.keys() - current:
            self._drop(index)
        devices = {index: device(link, self._adopt(link).if_type) for index, link in current.items()}
        for index, luid in self._luids.assign_all(devices).items():
            self._ports[index].give(luid)
        self._take_addresses(addresses)
        for told in neighbours:
            if told.ifindex in self._ports:
                times = Times(told.base_reachable_time, told.retransmit_time, told.reachable_time)
                self._ports[told.ifindex].times[FAMILIES[told.family]] = times
        for port in self._ports.values():
            self._read_speed(port)
            self._build(port)
        self._unsent.clear()
        self._save()
        return tuple(row for port in self._ports.values() for row in port.rows.values())

    def apply(self, messages: Sequence[Message], reads: Mapping[int, Link | None]) -> list[Update]:
        """The updates of what was told, in order. `reads` are the touched interfaces, read after all of it was told."""
        updates: list[Update] = []
        fate = classify(messages)
        for position, (kind, _, _, record) in enumerate(messages):
            if position in fate.part_of_removal and index_of(record) in self._ports:
                continue
            read = reads.get(index_of(record)) if position in fate.lasting else None
            match record:
                case Link():
                    updates += self._told_link(kind, record, read)
                case ToldAddress():
                    updates += self._told_address(kind, record, read)
                case Netconf():
                    updates += self._settings(record.ifindex or 0, read)
        for index, read in reads.items():
            if read is not None and (index not in fate.removed or index in self._ports):
                updates += self._set(read, look=True)
        for index in sorted(self._unsent):
            updates += self._publish(index)
        self._save()
        return updates

    def read_times(self, index: int, families: Iterable[Family] = ("inet", "inet6")) -> None:
        """Read again what is under /proc/sys for this interface; the next `apply` publishes it."""
        port = self._ports.get(index)
        if port is None:
            return
        for family in families:
            before = port.times.get(family, Times())
            read = self._details.times(family, bare_name(port.link))
            kept = before.reachable if read.base_reachable == before.base_reachable else None
            if (times := read._replace(reachable=kept)) != before:
                port.times[family] = times
                self._unsent.add(index)

    def _told_link(self, kind: int, told: Link, read: Link | None) -> list[Update]:
        if told.family == AF_INET6 and kind == RTM_NEWLINK:
            self.read_times(told.ifindex, ("inet6",))
            return self._settings(told.ifindex, read)
        if told.family != AF_UNSPEC:
            # A bridge tells of a port that leaves it as DELLINK of its own family (linux.md, trap 2).
            return []
        if kind == RTM_DELLINK:
            return self._drop(told.ifindex)
        port = self._ports.get(told.ifindex)
        if read is not None and (port is None or told[:_SETTINGS] == read[:_SETTINGS]):
            return self._set(_with_settings(told, read))
        # Told, and already over when it was read: the settings then are not known, so they stay as they were.
        return self._set(_with_settings(told, port.link) if port else told)

    def _settings(self, index: int, read: Link | None) -> list[Update]:
        """The families' settings of a read; what it says of the link itself waits for the messages that tell it."""
        if read is None:
            return []
        port = self._ports.get(index)
        return self._set(_with_settings(port.link, read) if port else read)

    def _told_address(self, kind: int, told: ToldAddress, read: Link | None) -> list[Update]:
        updates = self._settings(told.ifindex, read)
        port = self._ports.get(told.ifindex)
        if port is None or told.family not in FAMILIES:
            return updates
        if kind == RTM_DELADDR:
            changed = port.remove_address(told)
        else:
            changed = self.validator.build(lambda: port.add_address(told), told) or False
        self._unsent.add(told.ifindex)
        # A mere refresh of its lifetimes is reported once everything that was told has been looked at.
        return updates + (self._publish(told.ifindex) if changed else [])

    def _take_addresses(self, addresses: Iterable[ToldAddress]) -> None:
        by_index: dict[int, list[ToldAddress]] = {}
        for address in addresses:
            by_index.setdefault(address.ifindex, []).append(address)
        for index, port in self._ports.items():
            told = by_index.get(index, ())
            self.validator.build(partial(port.set_addresses, told), told)

    def _set(self, link: Link, *, look: bool = False) -> list[Update]:
        """The link is like this now; `look`: so see what its driver says, even when it says the same."""
        index = link.ifindex
        before = self._ports.get(index)
        if before is not None and same(before.link, link):
            self._count_flaps(before, link)
            before.link = link
            return self._publish(index) if look and self._read_speed(before) else []
        beside = _beside(before.link) if before else set()
        port = self._adopt(link)
        updates = port.give(self._luids.assign(index, device(link, port.if_type)))
        if before is None:
            self.read_times(index, self._families)
        self._read_speed(port)
        updates += self._publish(index)
        for other in sorted((beside ^ _beside(link)) | (self._beside.get(index, set()) if before is None else set())):
            updates += self._publish(other)
        return updates

    def _adopt(self, link: Link) -> CachedLink:
        """The port of this link, which is then as the link says."""
        index = link.ifindex
        port = self._ports.get(index)
        if port is None:
            port = self._ports[index] = CachedLink(link)
            port.if_type = self._type(link)
        else:
            if (port.link.kind, port.link.hardware_type) != (link.kind, link.hardware_type):
                port.if_type = self._type(link)
            self._count_flaps(port, link)
            self._unlink(port.link)
            port.link = link
        for other in _beside(link):
            self._beside.setdefault(other, set()).add(index)
        return port

    def _drop(self, index: int) -> list[Update]:
        """The interface is gone, and out of the stacks that it was part of."""
        port = self._ports.pop(index, None)
        if port is None:
            return []
        self._luids.release(index)
        self._unlink(port.link)
        self._unsent.discard(index)
        updates = port.give("")
        for other in sorted(_beside(port.link) | self._beside.get(index, set())):
            updates += self._publish(other)
        return updates

    def _unlink(self, link: Link) -> None:
        for other in _beside(link):
            members = self._beside.get(other, set())
            members.discard(link.ifindex)
            if not members:
                self._beside.pop(other, None)

    def _type(self, link: Link) -> int:
        wireless = may_be_wireless(link) and self._details.is_wireless(bare_name(link), link.ifindex)
        return interface_type(link, wireless=wireless)

    def _read_speed(self, port: CachedLink) -> bool:
        """Whether the speed is another than before."""
        before = port.speed
        port.speed = self._details.speed(bare_name(port.link)) if may_have_speed(port.link) else None
        return before != port.speed

    def _publish(self, index: int) -> list[Update]:
        self._unsent.discard(index)
        port = self._ports.get(index)
        return self._build(port) if port else []

    def _build(self, port: CachedLink) -> list[Update]:
        """What differs from what was published of this interface."""
        index = port.link.ifindex
        beside = self._beside.get(index, ())
        higher = {port.link.master, *(other for other in beside if lower_index(self._ports[other].link) == index)}
        lower = {lower_index(port.link), *(other for other in beside if self._ports[other].link.master == index)}
        above, below = self._luids_of(higher), self._luids_of(lower)
        return self.validator.build(lambda: port.build(self._families, self.path_mtu, above, below), port.link) or []

    def _luids_of(self, indexes: Iterable[int | None]) -> tuple[str, ...]:
        return tuple(sorted(self._ports[index].luid for index in indexes if index in self._ports))

    def _count_flaps(self, port: CachedLink, link: Link) -> None:
        """Say in the log that a carrier was lost and came back without a message: between two told states there is no
        third that we could publish without making one up (linux.md, trap 7)."""
        before, after = port.link.carrier_downs, link.carrier_downs
        lost = (after or 0) - (before or 0) - int(bool(port.link.carrier) and not link.carrier)
        if before is not None and after is not None and lost > 0 and port.link.carrier == link.carrier:
            self._log.debug("carrier was lost and came back, untold", interface=text(link.name), times=lost)

    def _save(self) -> None:
        try:
            self._luids.flush()
        except PublisherError as error:
            self._log.warning("LUIDs cannot be stored now; they are kept in memory and tried again", error=str(error))


def _with_settings(link: Link, newest: Link) -> Link:
    return Link._make(link[:_SETTINGS] + newest[_SETTINGS:])


def _beside(link: Link) -> set[int]:
    """The interfaces directly above and below that this link names."""
    return {index for index in (link.master, lower_index(link)) if index}
