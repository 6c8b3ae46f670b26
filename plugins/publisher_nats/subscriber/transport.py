"""Subscriptions over NATS: the newest message of each key, then every message, in the stream's one order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from publisher import ConfigurationError
from publisher.garbage import uncollected

from ..connection import NatsConnection
from ..errors import NatsUnavailable
from ..login import read_login
from ..options import options_for
from .bucket import Bucket
from .consumer import ConsumerRequest, PlacedMessage, StreamConsumer, check_open
from .history import answer
from .loop import ViewerLoop

if TYPE_CHECKING:
    from publisher.client import Nodes, Question, SubscribeRequest, Wait

    from ..options import NatsOptions

# Of a flood so much is taken before anything else is done.
_MOST_AT_ONCE = 500
_NO_ROOM_SECONDS = 0.1
_LOOK_SECONDS = 1.0
# A replica that was restarted has less than the others at first: so long it may take to have what was read before.
_CATCH_UP_SECONDS = 10.0
# So many of the last messages show whether the stream is still the one that was read.
_MOST_KNOWN = 64


@dataclass
class KnownMessages:
    """The last messages that were given, each place with its time; `is_whole` when everything before them was, too."""

    known: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_MOST_KNOWN))
    is_whole: bool = False

    @property
    def first(self) -> int:
        """The place of the oldest that is known."""
        return self.known[0][0]

    @property
    def last(self) -> int:
        """The place of the newest message."""
        return self.known[-1][0] if self.known else 0

    def forget(self) -> None:
        """Begins anew."""
        self.known.clear()
        self.is_whole = False


class NatsTransport:
    """Connects to one of the servers; it remembers where the stream was."""

    def __init__(self, request: SubscribeRequest) -> None:
        """Raises ConfigurationError for a URL or an option that cannot be used."""
        self._options = _options(request)
        if not all(request.nodes):
            raise ConfigurationError("'' is no node: a name is not empty")
        # A file that cannot be read is a mistake, not a server that is away.
        read_login(self._options)
        self._bucket = Bucket(request.base, request.nodes)
        self._known = KnownMessages()

    def connect(self, nodes: Nodes) -> NatsLink:
        """Returns a link whose consumers are made; raises NatsUnavailable or NatsRefused, ConfigurationError."""
        loop = ViewerLoop()
        try:
            connection = NatsConnection(self._options, loop.news.set)
            loop.run(connection.open())
        except BaseException:
            loop.close()
            raise
        link = NatsLink(loop, connection, self._bucket, nodes, self._known)
        try:
            link.open()
        except BaseException:
            link.close()
            raise
        return link


class NatsLink:
    """One connection, with a consumer of the rows and one of the statuses. Its event loop runs while it is called."""

    def __init__(
        self, loop: ViewerLoop, connection: NatsConnection, bucket: Bucket, nodes: Nodes, known: KnownMessages
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._bucket = bucket
        self._nodes = nodes
        self._known = known
        self._questions: deque[Question] = deque()
        self._looked_at = 0.0
        # Until a message that is known has come.
        self._is_unproven = known.is_whole and bool(known.known)
        self._is_caught_up = False
        self._opened_at = time.monotonic()
        rows = ConsumerRequest(bucket.stream, bucket.subjects(), known.first if self._is_unproven else None)
        statuses = ConsumerRequest(bucket.status_stream, bucket.status_subjects())
        self._rows = StreamConsumer(connection, rows, loop.news.set)
        self._statuses = StreamConsumer(connection, statuses, loop.news.set)

    def open(self) -> None:
        """Makes the consumers; raises NatsUnavailable or NatsRefused."""
        self._loop.run(self._statuses.open())
        self._loop.run(self._rows.open())
        if not self._is_unproven:
            self._known.forget()
            self._nodes.ordered.begin()

    def receive(self, wait: Wait, seconds: float) -> None:
        """Gives what came to the nodes, or waits for it at most so long; raises NatsUnavailable or NatsRefused."""
        del wait
        has_room = self._nodes.has_room
        try:
            self._loop.run(self._turn(min(seconds, _LOOK_SECONDS if has_room else _NO_ROOM_SECONDS), has_room))
            self._take_statuses()
            if has_room:
                self._take_rows()
                if self._may_answer:
                    self._loop.run(answer(self._questions.popleft(), self._connection, self._bucket, self._nodes))
        except asyncio.CancelledError:
            return
        if (now := time.monotonic()) - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._nodes.ordered.look()

    @property
    def _may_answer(self) -> bool:
        """True if a question waits, and everything that was there before is given."""
        return bool(self._questions) and self._is_caught_up

    async def _turn(self, seconds: float, has_room: bool) -> None:
        """Asks for more, and waits until something came."""
        await self._statuses.pull()
        if has_room:
            await self._rows.pull()
        if self._statuses.has_more or (has_room and (self._rows.has_more or self._may_answer)):
            await self._gathered()
            return
        check_open(self._connection)
        self._loop.news.clear()
        await self._loop.wait(seconds)
        # Behind the wait: only then is it known what the server has sent meanwhile. A pull of rows may have ended while
        # there is no room, and what says so is not taken.
        for consumer in (self._statuses, self._rows) if has_room else (self._statuses,):
            consumer.check()

    async def _gathered(self) -> None:
        """Lets more of a flood come, since each turn has a price: a read of the socket has a dozen messages."""
        waiting = -1
        while waiting < self._rows.waiting < _MOST_AT_ONCE:
            waiting = self._rows.waiting
            await asyncio.sleep(0)

    def _take_statuses(self) -> None:
        while (message := self._statuses.take()) is not None:
            self._bucket.give_status(message, self._nodes)

    @uncollected()
    def _take_rows(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            if (message := self._rows.take()) is None:
                break
            if self._is_new(message):
                self._known.known.append((message.place, message.time))
                self._bucket.give(message, self._nodes)
        if self._rows.is_caught_up and not self._rows.has_more and not self._is_caught_up:
            if self._is_unproven:
                if time.monotonic() - self._opened_at < _CATCH_UP_SECONDS:
                    return
                self._is_another()
            self._is_caught_up = self._known.is_whole = True
            self._nodes.ordered.end()

    def _is_new(self, message: PlacedMessage) -> bool:
        """Returns whether a message was not given yet; raises NatsUnavailable where the stream is another one."""
        is_new = message.place > self._known.last
        if self._is_unproven:
            if is_new or (message.place, message.time) not in self._known.known:
                self._is_another()
            self._is_unproven = False
            self._nodes.ordered.resumed()
        return is_new

    def _is_another(self) -> None:
        self._known.forget()
        raise NatsUnavailable("the stream was put back, or made anew: everything is read again")

    def ask(self, question: Question) -> None:
        """Has the question answered from the stream, when there is time; one with `last` is not answered."""
        if question.last is not None:
            self._nodes.past_refused(question.node)
        else:
            self._questions.append(question)

    def states_again(self, node: str) -> None:
        """Does nothing: whatever is asked for comes from the stream."""

    def interrupt(self) -> None:
        """Ends what waits."""
        self._loop.interrupt()

    def close(self) -> None:
        """Ends the connection at once."""
        self._loop.close(self._connection.close())


def _options(request: SubscribeRequest) -> NatsOptions:
    try:
        return options_for(request)
    except ValidationError as error:
        reasons = (
            "; ".join(
                f"{fault['loc'][0]}: {fault['msg']}" if fault["loc"] else str(fault["msg"]) for fault in error.errors()
            )
            .replace("Value error, ", "")
            .replace("bucket:", "base, the bucket:")
        )
        raise ConfigurationError(f"these servers cannot be subscribed to: {reasons}") from None
