"""The owner of a node's topics: two hosts with one node name must not clear each other's states.

Whoever publishes retains its `info`. A publisher that finds another journal's there asks on `owner` who is there. Only
an answer to that very question counts: what is planted or left over delays a start by seconds, and stops nothing.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from publisher import Retry, SinkContext
from publisher.untrusted import UntrustedError, parse_model

from .messages import OFFLINE, ONLINE, MqttMessage, Topics
from .payloads import InfoOwner, Owner
from .replay_limits import RateLimit

if TYPE_CHECKING:
    from .client.connection import Connection, IncomingMessage
    from .client.readback import ReadBack

_MOST_BYTES = 1 << 14
# A publisher answers between two batches.
_PATIENCE_SECONDS = 5.0
_PATIENCE_OFFLINE_SECONDS = 1.0
_ANSWERS_PER_SECOND, _MOST_ANSWERS_AT_ONCE = 5.0, 20
_STATUS_EVERY_SECONDS = 1.0
_WATCH_EVERY_SECONDS = 30.0
_TRY_AGAIN_SECONDS = 30.0


class OtherPublisher(Retry):
    """Another host publishes as this node."""


class Publishing(Protocol):
    """The actions of the owner of the topics; on the sink's thread."""

    @property
    def has_topics(self) -> bool:
        """True while this sink publishes there."""
        ...

    def send(self, message: MqttMessage) -> None:
        """Sends a message, if there is a connection."""
        ...

    def met_another(self) -> None:
        """Notes that another publisher was connected meanwhile, perhaps with our client id."""
        ...

    def renew(self) -> None:
        """Reads back what is retained, and publishes everything again."""
        ...

    def leave(self, reason: str) -> None:
        """Ends the connection, and tries again after a while."""
        ...


class NotPublishing:
    """A `Publishing` for who only asks."""

    has_topics = False

    def send(self, message: MqttMessage) -> None:
        """Does nothing."""

    def met_another(self) -> None:
        """Does nothing."""

    def renew(self) -> None:
        """Does nothing."""

    def leave(self, reason: str) -> None:
        """Does nothing."""


class Retained(NamedTuple):
    """The retained `info`, and whether the retained status is online."""

    payload: bytes | None
    online: bool


