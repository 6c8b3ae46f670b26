"""Promise: a request to JetStream's API that nobody answers is sent again, long before its time limit.

The server is a played one: how long a stream of a real one has no leader is a matter of chance, and so is when it ends.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from publisher_nats.connection import NatsConnection
from publisher_nats.errors import NatsUnavailable
from publisher_nats.options import NatsOptions


class DeafServer:
    """A server that answers the second request of each subject only."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one client."""
        about = {"server_id": "S", "version": "2.15.1", "headers": True, "max_payload": 1 << 20, "proto": 1}
        writer.write(f"INFO {json.dumps(about)}\r\n".encode())
        while line := await reader.readline():
            verb, *words = line.decode().split()
            if verb == "PING":
                writer.write(b"PONG\r\n")
            elif verb == "PUB":
                await reader.readexactly(int(words[-1]) + 2)
                self.asked.append(words[0])
                if self.asked.count(words[0]) == 2:
                    writer.write(f'MSG {words[1]} 1 14\r\n{{"answer": 42}}\r\n'.encode())
        writer.close()


def test_a_request_that_nobody_answers_is_sent_again() -> None:
    assert asyncio.run(_asked(deaf := DeafServer())) == {"answer": 42}
    assert deaf.asked == ["$JS.API.STREAM.INFO.KV_interfaces"] * 2


async def _asked(deaf: DeafServer) -> dict[str, Any]:
    async with await asyncio.start_server(deaf.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = NatsConnection(NatsOptions(servers=(f"nats://127.0.0.1:{port}",), timeout=20))
        await connection.open()
        try:
            return await connection.api("STREAM.INFO.KV_interfaces")
        finally:
            await connection.close()


async def _refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a client, and ends the connection with the first request."""
    writer.write(b'INFO {"server_id": "S", "version": "2.15.1", "headers": true, "max_payload": 1048576}\r\n')
    while line := await reader.readline():
        if line.startswith(b"PING"):
            writer.write(b"PONG\r\n")
        elif line.startswith(b"PUB"):
            break
    writer.close()


def test_a_connection_that_the_server_has_ended_leaves_no_task() -> None:
    assert asyncio.run(_left()) == set()


async def _left() -> set[str]:
    async with await asyncio.start_server(_refused, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        before = asyncio.all_tasks()
        connection = NatsConnection(NatsOptions(servers=(f"nats://127.0.0.1:{port}",), timeout=5))
        await connection.open()
        with pytest.raises(NatsUnavailable):
            await connection.api("STREAM.INFO.KV_interfaces")
        await connection.close()
        for _ in range(10):
            await asyncio.sleep(0)
        return {str(task) for task in asyncio.all_tasks() - before if "_refused" not in str(task)}
