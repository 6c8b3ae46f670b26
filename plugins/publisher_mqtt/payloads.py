"""The JSON payloads on the broker, as models; the AsyncAPI document is made from them.

States and the events of an answer are cut from an event's own bytes (`messages.state_bytes`, `replay.answer_messages`),
which is ten times quicker than to serialize them anew; tests compare those bytes with these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, model_validator

from publisher.events import Address, Cause, DefaultRoute, Event, Family, Interface, IpInterfaceRow, Luid
from publisher.terminal import printable

# Another folder makes it, and it is part of the document.
from .homeassistant.kept import KeptDays

Epoch = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="The journal's identity; epochs sort by age")]
Count = Annotated[int, Field(ge=0)]


class _Sent(BaseModel):
    """A payload that the publisher sends: every member is always there."""

    # Deferred, since some of them are used for the document only, and plugins are loaded at each start.
    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, json_schema_serialization_defaults_required=True
    )

    @property
    def json_bytes(self) -> bytes:
        """The payload as compact UTF-8 JSON."""
        return self.model_dump_json().encode()


class Resynced(_Sent):
    """The last snapshot that was published whole; after an overrun, events before it may be missing for good."""

    seq: Count = Field(description="The newest event that the snapshot contains")
    cause: Cause = Field(description="The reason for the snapshot; overrun: the kernel dropped notifications")
    time: str = Field(description="The time of the snapshot, RFC 3339", json_schema_extra={"format": "date-time"})


class Uplink(_Sent):
    """The interface that a family's best default route goes through."""

    luid: Luid
    alias: Annotated[str, Field(max_length=1024)] = Field(description="The interface's name")
    next_hop: Annotated[str, Field(max_length=64)] | None = Field(
        description="The gateway's address; null where there is none"
    )


class UplinksOfFamilies(_Sent):
    """The uplink of each family; null where no connected interface has a default route."""

    inet: Uplink | None = Field(description="That of IPv4")
    inet6: Uplink | None = Field(description="That of IPv6")


class Info(_Sent):
    """The publisher of a node, and how far the retained states are."""

    version: str = Field(description="The version of interface-publisher")
    node: str = Field(description="The host's name in topics and events")
    instance: str = Field(description="Another at each start, so that a publisher knows its own `info` from a rival's")
    epoch: Epoch
    seq: Count = Field(description="The newest event that the states contain")
    os: str = Field(description="The operating system: linux or windows")
    families: tuple[Family, ...] = Field(description="The address families that are published")
    rows: Count = Field(
        description="The number of retained states; new ones are counted before they are there, emptied ones until "
        "they are empty. A subscriber that has as many, while the status is online, is in sync"
    )
    interfaces: Count = Field(description="The number of interfaces that have states")
    uplinks: UplinksOfFamilies = Field(description="The interfaces of the best default routes")
    missing: Count = Field(description="The number of rows without a state, since the broker takes no message so large")
    skips: bool = Field(
        description="True with the options `only` or `settle`: then a hole in the `seq` of events is no loss"
    )
    resynced: Resynced | None = Field(description="The last whole snapshot; null before the first")
    host: str = Field(description="The host's own name, which may differ from the node's")
    home_assistant: str | None = Field(
        description="The beginning of the discovery topics of this node's devices; null when there are none"
    )


class InfoOwner(BaseModel):
    """The members of any `info`, ours or another's, that show whose it is."""

    model_config = ConfigDict(frozen=True)

    epoch: Epoch
    instance: Annotated[str, Field(max_length=64)]
    host: Annotated[str, Field(max_length=255)] = ""
    home_assistant: Annotated[str, Field(max_length=1024)] | None = None


class InfoUplinks(BaseModel):
    """The members of our own `info` from before a restart that show the uplinks."""

    model_config = ConfigDict(frozen=True)

    epoch: Epoch
    uplinks: UplinksOfFamilies


class Owner(_Sent):
    """A question between publishers, who publishes as this node, and the answer with the question's token."""

    token: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="Random; an answer repeats it")
    is_answer: bool = Field(description="False in a question")
    instance: Annotated[str, Field(max_length=64)] = Field(description="As in `info`")
    epoch: Epoch | None = Field(description="As in `info`; null when the sender does not publish")
    host: Annotated[str, Field(max_length=255)] = Field(description="The sender's host name")
    version: Annotated[str, Field(max_length=64)] = Field(description="The version of interface-publisher")
    home_assistant: Annotated[str, Field(max_length=1024)] | None = Field(description="As in `info`")

    @property
    def about(self) -> str:
        """The sender in words, which can be shown."""
        return f"host {printable(self.host)} (version {printable(self.version)})"


