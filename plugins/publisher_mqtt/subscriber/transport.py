"""Subscriptions over MQTT: what each topic means, and the questions to a node's `replay/get`."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING

from pydantic import ValidationError

from publisher import ConfigurationError
from publisher.client import Nodes, Question, SubscribeRequest, Wait
from publisher.events import Family, Key

from ..client.connection import Connection, IncomingMessage
from ..client.dialing import Dialer
from ..client.errors import BrokerError
from ..client.login import read_login
from ..messages import MqttMessage
from ..options import MqttOptions

if TYPE_CHECKING:
    from ..client.login import Login

# Of a flood so much is taken before anything else is done.
_MOST_AT_ONCE = 500
# A question that the access control refuses ends the connection on some brokers (docs/mqtt.md): after so many in a row,
# with the broker there again at once each time, none is sent for a while.
_MOST_COSTLY_QUESTIONS = 3
_REST_SECONDS = 60.0
_ROW = re.compile(r"(?P<node>[^/]+)/(?P<luid>[0-9a-f]{16})/(?P<family>inet6?)/(?P<kind>state|event)")
_LOG = logging.getLogger("publisher")


class MqttTransport:
    """Connects to one broker, with a client id of its own."""

    def __init__(self, request: SubscribeRequest) -> None:
        """Raises ConfigurationError for a URL or an option that cannot be used."""
        if request.token_file is not None:
            raise ConfigurationError("token_file is for http:// and https://: a broker takes a password_file")
        if request.credentials_file is not None:
            raise ConfigurationError("credentials_file is for nats:// and tls://: a broker takes a password_file")
        self._options = _options(request)
        if wrong := [node for node in request.nodes if not node or set(node) & set("/+#\0")]:
            raise ConfigurationError(f"{wrong[0]!r} is no node: a name is one level of a topic")
        self._request = request
        self._client = f"watch-{secrets.token_hex(6)}"
        self._dialer = Dialer(self._options, self._login)
        self._costly = 0
        self._is_suspected = False
        self._rests_until = 0.0
        # A file that cannot be read is a mistake, not a broker that is away.
        self._login(self._options)

    def connect(self, nodes: Nodes) -> MqttLink:
        """Returns a link with every subscription made; raises BrokerError."""
        inbox: deque[IncomingMessage] = deque()
        is_suspected, self._is_suspected = self._is_suspected, False
        connection = self._dialer.dial(on_message=inbox.append)
        if is_suspected:
            self._count()
        topics = MqttTopics(self._request.base, self._request.nodes, self._client)
        try:
            self._subscribe(connection, topics.filters())
        except BaseException:
            connection.drop()
            raise
        return MqttLink(connection, inbox, nodes, topics, self)

    def _subscribe(self, connection: Connection, filters: list[str]) -> None:
        """Makes the subscriptions; raises BrokerError when none is granted."""
        refusals = {topic: refusal for topic in filters if (refusal := connection.subscribe(topic, qos=1))}
        for topic, refusal in refusals.items():
            reason = f"the broker refuses the subscription to {topic}: {refusal}"
            if len(refusals) == len(filters):
                raise BrokerError(reason)
            _LOG.warning("%s", reason)

    @property
    def asks(self) -> bool:
        """False for a while when questions were refused, or have ended connections."""
        return self._costly < _MOST_COSTLY_QUESTIONS or time.monotonic() >= self._rests_until

    def refused(self) -> None:
        """Notes that the broker refused a question (MQTT 5): it refuses the next one, too."""
        if self._costly < _MOST_COSTLY_QUESTIONS:
            _LOG.warning("the broker refuses requests to replay/get: missed events cannot be asked for")
        self._costly = _MOST_COSTLY_QUESTIONS
        self._rests_until = time.monotonic() + _REST_SECONDS

    def lost(self, *, with_question: bool) -> None:
        """Notes that a connection ended, perhaps over a question: if so, the broker is there at once."""
        self._is_suspected = with_question

    def taken(self) -> None:
        """Notes that the broker took a question."""
        self._costly = 0

    def _count(self) -> None:
        self._costly += 1
        if self._costly >= _MOST_COSTLY_QUESTIONS:
            self._rests_until = time.monotonic() + _REST_SECONDS
        if self._costly == _MOST_COSTLY_QUESTIONS:
            _LOG.warning("the broker ends the connection over requests to replay/get: none is sent for a while")

    def _login(self, options: MqttOptions) -> Login:
        return read_login(options, f"pub{self._client.replace('-', '')}", _LOG)


class MqttTopics:
    """The topics of the followed nodes."""

    def __init__(self, base: str, nodes: tuple[str, ...], client: str) -> None:
        self._base = base
        self._nodes = nodes or ("+",)
        self.client = client
        self.past_client = f"{client}-past"

    def filters(self) -> list[str]:
        """Returns the filters to subscribe to, events before states: what is published meanwhile is in one of them."""
        names = ("status", "info", f"replay/{self.client}", "+/+/event", "+/+/state")
        return [f"{self._base}/{node}/{name}" for name in names for node in self._nodes]

    def retained(self, node: str) -> list[str]:
        """Returns the filters of what is retained of one node."""
        return [f"{self._base}/{node}/{name}" for name in ("status", "info", "+/+/state")]

    def past(self) -> str:
        """Returns the filter of answers about the past."""
        return f"{self._base}/+/replay/{self.past_client}"

    def request(self, node: str) -> str:
        """Returns the topic of questions to a node."""
        return f"{self._base}/{node}/replay/get"

    def give(self, message: IncomingMessage, nodes: Nodes) -> None:
        """Gives a message to its node."""
        topic = message.topic.removeprefix(f"{self._base}/")
        if match := _ROW.fullmatch(topic):
            family: Family = "inet6" if match["family"] == "inet6" else "inet"
            key = Key(match["luid"], family)
            if match["kind"] == "state":
                nodes.state(match["node"], key, message.payload, retained=message.retain)
            else:
                nodes.event(match["node"], key, message.payload)
            return
        node, _, rest = topic.partition("/")
        if rest == "status":
            nodes.status(node, message.payload)
        elif rest == "info":
            nodes.info(node, message.payload, retained=message.retain)
        elif rest == f"replay/{self.client}":
            nodes.answer(node, message.payload)
        elif rest == f"replay/{self.past_client}":
            nodes.past(node, message.payload)


class MqttLink:
    """One connection."""

    def __init__(
        self,
        connection: Connection,
        inbox: deque[IncomingMessage],
        nodes: Nodes,
        topics: MqttTopics,
        transport: MqttTransport,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._nodes = nodes
        self._topics = topics
        self._transport = transport
        self._has_asked = False
        self._has_past = False

    def receive(self, wait: Wait, seconds: float) -> None:
        """Waits at most so long, and gives what came to the nodes; raises BrokerError when the connection ended."""
        connection = self._connection
        if not self._inbox:
            descriptor = connection.descriptor
            if descriptor is not None and not connection.has_more:
                wait(descriptor, seconds)
            connection.turn()
        messages = [self._inbox.popleft() for _ in range(min(len(self._inbox), _MOST_AT_ONCE))]
        for message in messages:
            self._topics.give(message, self._nodes)
        for refusal in connection.take_refusals():
            self._has_asked = False
            self._transport.refused()
            self._refuse(refusal.tag)
        if self._has_asked and not connection.unacknowledged():
            self._has_asked = False
            self._transport.taken()
        if connection.broken is not None and not self._inbox:
            # The only messages that are published are questions.
            self._transport.lost(with_question=bool(connection.unacknowledged()))
            raise connection.broken

    def ask(self, question: Question) -> None:
        """Publishes the question."""
        if not self._transport.asks or (question.last is not None and not self._listens_to_past()):
            self._refuse(question)
            return
        asked: dict[str, object] = {"client": self._topics.client}
        if question.last is not None:
            asked |= {"client": self._topics.past_client, "last": question.last}
        if question.luid is not None:
            asked["luid"] = question.luid
        if question.since is not None:
            asked["since"] = question.since._asdict()
        message = MqttMessage(self._topics.request(question.node), json.dumps(asked).encode(), retain=False)
        self._has_asked = True
        if self._connection.put(message, question) is not None:
            self._refuse(question)

    def _listens_to_past(self) -> bool:
        """Subscribes, the first time, to what is not mixed with the other answers; returns whether that is allowed."""
        if not self._has_past:
            self._has_past = self._connection.subscribe(self._topics.past(), qos=1) is None
        return self._has_past

    def _refuse(self, question: Question) -> None:
        if question.last is None:
            self._nodes.refused(question.node)
        else:
            self._nodes.past_refused(question.node)

    def states_again(self, node: str) -> None:
        """Subscribes once more to what is retained of the node (MQTT 5, 3.8.4: it is sent again)."""
        for topic in self._topics.retained(node):
            self._connection.subscribe(topic, qos=1)
            if topic not in self._topics.filters():
                self._connection.unsubscribe(topic)

    def interrupt(self) -> None:
        """Does nothing: `receive` waits by `wait`."""

    def close(self) -> None:
        """Ends the connection at once: whoever presses Ctrl+C wants the prompt."""
        self._connection.drop()


def _options(request: SubscribeRequest) -> MqttOptions:
    try:
        return MqttOptions(
            url=request.url, base=request.base, password_file=request.password_file, ca_file=request.ca_file
        )
    except ValidationError as error:
        reasons = "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in error.errors())
        raise ConfigurationError(f"this broker cannot be subscribed to: {reasons}") from None
