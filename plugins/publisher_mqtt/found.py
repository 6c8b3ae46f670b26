"""Reads from a broker what is retained of one node, and tells ours from everybody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from publisher.events import Key

from .homeassistant.discovery import Discovery
from .homeassistant.found import FoundDevice, read_device
from .messages import Topics

if TYPE_CHECKING:
    from .client.readback import ReadBack, RetainedMessages

_MOST_BYTES = 1 << 14

_Value = Key | FoundDevice | bytes


def no_wildcards(topics: Topics) -> str:
    """Returns the line about a broker that sends no retained messages to subscriptions with wildcards."""
    return (
        f"the broker sends no retained messages to subscriptions with wildcards: a subscriber to {topics.root}/# first"
        " receives changes only, and states of interfaces that were removed while publisher was away may stay;"
        " use another broker, or subscribe to each topic"
    )


class RetainedContents(NamedTuple):
    """The retained messages of a node: the keys of the states, its devices, and the node's own topics.

    `complete` is False when something may be missing; `has_wildcards` when the broker sends no retained messages to
    subscriptions with wildcards (RabbitMQ does not).
    """

    keys: set[Key]
    devices: list[FoundDevice]
    own: dict[str, bytes]
    kept: bytes
    complete: bool
    has_wildcards: bool = True


class Finder:
    """Reads what is retained of a node. Of a message only a key, a digest and names of ours are kept."""

    def __init__(self, topics: Topics, discovery: Discovery | None) -> None:
        self._topics = topics
        self._discovery = discovery

    @property
    def filters(self) -> list[str]:
        """The topic filters of everything that this node retains."""
        devices = [] if self._discovery is None else self._discovery.config_topics
        return [self._topics.all_states, f"{self._topics.root}/+", *devices]

    def read(self, readback: ReadBack, info: bytes | None) -> RetainedContents:
        """Reads it; raises BrokerError. `info` is the retained one, as a subscription to that topic alone received it.

        Where it does not come again, the broker sends no retained messages to wildcards.
        """
        retained: RetainedMessages[_Value] = readback.read(self.filters, self.keep)
        contents = contents_of(self._topics, retained.found.items(), complete=retained.complete)
        if info and self._topics.info not in contents.own:
            return contents._replace(complete=False, has_wildcards=False)
        return contents

    def read_own(self, readback: ReadBack) -> RetainedContents:
        """Reads the node's own topics alone; raises BrokerError."""
        retained: RetainedMessages[_Value] = readback.read([f"{self._topics.root}/+"], self.keep)
        return contents_of(self._topics, retained.found.items(), complete=retained.complete)

    def keep(self, topic: str, payload: bytes) -> _Value | None:
        """Returns what is kept of a message; `None` for those of others. Any thread; never raises."""
        if (key := self._topics.key_of(topic)) is not None:
            return key
        if topic in self._topics.retained:
            return payload if len(payload) <= _MOST_BYTES else b"?"
        return None if self._discovery is None else read_device(topic, payload, self._discovery)


def contents_of(topics: Topics, found: Iterable[tuple[str, _Value]], *, complete: bool = False) -> RetainedContents:
    """Returns what was found, by kind."""
    contents = RetainedContents(set(), [], {}, b"", complete)
    own = {}
    for topic, value in found:
        match value:
            case Key():
                contents.keys.add(value)
            case FoundDevice():
                contents.devices.append(value)
            case bytes():
                own[topic] = value
    return contents._replace(own=own, kept=own.get(topics.kept, b""))
