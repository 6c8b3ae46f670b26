"""The announced Home Assistant devices, and the messages when interfaces are added, change or are removed. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from publisher.events import Event, Family, IpInterface

from ..messages import MqttMessage
from .discovery import Discovery, removals


class Devices:
    """The discovery payloads that the broker is known to retain, by LUID."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._wants = discovery.options.wants
        self._rows: dict[str, dict[Family, IpInterface]] = {}
        self._announced: dict[str, bytes] = {}
        self._suffix = discovery.config_topic("").partition("//config")[0]

    @property
    def config_topics(self) -> str:
        """The topic filter of all discovery topics of this node."""
        return self._discovery.config_topics

    def is_config(self, topic: str) -> bool:
        """Returns whether the topic is a discovery topic of this node."""
        return self._luid_of(topic) is not None

    def apply(self, events: Iterable[Event]) -> list[MqttMessage]:
        """Returns the messages after these events: each device that differs now, an empty payload for a removed one."""
        touched: dict[str, None] = {}
        for event in events:
            if event.luid is not None:
                self.remember(event)
                touched[event.luid] = None
        return [message for luid in touched for message in self._changes(luid)]

    def begin_snapshot(self) -> None:
        """Forgets the rows, not the announced devices: a snapshot follows."""
        self._rows.clear()

    def found(self, payloads: Mapping[str, bytes], *, complete: bool) -> None:
        """Takes what the broker retains, as read back, in place of what was believed.

        When it is not complete, the other devices may be there with any payload: they are announced or removed again.
        """
        self._announced = {} if complete else dict.fromkeys(self._announced, b"")
        for topic, payload in payloads.items():
            if (luid := self._luid_of(topic)) is not None:
                self._announced[luid] = payload

    def settle(self, *, removing: bool) -> list[MqttMessage]:
        """Returns the messages for devices that are missing or differ and, with `removing`, for those without rows."""
        luids = self._rows.keys() | self._announced.keys() if removing else self._rows.keys()
        return [message for luid in sorted(luids) for message in self._changes(luid)]

    def again(self) -> list[MqttMessage]:
        """Returns every device, for a Home Assistant that has just started."""
        return [self._config(luid, payload) for luid, payload in self._announced.items()]

    def remember(self, event: Event) -> None:
        """Takes a row of a snapshot; `settle` returns the messages that follow from all of them."""
        if event.luid is None or event.family is None or event.row is None or event.interface is None:
            return
        rows = self._rows.setdefault(event.luid, {})
        # A row that is not wanted is not kept: a host can have thousands of container interfaces.
        if event.notification_type == "delete_instance" or not self._wants(event.interface.alias):
            rows.pop(event.family, None)
        else:
            rows[event.family] = IpInterface.model_construct(
                row=event.row, interface=event.interface, addresses=event.addresses
            )
        if not rows:
            del self._rows[event.luid]

    def _changes(self, luid: str) -> Iterator[MqttMessage]:
        before = self._announced.get(luid)
        rows = self._rows.get(luid)
        after = self._discovery.payload(rows) if rows else None
        if after == before:
            return
        if after is None:
            del self._announced[luid]
            yield self._config(luid, b"")
            return
        removed = removals(before, after)
        if removed is not None:
            yield self._config(luid, removed)
        self._announced[luid] = after
        yield self._config(luid, after)

    def _config(self, luid: str, payload: bytes) -> MqttMessage:
        return MqttMessage(self._discovery.config_topic(luid), payload, retain=True)

    def _luid_of(self, topic: str) -> str | None:
        luid = topic.removeprefix(f"{self._suffix}/").removesuffix("/config")
        return luid if self._discovery.config_topic(luid) == topic and "/" not in luid else None
