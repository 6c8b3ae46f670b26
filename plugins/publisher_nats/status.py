"""The key `<node>.status`: what it says, and who wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from publisher.untrusted import UntrustedError, parse_model

from .errors import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, NatsRefused
from .messages import NatsMessage
from .names import INSTANCE, NodeSubjects, status_bucket, stream_of
from .place import last_message

if TYPE_CHECKING:
    from .connection import NatsConnection

_MOST_BYTES = 1 << 16


class LeaseStatus(BaseModel):
    """The value of the status key."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    node: str = Field(min_length=1, max_length=255)
    online: bool
    in_sync: bool = Field(default=False, description="True once the rows there are whole")
    epoch: str = Field(default="", max_length=64)
    seq: int = Field(default=0, ge=0, description="The newest event there, at the last renewal")
    skips: bool = Field(default=False, description="True with `only` or `settle`: a hole in `seq` is no loss")
    lease: float = Field(default=0.0, ge=0, description="Seconds; it is renewed each third of it")
    time: AwareDatetime | None = Field(default=None, description="For people: nothing is decided by it")
    host: str = Field(default="", max_length=255, description="The host's own name")


class FoundStatus(NamedTuple):
    """The last message of a status key: its sequence, 0 for none, its status, None for a marker, and its writer."""

    seq: int = 0
    status: LeaseStatus | None = None
    instance: str = ""
    is_forgotten: bool = False

    @property
    def holder(self) -> LeaseStatus | None:
        """The status of the publisher that holds the lease, if one does: the server removes one that was killed."""
        return self.status if self.status is not None and self.status.online else None


class StatusKey:
    """The status of one node in the status bucket."""

    def __init__(self, bucket: str, node: str) -> None:
        self.stream = stream_of(status_bucket(bucket))
        self.subject = NodeSubjects(bucket, node).status

    async def read(self, connection: NatsConnection) -> FoundStatus:
        """Returns the last message, as the stream's leader knows it; raises NatsUnavailable or NatsRefused."""
        try:
            message = await last_message(connection, self.stream, self.subject)
        except NatsRefused as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            message = None
        if message is None:
            return FoundStatus()
        try:
            status = parse_model(message.value, LeaseStatus, max_bytes=_MOST_BYTES) if message.value else None
        except UntrustedError:
            status = None
        instance, operation = message.headers.get(INSTANCE, ""), message.headers.get("KV-Operation")
        return FoundStatus(message.seq, status, instance, operation is not None)

    async def put(self, connection: NatsConnection, message: NatsMessage, after: int, patience: float) -> int | None:
        """Writes behind the message `after`; returns the new sequence, None when another message is the last one.

        Raises NatsUnavailable, after which it may be written or not, or NatsRefused.
        """
        guarded = message.with_headers({"Nats-Expected-Last-Subject-Sequence": str(after)})
        try:
            return (await connection.put(guarded, patience)).seq
        except NatsRefused as error:
            if error.code in WRONG_LAST_SEQUENCE:
                return None
            raise