class Ownership:
    """Asks for and answers who publishes under a root. On the sink's thread.

    `instance` is this sink's own; `epoch` is `None` for who only asks.
    """

    def __init__(
        self,
        topics: Topics,
        context: SinkContext,
        instance: str,
        *,
        epoch: str | None,
        home_assistant: str | None,
        publishing: Publishing,
    ) -> None:
        self._topics = topics
        self._context = context
        self._instance = instance
        self._epoch = epoch
        self._host = socket.gethostname()
        self._token = ""
        self._answer: Owner | None = None
        self._info: bytes | None = None
        self._online = False
        self._answers = RateLimit(_ANSWERS_PER_SECOND, _MOST_ANSWERS_AT_ONCE)
        self._limits = {name: _AtMostEvery(seconds) for name, seconds in _LIMITS.items()}
        self._warned: set[str] = set()
        self._home_assistant = home_assistant
        self._publishing = publishing

    @property
    def subscriptions(self) -> list[str]:
        """The topics to subscribe to."""
        return [self._topics.info, self._topics.status, self._topics.owner]

    def take(self, message: IncomingMessage) -> bool:
        """Takes a message on one of these topics; returns False for any other."""
        if message.topic == self._topics.info:
            self._take_info(message)
        elif message.topic == self._topics.status:
            self._take_status(message)
        elif message.topic == self._topics.owner:
            self._take_owner(message)
        else:
            return False
        return True

    def begin(self) -> None:
        """Forgets what was retained before: a new connection begins. Before the subscriptions."""
        self._info, self._online = None, False

    def read(self, readback: ReadBack) -> Retained:
        """Waits for what is retained, and returns it; the topics are subscribed to."""
        readback.pass_fence()
        return Retained(self._info, self._online)

    def claim(self, connection: Connection, readback: ReadBack) -> bytes | None:
        """Returns the `info` that is retained; raises OtherPublisher when another host answers. Blocks for seconds."""
        self.read(readback)
        owner = owner_in(self._info)
        if owner is None or owner.epoch == self._epoch:
            return self._info
        self._publishing.met_another()
        if not self._online and owner.host == self._host:
            # This host with a new journal: nobody is there to answer.
            return self._info
        self._context.log.info("the topics of %s were another publisher's: asking whether it runs", self._topics.root)
        answer = self.ask(connection, _PATIENCE_SECONDS if self._online else _PATIENCE_OFFLINE_SECONDS)
        if answer is not None:
            raise OtherPublisher(self._about(answer), after=_TRY_AGAIN_SECONDS)
        return self._info

    def ask(self, connection: Connection, patience: float) -> Owner | None:
        """Asks who publishes here; returns the answer, `None` when there is none. Blocks; raises BrokerError."""
        self._answer, self._token = None, secrets.token_hex(8)
        connection.put(self._message(self._token, is_answer=False))
        connection.flush()
        connection.wait_for(lambda: self._answer is not None, patience)
        self._token = ""
        return self._answer

    def _take_info(self, message: IncomingMessage) -> None:
        payload = message.payload if len(message.payload) <= _MOST_BYTES else b"?"
        if message.retain:
            self._info = payload
        elif not payload:
            self._call_at_most("renew", self._renew)
        elif (owner := owner_in(payload)) is None or owner.instance != self._instance:
            self._call_at_most("watch", self._watch)

    def _take_status(self, message: IncomingMessage) -> None:
        if message.retain:
            self._online = message.payload == ONLINE
        elif message.payload == OFFLINE:
            self._call_at_most("status", self._say_online)

    def _take_owner(self, message: IncomingMessage) -> None:
        try:
            owner = parse_model(message.payload, Owner, max_bytes=_MOST_BYTES)
        except UntrustedError:
            return
        if message.retain or owner.instance == self._instance:
            return
        if not owner.is_answer:
            if self._answers.take():
                self._context.call(lambda: self._reply(owner))
        elif self._token and owner.token == self._token:
            self._answer, self._token = owner, ""
            self._context.call(lambda: self._settle(owner))

    def _call_at_most(self, name: str, job: Callable[[], None]) -> None:
        if self._limits[name].is_due():
            self._context.call(job)

    # What follows are jobs: nothing is sent while a message is received.

    def _reply(self, question: Owner) -> None:
        if not self._publishing.has_topics:
            return
        self._publishing.send(self._message(question.token, is_answer=True))
        if question.epoch is not None and question.epoch != self._epoch:
            self._warn(question)

    def _watch(self) -> None:
        """Asks who published an `info` here; an answer is judged by `_settle`."""
        if self._publishing.has_topics:
            self._answer, self._token = None, secrets.token_hex(8)
            self._publishing.send(self._message(self._token, is_answer=False))

    def _settle(self, other: Owner) -> None:
        """Keeps or leaves the topics, when two publishers have them: the one with the older journal keeps them."""
        if not self._publishing.has_topics or other.epoch is None or other.epoch == self._epoch:
            return
        self._warn(other)
        if self._epoch is not None and other.epoch < self._epoch:
            self._publishing.leave(self._about(other))
        else:
            self._publishing.renew()

    def _renew(self) -> None:
        if self._publishing.has_topics:
            self._publishing.renew()

    def _say_online(self) -> None:
        if self._publishing.has_topics:
            self._publishing.send(MqttMessage(self._topics.status, ONLINE, retain=True))

    def _warn(self, other: Owner) -> None:
        if other.instance not in self._warned and len(self._warned) < 100:
            self._warned.add(other.instance)
            self._context.log.warning("%s", self._about(other))

    def _about(self, other: Owner) -> str:
        return (
            f"another publisher has the node name {self._context.node} on this broker: {other.about};"
            " set another `node` on one of the two"
        )

    def _message(self, token: str, *, is_answer: bool) -> MqttMessage:
        import publisher

        owner = Owner(
            token=token,
            is_answer=is_answer,
            instance=self._instance,
            epoch=self._epoch,
            host=self._host,
            version=publisher.__version__,
            home_assistant=self._home_assistant,
        )
        return MqttMessage(self._topics.owner, owner.json_bytes, retain=False)


_LIMITS = {
    "status": _STATUS_EVERY_SECONDS,
    "watch": _WATCH_EVERY_SECONDS,
    "renew": _WATCH_EVERY_SECONDS,
}


class _AtMostEvery:
    """Is due at most once in so many seconds; one thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._at = seconds, float("-inf")

    def is_due(self) -> bool:
        """Returns whether enough time has passed since it was due last."""
        now = time.monotonic()
        if now - self._at < self._seconds:
            return False
        self._at = now
        return True


def owner_in(info: bytes | None) -> InfoOwner | None:
    """Returns who retained this `info`; `None` when it cannot be read."""
    if not info:
        return None
    try:
        return parse_model(info, InfoOwner, max_bytes=_MOST_BYTES)
    except UntrustedError:
        return None
