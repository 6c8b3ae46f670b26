"""The retained topics of this node: which messages keep them as the events have them, and reading them back."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import publisher
from publisher import Cursor, SinkContext
from publisher.events import Event, Key

from .homeassistant.devices import Devices
from .messages import Messages, MqttMessage
from .payloads import Info, Resynced

if TYPE_CHECKING:
    from .client.readback import ReadBack


class Planned(NamedTuple):
    """A message, and the index in the batch of the event that it stands for; `None` when it stands for none."""

    message: MqttMessage
    at: int | None


class RetainedState:
    """The retained states and devices of one node. All methods are called on the sink's thread.

    Of each row a batch publishes the newest state first, then every event in order. So a subscriber that has the
    retained states receives every event after them, and drops those that a state's `seq` contains. A state never goes
    back: events up to the newest one that the states contain are published without a state.
    """

    def __init__(self, messages: Messages, devices: Devices | None, context: SinkContext) -> None:
        self._messages = messages
        self._context = context
        self.devices = devices
        self.instance = secrets.token_hex(4)
        self.newest: Cursor | None = None
        self.resynced: Resynced | None = None
        self._keys: set[Key] = set()
        self._snapshot_id: str | None = None
        self._snapshot_keys: set[Key] = set()

    def info(self) -> bytes:
        """Returns the payload of `info`."""
        return Info(
            version=publisher.__version__,
            node=self._context.node,
            instance=self.instance,
            epoch=self.newest.epoch if self.newest else self._context.epoch,
            seq=self.newest.seq if self.newest else 0,
            os=platform.system().lower(),
            families=("inet", "inet6"),
            rows=len(self._keys),
            resynced=self.resynced,
        ).json_bytes

    def read_back(self, readback: ReadBack) -> bool:
        """Reads what the broker retains of this node, also from before a crash or from another journal.

        Returns whether all of it came; otherwise what was believed before is kept too. Raises BrokerError.
        """
        states = readback.read(
            [self._messages.topics.all_states], lambda topic: topic.endswith("/state"), with_payloads=False
        )
        keys = {key for topic in states.payloads if (key := self._messages.topics.key_of(topic)) is not None}
        self._keys = keys if states.complete else keys | self._keys
        if self.devices is not None:
            configs = readback.read([self.devices.config_topics], self.devices.is_config)
            self.devices.found(configs.payloads, complete=configs.complete)
        return states.complete

    def give_up_discovery(self, topic: str) -> bool:
        """Announces no devices any more when this is one of their topics; returns whether it is."""
        if self.devices is None or not self.devices.is_config(topic):
            return False
        self.devices = None
        return True

    def everything(self) -> Iterator[Planned]:
        """Yields every retained message, from a snapshot as it is now. Only on the sink's thread."""
        return self.plan(self._context.snapshot())

    def takes_snapshot(self, event: Event) -> bool:
        """Returns whether this event begins or continues a snapshot that renews every state."""
        if event.snapshot is None or self._is_older(event):
            return False
        return event.snapshot.position == 0 or event.snapshot.id == self._snapshot_id

    def plan(self, events: Sequence[Event]) -> Iterator[Planned]:
        """Yields the messages for these events, in order."""
        for is_snapshot, group in groupby(enumerate(events), key=lambda entry: entry[1].snapshot is not None):
            if is_snapshot:
                # Not collected: it may have thousands of rows, made as they are needed.
                yield from self._snapshot(group)
            else:
                yield from self._tail(list(group))

    def _tail(self, run: list[tuple[int, Event]]) -> Iterator[Planned]:
        news = {event.key: (index, event) for index, event in run if self._is_news(event)}
        if self.devices is not None:
            # Before the states: a device that is removed must not receive an empty state.
            changed = self.devices.apply([event for _, event in news.values()])
            yield from (Planned(message, None) for message in changed)
        for index, event in news.values():
            yield Planned(self._state(event), index)
        for index, event in run:
            yield Planned(self._messages.event(event), index)
        self._advance(run[-1][1])

    def _snapshot(self, run: Iterable[tuple[int, Event]]) -> Iterator[Planned]:
        for index, event in run:
            place = event.snapshot
            if place is None:
                continue
            if self._is_older(event):
                # The states are newer already, but the mark of a loss is kept.
                if event.cause == "overrun":
                    self._mark(event)
                continue
            if place.position == 0:
                self._begin(event, place.id)
            else:
                yield from self._snapshot_row(index, event)
            if place.position == place.count and place.id == self._snapshot_id:
                yield from self._end(event, place.count)

    def _begin(self, event: Event, snapshot_id: str) -> None:
        self._snapshot_id, self._snapshot_keys = snapshot_id, set()
        self._advance(event)
        if self.devices is not None:
            self.devices.begin_snapshot()

    def _snapshot_row(self, index: int, event: Event) -> Iterator[Planned]:
        if self.devices is not None:
            self.devices.remember(event)
        if event.key is not None:
            self._snapshot_keys.add(event.key)
        yield Planned(self._state(event), index)

    def _end(self, event: Event, count: int) -> Iterator[Planned]:
        """Brings the devices up to date, and clears the states of other rows if every row of the snapshot came."""
        whole = len(self._snapshot_keys) == count
        if self.devices is not None:
            # Now, not row by row: a device has the entities of all its rows.
            yield from (Planned(message, None) for message in self.devices.settle(removing=whole))
        if whole:
            removed = sorted(self._keys - self._snapshot_keys)
            yield from (Planned(self._messages.no_state(key), None) for key in removed)
            self._keys = self._snapshot_keys
        self._snapshot_id, self._snapshot_keys = None, set()
        self._mark(event)

    def _mark(self, event: Event) -> None:
        self.resynced = Resynced(seq=event.seq, cause=event.cause, time=event.time.isoformat())

    def _state(self, event: Event) -> MqttMessage:
        if event.key is not None:
            (self._keys.discard if event.notification_type == "delete_instance" else self._keys.add)(event.key)
        return self._messages.state(event)

    def _is_news(self, event: Event) -> bool:
        return self.newest is None or event.epoch != self.newest.epoch or event.seq > self.newest.seq

    def _is_older(self, event: Event) -> bool:
        return self.newest is not None and event.epoch == self.newest.epoch and event.seq < self.newest.seq

    def _advance(self, event: Event) -> None:
        if self._is_news(event):
            self.newest = Cursor(event.epoch, event.seq)
