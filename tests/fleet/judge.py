"""An independent reader of a fleet's stream: nats-py, JSON and the keys, and nothing of ours.

It reads the stream throughout, and notes the messages that are no longer there when it comes to them. After the stores
were put back to an older copy it reads them from their beginning, and goes on where they differ from what it had read.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tests.fixtures.nats_client import ReconnectingClient

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

T = TypeVar("T")
_HEARTBEAT_SECONDS = 0.5


class Stored(NamedTuple):
    """A message of the stream: an event, a row of a snapshot, or a position."""

    number: int
    key: str
    digest: bytes
    epoch: str
    seq: int
    is_row: bool
    """True for a row of a snapshot, and for a row that a snapshot deleted: they are no events."""

    @property
    def node(self) -> str:
        """The name of its node, as a token."""
        return self.key.partition(".")[0]

    @property
    def is_event(self) -> bool:
        return not self.is_row and not self.key.endswith(".position")


class Ending(NamedTuple):
    """The moment at which a node was no longer online: lost, as the server found, or as the node itself said."""

    at: float
    is_lost: bool


class Broken(Exception):  # noqa: N818 - no error: the servers are killed all the time
    """The reading of a stream ended, and begins again where it was."""


class Judge:
    """Reads a fleet's stream and its states of nodes, on a thread of its own, over every failure of the servers."""

    def __init__(self, urls: Sequence[str], bucket: str) -> None:
        self.stored: list[Stored] = []
        self.endings: dict[str, list[Ending]] = defaultdict(list)
        self.online: dict[str, bool] = {}
        self.breaks: list[str] = []
        self.unread: list[range] = []
        """The numbers of messages that were removed before they were read: nothing is known of them."""
        self.events_put_back = 0
        """The events that were in the stream and no longer were, once the stores were put back."""
        self._urls, self._stream = list(urls), f"KV_{bucket}"
        self._before: dict[int, Stored] = {}
        self._put_back = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge")

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of a coroutine on the judge's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def put_back(self) -> None:
        """Reads the stream from its beginning: its stores were put back to an older copy, and the servers run again."""
        self._put_back = True

    def last_per_key(self) -> dict[str, Msg]:
        """Returns the last message of each key, as a late subscriber gets them; without those that are deleted."""
        return self.run(self._last_per_key_at_rest())

    async def _last_per_key_at_rest(self) -> dict[str, Msg]:
        while True:
            try:
                return await self._last_per_key()
            except (Error, TimeoutError, Broken) as error:
                self._note(error)

    async def _last_per_key(self) -> dict[str, Msg]:
        found: dict[str, Msg] = {}
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
        async with aclosing(self._messages(self._stream, config)) as messages:
            async for message in messages:
                if (message.headers or {}).get("KV-Operation") is None:
                    found[_key(message)] = message
                if not message.metadata.num_pending:
                    break
        return found

    async def _open(self) -> None:
        async def note(error: Exception) -> None:
            self._note(error)

        self._connection = ReconnectingClient()
        await self._connection.connect(
            self._urls, max_reconnect_attempts=-1, reconnect_time_wait=0, connect_timeout=2, error_cb=note
        )
        self._tasks = [asyncio.create_task(self._follow(read)) for read in (self._read, self._read_states)]

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._connection.close()

    def _note(self, error: BaseException) -> None:
        self.breaks = [*self.breaks[-20:], repr(error)]

    def _jetstream(self) -> JetStreamContext:
        return self._connection.jetstream(timeout=2)

    async def _follow(self, read: Any) -> None:
        while True:
            try:
                await read()
            except (Error, TimeoutError, Broken) as error:
                self._note(error)
                await asyncio.sleep(0.1)

    async def _read(self) -> None:
        """Reads from where it is until the reading breaks."""
        if self._put_back:
            self._put_back, self._before, self.stored = False, {one.number: one for one in self.stored}, []
        first = self.stored[-1].number + 1 if self.stored else 1
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
        async with aclosing(self._messages(self._stream, config)) as messages:
            async for message in messages:
                if self._put_back:
                    return
                self._take(_stored(message))

    def _take(self, stored: Stored) -> None:
        if self._before:
            if self._before.get(stored.number) == stored:
                # Those between are no longer in the stream, since newer ones of their keys are; they were read before.
                first = self.stored[-1].number + 1 if self.stored else 1
                between = (self._before.get(number) for number in range(first, stored.number))
                self.stored += [one for one in between if one is not None]
            else:
                gone = (one for number, one in self._before.items() if number >= stored.number)
                self.events_put_back += sum(one.is_event for one in gone)
                self._before = {}
        first = self.stored[-1].number + 1 if self.stored else 1
        if stored.number > first:
            self.unread.append(range(first, stored.number))
        self.stored.append(stored)

    async def _read_states(self) -> None:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
        async with aclosing(self._messages(f"{self._stream}_status", config)) as messages:
            async for message in messages:
                node, is_lost = _key(message).removesuffix(".status"), "Nats-Marker-Reason" in (message.headers or {})
                self.online[node] = not is_lost and bool(json.loads(message.data)["online"])
                if not self.online[node]:
                    self.endings[node].append(Ending(time.monotonic(), is_lost))

    async def _messages(self, stream: str, config: ConsumerConfig) -> AsyncGenerator[Msg, None]:
        """Yields the messages of a stream by a consumer in a server's memory; raises Broken when one is missing."""
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox)
        try:
            config = config.evolve(
                deliver_subject=inbox,
                # The last of each subject is given to a consumer that names its subjects only.
                filter_subject=f"${stream.replace('_', '.', 1)}.>",
                ack_policy=AckPolicy.NONE,
                flow_control=True,
                idle_heartbeat=_HEARTBEAT_SECONDS,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=10.0,
            )
            await self._jetstream().add_consumer(stream, config)
            count = 0
            while True:
                message = await subscription.next_msg(3 * _HEARTBEAT_SECONDS)
                if message.reply.startswith("$JS.ACK."):
                    count += 1
                    if message.metadata.sequence.consumer != count:
                        raise Broken(f"message {message.metadata.sequence} is not the {count}th of its consumer")
                    yield message
                elif message.reply:  # flow control
                    await message.respond(b"")
        finally:
            await subscription.unsubscribe()


def _key(message: Msg) -> str:
    return message.subject.split(".", 2)[2]


def _stored(message: Msg) -> Stored:
    # A snapshot deletes the rows that it does not have without a value.
    value = json.loads(message.data or '{"epoch": "", "seq": 0, "snapshot": {}}')
    return Stored(
        message.metadata.sequence.stream,
        _key(message),
        hashlib.sha256(message.data).digest(),
        value["epoch"],
        value["seq"],
        value.get("snapshot") is not None,
    )