class Token(_Sent):
    """A message of the publisher to itself: it comes back, and is known by its token."""

    token: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(description="Random")


class State(_Sent):
    """An IP interface as it is. An empty payload in its place means that the interface was removed."""

    epoch: Epoch
    seq: Count = Field(description="The event that led to this state, in its epoch")
    time: AwareDatetime = Field(description="The time of that event, RFC 3339")
    row: IpInterfaceRow = Field(description="The members of MIB_IPINTERFACE_ROW")
    interface: Interface = Field(description="The interface itself and its place in the stack")
    addresses: tuple[Address, ...] = Field(description="The unicast addresses of this family")
    default_routes: tuple[DefaultRoute, ...] = Field(description="The default routes of this family, best first")


class ReducedState(State):
    """A state without its largest lists, for a broker that takes no message so large."""

    addresses: tuple[Address, ...] = Field(default=(), description="As in a whole state, unless it is left out")
    default_routes: tuple[DefaultRoute, ...] = Field(default=(), description="As in a whole state, unless left out")
    reduced: tuple[str, ...] = Field(
        min_length=1, description="The members that are left out, like `addresses` or `interface.lower`"
    )

    model_config = ConfigDict(json_schema_extra=lambda schema: _not_required(schema, "addresses", "default_routes"))


def _not_required(schema: dict[str, Any], *names: str) -> None:
    schema["required"] = [name for name in schema["required"] if name not in names]


class _Asked(BaseModel):
    """A payload that a subscriber sends: an unknown member is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Since(_Asked):
    """The last event that the subscriber has."""

    epoch: Epoch
    seq: Count = Field(description="Its number within the epoch")


class ReplayRequest(_Asked):
    """Requests the rows as they are, the events after one (`since`), or the newest events (`last`)."""

    since: Since | None = Field(default=None, description="Send the events after this one")
    last: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Send so many of the newest events, as far as they are kept; at most `max_events`"
    )
    luid: Luid | None = Field(default=None, description="Only this interface, by its LUID")
    family: Family | None = Field(default=None, description="Only this address family")
    client: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None, description="Answer to `replay/<client>`; MQTT 5 may name a response topic instead"
    )

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["since", "last"]}})

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.since is not None and self.last is not None:
            raise ValueError("expected since or last, not both")
        return self

    def wants(self, event: Event) -> bool:
        """Returns whether the request includes the event."""
        return (
            event.luid is not None
            and (self.luid is None or event.luid == self.luid)
            and (self.family is None or event.family == self.family)
        )


class AnswerHead(_Sent):
    """The beginning of an answer, and what follows."""

    position: Literal[0] = Field(default=0, description="The place in the answer")
    count: Count = Field(description="The number of messages that follow")
    answer: Literal["events", "snapshot"] = Field(description="What follows: the events asked for, or the rows")
    too_old: bool = Field(description="The events asked for are no longer there, so the rows follow instead")
    epoch: Epoch
    seq: Count = Field(description="The newest event that the answer contains")


class AnswerEvent(_Sent):
    """One event of an answer; the one whose position equals `count` is the last."""

    position: int = Field(ge=1, description="The place in the answer")
    count: int = Field(ge=1, description="The number of events in the answer")
    event: Event = Field(description="The event; a row is an event of type initial_notification")


class AnswerError(_Sent):
    """The whole answer to a request that is wrong."""

    position: Literal[0] = Field(default=0, description="The place in the answer")
    count: Literal[0] = Field(default=0, description="The number of messages that follow")
    error: str = Field(description="What is wrong with the request")


class AnswerEventError(_Sent):
    """Stands in an answer for an event that is larger than the broker takes."""

    position: int = Field(ge=1, description="The place in the answer")
    count: int = Field(ge=1, description="The number of events in the answer")
    error: str = Field(description="The reason why the event is not there")


class ReplayAnswer(RootModel[AnswerHead | AnswerEvent | AnswerEventError | AnswerError]):
    """One message of the answer to a request; correlation data is kept."""

    model_config = ConfigDict(defer_build=True)


def schemas(ref_template: str) -> dict[str, dict[str, Any]]:
    """Returns the JSON Schema of each payload and of its parts, by name."""
    from pydantic.json_schema import models_json_schema

    models: list[tuple[type[BaseModel], Literal["serialization", "validation"]]] = [
        *(
            (model, "serialization")
            for model in (Info, Owner, Token, KeptDays, State, ReducedState, Event, ReplayAnswer)
        ),
        (ReplayRequest, "validation"),
    ]
    _, whole = models_json_schema(models, ref_template=ref_template)
    definitions: dict[str, dict[str, Any]] = whole["$defs"]
    return definitions
