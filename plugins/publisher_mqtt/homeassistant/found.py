"""Discovery payloads as found on a broker: anybody may have put them there. No I/O."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from pydantic import AliasChoices, BaseModel, Field

from publisher.untrusted import UntrustedError, parse_model

from .discovery import NODE, ORIGIN, Discovery
from .entities import known_keys

# Ours have 5 kB with every component and the longest names.
_MOST_BYTES = 1 << 16
_LUID = re.compile(r"[0-9a-f]{16}")


class _FoundName(BaseModel):
    name: str


class _FoundOrigin(BaseModel):
    name: str


class _FoundComponent(BaseModel):
    platform: str = Field(validation_alias=AliasChoices("p", "platform"))


class _FoundAvailability(BaseModel):
    topic: str = Field(validation_alias=AliasChoices("t", "topic"))


class _FoundConfig(BaseModel):
    """The members that show whose device it is, and which components Home Assistant has of it.

    The first versions did not abbreviate their names, and had the availability as one topic.
    """

    device: _FoundName = Field(validation_alias=AliasChoices("dev", "device"))
    origin: _FoundOrigin = Field(validation_alias=AliasChoices("o", "origin"))
    availability: list[_FoundAvailability] = Field(
        default=[], validation_alias=AliasChoices("avty", "availability"), max_length=9
    )
    availability_topic: str = Field(default="", validation_alias=AliasChoices("avty_t", "availability_topic"))
    components: dict[str, _FoundComponent] = Field(validation_alias=AliasChoices("cmps", "components"))

    @property
    def status_topics(self) -> list[str]:
        """The topics by which the device is available."""
        return [one.topic for one in self.availability] or [self.availability_topic]


class FoundDevice(NamedTuple):
    """A retained discovery payload. Of its bytes nothing is kept but a digest and names that we know ourselves.

    `luid` is `NODE` for the node's own. `is_ours` when it has our origin and our node; else it may be anything.
    `components` are those of our keys, and `is_strange` when there are others: they cannot be removed one by one.
    """

    luid: str
    is_ours: bool
    is_first_form: bool
    digest: bytes
    alias: str
    components: frozenset[str]
    is_strange: bool


def digest_of(payload: bytes) -> bytes:
    """Returns a short value that is the same exactly when the payload is."""
    return hashlib.blake2b(payload, digest_size=16).digest()


def luid_of(topic: str, discovery: Discovery) -> tuple[str, bool] | None:
    """Returns the LUID, or `NODE`, in a discovery topic of this node, and whether it has the first versions' form."""
    luid = topic.removesuffix("/config").rpartition("/")[2]
    if topic == discovery.config_topic(luid) and (luid == NODE or _LUID.fullmatch(luid)):
        return luid, False
    return (luid, True) if _LUID.fullmatch(luid) and topic == discovery.first_config_topic(luid) else None


def read_device(topic: str, payload: bytes, discovery: Discovery) -> FoundDevice | None:
    """Returns the device at this topic; `None` when neither topic nor payload is of this node. Any thread."""
    place = luid_of(topic, discovery)
    if place is None:
        return None
    luid, first_form = place
    try:
        config = parse_model(payload, _FoundConfig, max_bytes=_MOST_BYTES)
    except UntrustedError:
        config = None
    if config is None or config.origin.name != ORIGIN or config.status_topics != [f"{discovery.root}/status"]:
        # In our own topic, which a device of ours may need; else it is another program's.
        return None if first_form else FoundDevice(luid, False, False, b"", "", frozenset(), True)
    definitions = discovery.definitions(luid)
    known = known_keys(definitions, ((key, part.platform) for key, part in config.components.items()))
    return FoundDevice(
        luid,
        True,
        first_form,
        digest_of(payload),
        discovery.alias_of(luid, config.device.name)[:1024],
        frozenset(key for key in definitions if key in known),
        len(known) != len(config.components),
    )
