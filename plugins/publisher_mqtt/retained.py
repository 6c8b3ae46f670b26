"""The retained topics of this node: which messages keep them as the events have them, and reading them back."""

from __future__ import annotations

import platform
import secrets
import socket
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import publisher
from publisher import Cursor, SinkContext
from publisher.events import Event, Key

from .found import Finder, RetainedContents
from .homeassistant.devices import Devices
from .messages import Messages, MqttMessage
from .payloads import Info, Resynced
from .uplinks import Uplinks

if TYPE_CHECKING:
    from .client.readback import ReadBack


class Planned(NamedTuple):
    """A message, and the index in the batch of the event that it stands for; `None` when it stands for none.

    `state_of` is the event of a state; of an event's own message it is `None`.
    """

    message: MqttMessage
    at: int | None
    state_of: Event | None = None


class RetainedState:
    """The retained states and devices of one node. All methods are called on the sink's thread.

    Of each row a batch publishes the newest state first, then every event in order. So a subscriber that has the
    retained states receives every event after them, and drops those that a state's `seq` contains. A state never goes
    back: events up to the newest one that the states contain are published without a state.

    The broker never has more states than its `info` counts in `rows`: `info` is published before a state that is new
    there, and after those that are emptied. So whoever subscribes meanwhile is not in sync too early.
    """

    def __init__(self, messages: Messages, devices: Devices | None, context: SinkContext) -> None:
        self._messages = messages
        self._context = context
        self.devices = devices
        self.instance = secrets.token_hex(4)
        self.newest: Cursor | None = None
        self.resynced: Resynced | None = None
        self._keys: set[Key] = set()
        self._counted = 0
        self._too_large: set[Key] = set()
        self._snapshot_id: str | None = None
        self._snapshot_keys: set[Key] = set()
        self._uplinks = Uplinks()
        self._kept = b""
        self._takes_devices = False
        self._given_up: Devices | None = None

    def info(self, rows: int | None = None) -> bytes:
        """Returns the payload of `info`, to be sent next; `rows` is the count when it is not that of now."""
        self._counted = len(self._keys) if rows is None else rows
        return Info(
            version=publisher.__version__,
            node=self._context.node,
            instance=self.instance,
            epoch=self.newest.epoch if self.newest else self._context.epoch,
            seq=self.newest.seq if self.newest else 0,
            os=platform.system().lower(),
            families=("inet", "inet6"),
            rows=self._counted,
            interfaces=len({key.luid for key in self._keys}),
            uplinks=self._uplinks.now,
            missing=len(self._too_large),
            skips=self._messages.skips,
            resynced=self.resynced,
            host=socket.gethostname(),
            home_assistant=self.devices.discovery.place if self.devices is not None else None,
        ).json_bytes

    @property
    def finder(self) -> Finder:
        """Reads what is retained of this node."""
        return Finder(self._messages.topics, self.devices.discovery if self.devices is not None else None)

    def emptied(self, key: Key) -> None:
        """Notes that the state of this row is empty, since the broker takes none that is large enough for it."""
        self._keys.discard(key)
        self._too_large.add(key)

    def read_back(self, readback: ReadBack, info: bytes | None) -> RetainedContents:
        """Reads what the broker retains of this node, also from before a crash or from another journal.

        `info` is the retained one, as a subscription to that topic alone received it. Where not all of it came, what
        was believed before is kept too. Raises BrokerError.
        """
        contents = self.finder.read(readback, info)
        self._uplinks.restore(info, self._context.epoch)
        self._counted = 0
        self._keys = contents.keys if contents.complete else contents.keys | self._keys
        if self.devices is not None:
            self._kept = contents.kept
            self.devices.kept.restore(contents.kept)
            self.devices.found(contents.devices, complete=contents.complete)
        return contents

    def late(self, contents: RetainedContents, *, ready: bool) -> Iterator[Planned]:
        """Yields the messages for what was read back late; `ready` when a snapshot was published since."""
        late = contents.keys - self._keys
        if ready:
            yield from (Planned(self._messages.no_state(key), None) for key in sorted(late))
        else:
            self._keys |= late
        if self.devices is not None and (luids := self.devices.found_late(contents.devices)) and ready:
            yield from self._planned(self.devices.settle(removing=True, only=luids))

    def is_device(self, topic: str) -> bool:
        """Returns whether this is the topic of a device."""
        return self.devices is not None and self.devices.is_config(topic)

    def takes_devices(self) -> None:
        """Notes that the broker took a device, so that the refusal of others concerns them alone."""
        self._takes_devices = True

    def give_up_discovery(self, topic: str) -> bool:
        """Announces no devices any more when the broker refused this one and never took any; returns whether so."""
        if self._takes_devices or not self.is_device(topic):
            return False
        self._given_up, self.devices = self.devices, None
        return True

    def resume_discovery(self) -> None:
        """Announces devices again when that was given up: the broker is another one."""
        self.devices, self._given_up = self.devices or self._given_up, None
        self._takes_devices = False

    def leaves_out(self, message: MqttMessage) -> bool:
        """Returns whether this message was planned before discovery was given up."""
        return self._given_up is not None and self._given_up.is_config(message.topic)

    def everything(self) -> Iterator[Planned]:
        """Yields every retained message, from a snapshot as it is now. Only on the sink's thread."""
        return self.plan(self._context.snapshot())

    def again(self) -> Iterator[Planned]:
        """Yields every device, then every state, for a Home Assistant that has just started."""
        if self.devices is not None:
            yield from (Planned(message, None) for message in self.devices.again())
            yield from self.everything()
            yield from self._missing()

    def new_day(self) -> Iterator[Planned]:
        """Yields what removes the devices that were kept long enough. Called now and then."""
        if self.devices is not None:
            yield from self._planned(self.devices.new_day(datetime.now(UTC).date()))

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
        newest = {entry[1].key: entry for entry in run if self._is_news(entry[1])}
        # In the order of their events: a subscriber that comes meanwhile has every state up to the newest of those.
        news = sorted(newest.values(), key=itemgetter(0))
        yield from self._count(added={key for key, (_, event) in newest.items() if key and not _is_removal(event)})
        if self.devices is not None:
            # Before the states: a device that is removed must not receive an empty state.
            yield from self._planned(self.devices.apply([event for _, event in news]))
        for index, event in news:
            self._uplinks.remember(event)
            yield Planned(self._state(event), index, event)
        yield from self._not_read_back(run, newest)
        for index, event in run:
            yield Planned(self._messages.event(event), index)
        self._advance(run[-1][1])
        if len(self._keys) != self._counted:
            yield self._info()

    def _not_read_back(self, run: list[tuple[int, Event]], news: Container[Key | None]) -> Iterator[Planned]:
        """Yields empty states for what was deleted before the last snapshot: the read-back may have missed them."""
        for key in dict.fromkeys(event.key for _, event in run if event.notification_type == "delete_instance"):
            if key is not None and key not in self._keys and key not in news:
                yield Planned(self._messages.no_state(key), None)

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
        self._uplinks.begin_snapshot()
        if self.devices is not None:
            self.devices.begin_snapshot()

    def _snapshot_row(self, index: int, event: Event) -> Iterator[Planned]:
        if self.devices is not None:
            self.devices.remember(event)
        self._uplinks.remember_row(event)
        if event.key is not None and event.snapshot is not None:
            self._snapshot_keys.add(event.key)
            # Those that follow may all be new, too; `info` is published again after the last. Until then, one more is
            # counted where states are to be emptied: who has the rest and those would be in sync too early.
            more = event.snapshot.count - event.snapshot.position + bool(self._keys - self._snapshot_keys)
            yield from self._count({event.key}, more=more)
        yield Planned(self._state(event), index, event)

    def _end(self, event: Event, count: int) -> Iterator[Planned]:
        """Brings the devices up to date, and clears the states of other rows if every row of the snapshot came."""
        whole = len(self._snapshot_keys) == count
        if self.devices is not None:
            # Now, not row by row: a device has the entities of all its rows.
            yield from self._planned(self.devices.settle(removing=whole))
        if whole:
            self._uplinks.end_snapshot()
            removed = sorted(self._keys - self._snapshot_keys)
            yield from (Planned(self._messages.no_state(key), None) for key in removed)
            yield from self._missing(besides=removed)
            self._keys = self._snapshot_keys - self._too_large
            self._too_large &= self._snapshot_keys
        self._snapshot_id, self._snapshot_keys = None, set()
        self._mark(event)

    def _planned(self, messages: Iterable[MqttMessage]) -> Iterator[Planned]:
        """Yields the messages about devices, and which devices are kept, if that changed."""
        yield from (Planned(message, None) for message in messages)
        if self.devices is not None and self.devices.kept.payload != self._kept:
            self._kept = self.devices.kept.payload
            yield Planned(self._messages.kept(self._kept), None)

    def _missing(self, besides: Sequence[Key] = ()) -> Iterator[Planned]:
        """Yields empty states of missing interfaces whose devices are kept.

        No broker retains an empty state, so Home Assistant learns of it by the message alone.
        """
        luids = self.devices.kept.luids if self.devices is not None else []
        keys = self._messages.topics.keys_of(luids).difference(besides)
        yield from (Planned(self._messages.no_state(key), None) for key in sorted(keys))

    def _count(self, added: set[Key], more: int = 0) -> Iterator[Planned]:
        """Yields `info` when it counts fewer states than there are with these, and perhaps `more`."""
        # One that was too large before is likely to be so again, and then it is not there.
        rows = len(self._keys) + len(added - self._too_large - self._keys)
        if rows > max(self._counted, len(self._keys)):
            yield self._info(rows + more)

    def _info(self, rows: int | None = None) -> Planned:
        return Planned(self._messages.info(self.info(rows)), None)

    def _mark(self, event: Event) -> None:
        self.resynced = Resynced(seq=event.seq, cause=event.cause, time=event.time.isoformat())

    def _state(self, event: Event) -> MqttMessage:
        if (key := event.key) is not None:
            (self._keys.discard if _is_removal(event) else self._keys.add)(key)
            self._too_large.discard(key)
        return self._messages.state(event)

    def _is_news(self, event: Event) -> bool:
        return self.newest is None or event.epoch != self.newest.epoch or event.seq > self.newest.seq

    def _is_older(self, event: Event) -> bool:
        return self.newest is not None and event.epoch == self.newest.epoch and event.seq < self.newest.seq

    def _advance(self, event: Event) -> None:
        if self._is_news(event):
            self.newest = Cursor(event.epoch, event.seq)


def _is_removal(event: Event) -> bool:
    return event.notification_type == "delete_instance"
