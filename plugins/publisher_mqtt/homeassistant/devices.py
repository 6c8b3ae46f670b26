"""The announced Home Assistant devices, and the messages when interfaces are added, change or are removed. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from publisher.containers import has_container_name, is_of_containers
from publisher.events import Event, Family

from ..messages import MqttMessage
from .discovery import NODE, Discovery
from .found import FoundDevice, digest_of, luid_of
from .kept import KeptDevices
from .shown import Shape, ShownRow, shared, shown_row

_LOOPBACK = 24
"""The IANA type of loopback interfaces."""


@dataclass(frozen=True, slots=True)
class _Announced:
    """A device that the broker retains: `digest` of its payload, `None` when that must be sent again or cleared first.

    `shape` is that of a payload that we sent, or would have sent. `is_ours` is False for what somebody else put there:
    it is replaced when a device of ours needs the topic, and else left alone.
    """

    digest: bytes | None
    components: frozenset[str] = frozenset()
    alias: str = ""
    is_ours: bool = True
    is_strange: bool = False
    is_of_containers: bool = False
    shape: Shape | None = None


class Devices:
    """The discovery topics of one node as the broker is known to retain them, by LUID, and `NODE` for its own device.

    The device of an interface that is removed stays for `keep_days`, unless it is a container's: Home Assistant
    forgets the user's name, icon and area of a device that goes. Its entities then have the values of an empty state.
    """

    def __init__(self, discovery: Discovery, today: date | None = None) -> None:
        self.discovery = discovery
        self.kept = KeptDevices(discovery.options.keep_days, today or datetime.now(UTC).date())
        self._wants = discovery.options.wants
        self._asks = bool(discovery.options.include)
        self._rows: dict[str, dict[Family, ShownRow]] = {}
        # Interfaces that are there and are no devices, by family: whether that is for a container's name.
        self._left_out: dict[str, dict[Family, bool]] = {}
        self._bridges: set[str] = set()
        self._announced: dict[str, _Announced] = {}
        self._first_forms: set[str] = set()

    @property
    def config_topics(self) -> list[str]:
        """The topic filters of all discovery topics of this node."""
        return self.discovery.config_topics

    def is_config(self, topic: str) -> bool:
        """Returns whether the topic is a discovery topic of this node."""
        return luid_of(topic, self.discovery) is not None

    def apply(self, events: Iterable[Event]) -> list[MqttMessage]:
        """Returns the messages after these events: each device that differs now, an empty payload for a removed one."""
        touched: dict[str, None] = {}
        for event in events:
            touched |= dict.fromkeys(self.remember(event))
        return list(self._smallest_first(touched))

    def begin_snapshot(self) -> None:
        """Forgets the rows, not the announced devices: a snapshot follows."""
        self._rows.clear()
        self._left_out.clear()

    def found(self, devices: Iterable[FoundDevice], *, complete: bool) -> None:
        """Takes what the broker retains, as read back, in place of what was believed.

        When it is not complete, the other devices may be there with any payload: they are announced or removed again.
        """
        before, self._announced, self._first_forms = self._announced, {}, set()
        self.found_late(devices)
        # Where the broker has lost all, what is kept is sent again; one that is missing alone was removed by the user.
        is_lost = not any(device.is_ours for device in self._announced.values())
        for luid, device in before.items():
            if luid not in self._announced and device.is_ours and (not complete or is_lost):
                digest = device.digest if device.shape is None else None
                self._announced[luid] = replace(device, digest=digest)

    def found_late(self, devices: Iterable[FoundDevice]) -> list[str]:
        """Takes devices that were read back after the rest; returns the LUIDs, for `settle`."""
        luids = []
        for found in devices:
            luids.append(found.luid)
            if found.is_first_form:
                self._first_forms.add(found.luid)
            known = self._announced.get(found.luid)
            if known is not None and known.digest is not None and not found.is_first_form:
                # What was sent since is newer than what is read.
                continue
            had = shared(found.components | (known.components if known else frozenset()))
            digest = None if found.is_first_form or found.is_strange else found.digest
            self._announced[found.luid] = _Announced(
                digest, had, found.alias, found.is_ours, found.is_strange and not found.is_first_form
            )
        return luids

    def settle(self, *, removing: bool, only: Iterable[str] | None = None) -> Iterator[MqttMessage]:
        """Yields the messages for devices that are missing or differ and, with `removing`, for those without rows."""
        luids = {NODE, *self._rows, *(self._announced if removing else ())}
        if only is not None:
            luids = luids & set(only)
        return self._smallest_first(sorted(luids))

    def again(self) -> Iterator[MqttMessage]:
        """Yields every device, for a Home Assistant that has just started; it reads the kept ones from the broker."""
        for luid in (NODE, *sorted(self._rows)):
            if (shape := self._shape(luid)) is not None:
                yield self._config(luid, self.discovery.payload(shape))

    def new_day(self, today: date) -> list[MqttMessage]:
        """Returns the messages that remove the devices whose time is over. Called now and then."""
        return [message for luid in self.kept.expired(today) for message in self._clear(luid)]

    def remember(self, event: Event) -> list[str]:
        """Takes a row of a snapshot, or of an event; returns the LUIDs of the devices that may differ now."""
        luid, family = event.luid, event.family
        if luid is None or family is None or event.row is None or event.interface is None:
            return []
        rows, left_out = self._rows.get(luid, {}), self._left_out.get(luid, {})
        before = rows.pop(family, None), left_out.pop(family, None)
        after: tuple[ShownRow | None, bool | None] = (None, None)
        if event.notification_type != "delete_instance":
            alias = event.interface.alias
            is_wanted = (before[0] is not None and before[0].alias == alias) or self._wants(alias)
            # A row that is not wanted is not kept: a host can have thousands of container interfaces.
            if is_wanted and (self._asks or event.interface.type != _LOOPBACK):
                after = shown_row(event.row, event.interface, event.addresses), None
            else:
                after = None, has_container_name(alias)
        self._put(luid, family, *after)
        if before == after:
            return []
        # A bridge is a container's when all its ports are.
        return [luid, *(before[0].higher if before[0] else ()), *event.interface.higher]

    def _put(self, luid: str, family: Family, shown: ShownRow | None, left_out: bool | None) -> None:
        if shown is not None:
            self._rows.setdefault(luid, {})[family] = shown
        elif not self._rows.get(luid, True):
            del self._rows[luid]
        if left_out is not None:
            self._left_out.setdefault(luid, {})[family] = left_out
        elif not self._left_out.get(luid, True):
            del self._left_out[luid]

    def _shape(self, luid: str) -> Shape | None:
        """Returns the device as it should be; `None` for an interface that is not there, or is no device."""
        if luid == NODE:
            return self.discovery.node_shape
        rows, known = self._rows.get(luid), self._announced.get(luid)
        if not rows or self._is_of_containers(luid):
            return None
        return self.discovery.shape(luid, rows, known.components if known and known.is_ours else frozenset())

    def _is_of_containers(self, luid: str, *, asked_for: bool = False) -> bool:
        """Returns whether the interface is left out as a container's; with `asked_for`, whether it is one."""
        if luid in self._left_out:
            return any(self._left_out[luid].values())
        rows, known = self._rows.get(luid), self._announced.get(luid)
        if not rows or (self.discovery.options.include and not asked_for):
            return False
        result = is_of_containers(
            rows,
            self._is_of_containers,
            bridge_before=luid in self._bridges,
            announced=known is not None and known.is_ours,
        )
        (self._bridges.add if result else self._bridges.discard)(luid)
        return result

    def _smallest_first(self, luids: Iterable[str]) -> Iterator[MqttMessage]:
        """Yields the messages for these devices, the smallest first: a broker that takes any takes that one."""
        shapes = [(luid, self._shape(luid)) for luid in luids]
        shapes.sort(key=lambda entry: entry[1].size if entry[1] else 0)
        # One by one: all payloads of a host with thousands of interfaces are too much for its memory.
        for luid, shape in shapes:
            yield from self._changes(luid, shape)

    def _changes(self, luid: str, shape: Shape | None) -> Iterator[MqttMessage]:
        if luid in self._first_forms:
            # Before the new one: a device has one topic.
            self._first_forms.discard(luid)
            yield MqttMessage(self.discovery.first_config_topic(luid), b"", retain=True)
        if shape is None:
            yield from self._without_payload(luid)
            return
        self.kept.discard(luid)
        known = self._announced.get(luid)
        of_containers = self._is_of_containers(luid, asked_for=True)
        if known is not None and known.digest is not None and known.shape == shape and not known.is_strange:
            if known.is_of_containers != of_containers:
                self._announced[luid] = replace(known, is_of_containers=of_containers)
            return
        payload = self.discovery.payload(shape)
        if known is not None and known.is_strange:
            # Nothing of it is sent again, and what it has besides our components cannot be removed one by one.
            yield self._config(luid, b"")
        if known is None or known.digest != digest_of(payload):
            yield self._config(luid, payload)
        self._announced[luid] = _Announced(
            digest_of(payload),
            shared(frozenset(shape.components)),
            shape.alias,
            is_of_containers=of_containers,
            shape=shape,
        )

    def _without_payload(self, luid: str) -> Iterator[MqttMessage]:
        """Yields the messages for an interface that is removed, or is no device (any more)."""
        known = self._announced.get(luid)
        if known is None or not known.is_ours:
            return
        is_there = luid in self._rows or luid in self._left_out
        is_left = is_there or known.is_strange or not self._wants(known.alias) or not self.kept.keeps
        if is_left or known.is_of_containers or has_container_name(known.alias):
            yield from self._clear(luid)
            return
        if known.digest is None:
            if known.shape is None:
                del self._announced[luid]  # only its first form was there
                return
            payload = self.discovery.payload(known.shape)
            self._announced[luid] = replace(known, digest=digest_of(payload))
            yield self._config(luid, payload)
        for oldest in self.kept.add(luid):
            yield from self._clear(oldest)

    def _clear(self, luid: str) -> Iterator[MqttMessage]:
        self.kept.discard(luid)
        if self._announced.pop(luid, None) is not None:
            yield self._config(luid, b"")

    def _config(self, luid: str, payload: bytes) -> MqttMessage:
        return MqttMessage(self.discovery.config_topic(luid), payload, retain=True)
