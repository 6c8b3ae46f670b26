"""One consumer of a stream: it pulls messages as there is room for them, in order, and notices when it is lost."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import STREAM_NOT_FOUND, NatsRefused, NatsUnavailable

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

    from ..connection import NatsConnection
    from ..messages import InboxMessage

# So much may be on its way; a reader that is slow is sent no more.
_BATCH, _MOST_BYTES = 512, 4 << 20
_EXPIRES_SECONDS, _HEARTBEAT_SECONDS = 30.0, 2.0
# Without a message and a heartbeat: the server is dead, or frozen, or has lost the consumer.
_SILENT_SECONDS = 5.0
# The server removes a consumer that nobody pulls from: that of a viewer that was killed, or whose reader is behind.
_INACTIVE_SECONDS = 60.0
_NANOSECONDS = 1_000_000_000
# $JS.ACK.<stream>.<consumer>.<deliveries>.<place>.<number>.<time>.<pending>, and newer with domain and account first
_OLD_FIELDS = 9


@dataclass(frozen=True)
class ConsumerRequest:
    """The beginning and the subjects of a consumer: the newest message of each subject, or all from a place on."""

    stream: str
    subjects: tuple[str, ...]
    first: int | None = None

    def config(self, name: str) -> dict[str, Any]:
        """Returns the consumer's configuration, for the API."""
        start: dict[str, Any] = {"deliver_policy": "last_per_subject"}
        if self.first is not None:
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": max(self.first, 1)}
        return start | {
            "name": name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": list(self.subjects),
            "inactive_threshold": int(_INACTIVE_SECONDS * _NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }


class PlacedMessage(NamedTuple):
    """A message of the stream, at its place, and when it was stored, in nanoseconds; `pending` are those behind it."""

    subject: str
    payload: bytes
    headers: dict[str, str]
    place: int
    time: int
    pending: int


@dataclass
class _Pulled:
    """The last message that was received, and how many are on their way."""

    number: int = 0
    asked: int = 0
    bytes: int = _MOST_BYTES
    heard_at: float = field(default_factory=time.monotonic)


class StreamConsumer:
    """Messages of one stream in order. Used in the loop of its connection."""

    def __init__(self, connection: NatsConnection, request: ConsumerRequest, news: Callable[[], object]) -> None:
        self._connection = connection
        self._request = request
        self._news = news
        self._name = f"viewer-{secrets.token_hex(8)}"
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._received: deque[InboxMessage] = deque()
        self._at = _Pulled()
        self._left = 0
        self.is_caught_up = False

    async def open(self) -> None:
        """Makes the consumer; raises NatsUnavailable or NatsRefused."""
        self._subscription = await self._connection.subscribe(self._take)
        self._inbox = self._subscription.subject
        made = await self._made()
        self._left = int(made.get("num_pending", 0))
        self.is_caught_up = self._left == 0
        await self.pull()

    async def _made(self) -> dict[str, Any]:
        stream = self._request.stream
        body = {"stream_name": stream, "config": self._request.config(self._name), "action": "create"}
        try:
            return await self._connection.api(f"CONSUMER.CREATE.{stream}.{self._name}", body)
        except NatsRefused as error:
            if error.code == STREAM_NOT_FOUND:
                reason = f"there is no stream {stream}: has a publisher written to this bucket (base)?"
                raise NatsRefused(f"{self._connection.name}: {reason}", error.code) from error
            raise

    async def close(self) -> None:
        """Lets the server forget it."""
        if self._subscription is not None:
            await self._connection.unsubscribe(self._subscription)

    def _take(self, message: InboxMessage) -> None:
        self._at.heard_at = time.monotonic()
        self._received.append(message)
        self._news()

    @property
    def has_more(self) -> bool:
        """True while a message waits here."""
        return bool(self._received)

    @property
    def waiting(self) -> int:
        """The number of messages that wait here."""
        return len(self._received)

    async def pull(self) -> None:
        """Asks for more messages when not many are on their way."""
        if self._at.asked > _BATCH // 2:
            return
        if self._at.asked <= 0:
            self._at.asked, self._at.heard_at = 0, time.monotonic()
        self._at.asked += _BATCH
        asked = {
            "batch": _BATCH,
            "max_bytes": self._at.bytes,
            "expires": int(_EXPIRES_SECONDS * _NANOSECONDS),
            "idle_heartbeat": int(_HEARTBEAT_SECONDS * _NANOSECONDS),
        }
        await self._connection.ask(f"CONSUMER.MSG.NEXT.{self._request.stream}.{self._name}", asked, self._inbox)

    def check(self) -> None:
        """Raises NatsUnavailable when the server is silent though it has to send something."""
        if self._at.asked > 0 and time.monotonic() - self._at.heard_at > _SILENT_SECONDS:
            raise NatsUnavailable(f"nothing came for {_SILENT_SECONDS:g} s, also no heartbeat")

    def take(self) -> PlacedMessage | None:
        """Returns the next message; `None` when none waits here. Raises NatsUnavailable when the consumer is lost."""
        while self._received:
            message = self._received.popleft()
            if message.subject == self._inbox:
                self._control(message.headers)
            elif (found := self._message(message)) is not None:
                return found
        return None

    def _message(self, message: InboxMessage) -> PlacedMessage | None:
        fields = message.reply.split(".")
        numbers = fields[4:9] if len(fields) == _OLD_FIELDS else fields[6:11]
        try:
            _, place, number, stored, pending = (int(text) for text in numbers)
        except ValueError:
            return None  # anybody's, sent to this inbox
        if number != self._at.number + 1:
            raise NatsUnavailable("messages were lost on their way")
        self._at.number, self._at.asked = number, self._at.asked - 1
        self._left -= 1
        self.is_caught_up = self.is_caught_up or self._left <= 0 or pending == 0
        return PlacedMessage(message.subject, message.data, message.headers, place, stored, pending)

    def _control(self, headers: dict[str, str]) -> None:
        """Takes a message of the server about a pull."""
        status, text = headers.get("Status", ""), headers.get("Description", "")
        lower = text.lower()
        if status == "100":
            return
        if status == "503" or "consumer" in lower or "leadership" in lower or "shutdown" in lower:
            raise NatsUnavailable(f"the server ended the consumer: {status} {text}".rstrip())
        if "maxbytes" in lower.replace(" ", ""):
            self._at.bytes = min(2 * self._at.bytes, 1 << 30)  # else a larger message than that would never come
        self._at.asked -= _number(headers.get("Nats-Pending-Messages", ""), self._at.asked)


def check_open(connection: NatsConnection) -> None:
    """Raises NatsUnavailable or NatsRefused when nothing more will come."""
    if connection.refused is not None:
        raise connection.refused
    if not connection.is_open:
        raise NatsUnavailable(f"the connection to {connection.name} was lost")


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else otherwise
