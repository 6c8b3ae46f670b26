"""nats-py alone at its quickest: messages acknowledged one by one, atomic batches, and the read of a bucket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

import nats
from nats.js import api

if TYPE_CHECKING:
    from nats.aio.client import Client

T = TypeVar("T")

BATCH = 256
_BUCKET = "alone"
STREAM = f"KV_{_BUCKET}"


class NatsAlone:
    """A connection with a loop on a thread of its own, as the sink has, and a bucket with the sink's settings."""

    def __init__(self, servers: Sequence[str], replicas: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats-py alone", daemon=True)
        self._thread.start()
        self._batches = 0
        self._client = self._run(self._open(list(servers), replicas))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def seconds_singly(self, payloads: Sequence[bytes]) -> float:
        """Returns the seconds until each message is acknowledged, with 256 of them under way."""
        return self._run(_timed(self._singly(payloads)))

    def seconds_in_batches(self, payloads: Sequence[bytes]) -> float:
        """Returns the seconds until each atomic batch of 256 is committed, one after the other."""
        return self._run(_timed(self._in_batches(payloads)))

    def publish(self, payload: bytes) -> Future[None]:
        """Publishes one message; done when it is acknowledged."""
        return asyncio.run_coroutine_threadsafe(self._one(payload), self._loop)

    def publish_batch(self, payload: bytes) -> Future[None]:
        """Publishes one message and a second, as a position is, as one atomic batch; done when it is committed."""
        return asyncio.run_coroutine_threadsafe(self._batch([(_subject(0), payload)]), self._loop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def _open(self, servers: list[str], replicas: int) -> Client:
        client = await nats.connect(servers)
        # nats-py's own model has no `allow_atomic`.
        config = {
            "name": STREAM,
            "subjects": [f"$KV.{_BUCKET}.>"],
            "num_replicas": replicas,
            "max_msgs_per_subject": 64,
            "discard": "new",
            "storage": "file",
            "deny_delete": True,
            "allow_direct": True,
            "allow_atomic": True,
            "allow_msg_ttl": True,
        }
        answer = await client.request(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config).encode(), timeout=20)
        assert "error" not in json.loads(answer.data), answer.data
        self._jetstream = client.jetstream(publish_async_max_pending=BATCH, timeout=60)
        return client

    async def _one(self, payload: bytes) -> None:
        await self._jetstream.publish(_subject(0), payload)

    async def _singly(self, payloads: Sequence[bytes]) -> None:
        pending = [
            await self._jetstream.publish_async(_subject(number), payload) for number, payload in enumerate(payloads)
        ]
        await asyncio.gather(*pending)

    async def _in_batches(self, payloads: Sequence[bytes]) -> None:
        messages = [(_subject(number), payload) for number, payload in enumerate(payloads)]
        for at in range(0, len(messages), BATCH):
            await self._batch(messages[at : at + BATCH])

    async def _batch(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._batches += 1
        name = f"bench-{id(self)}-{self._batches}"
        for number, (subject, payload) in enumerate(messages, 1):
            headers = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            await self._client.publish(subject, payload, headers=headers)
        last = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(len(messages) + 1), "Nats-Batch-Commit": "1"}
        answer = await self._client.request(f"$KV.{_BUCKET}.bench.position", b"{}", timeout=60, headers=last)
        assert "error" not in json.loads(answer.data), answer.data


def _subject(number: int) -> str:
    return f"$KV.{_BUCKET}.bench.{number % 50:016x}.inet"


async def _timed(work: Coroutine[Any, Any, None]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def read(servers: Sequence[str], stream: str, *, everything: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Returns subject and JSON of the last message of each subject, or of every message, in the stream's order."""
    client = await nats.connect(list(servers))
    try:
        policy = api.DeliverPolicy.ALL if everything else api.DeliverPolicy.LAST_PER_SUBJECT
        config = api.ConsumerConfig(deliver_policy=policy)
        jetstream = client.jetstream(timeout=20)
        about = await jetstream.stream_info(stream)
        subject = (about.config.subjects or [""])[0]
        subscription = await jetstream.subscribe(
            subject,
            stream=stream,
            ordered_consumer=True,
            config=config,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        found: list[tuple[str, dict[str, Any]]] = []
        pending = 1
        while pending:
            message = await subscription.next_msg(timeout=20)
            found.append((message.subject, json.loads(message.data)))
            pending = message.metadata.num_pending
        return found
    finally:
        await client.close()
