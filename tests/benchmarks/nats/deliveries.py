"""A consumer of a stream on a plain socket, for every contender alike: a client library would be most of a latency."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from typing import Any, Self

_INBOX, _ANSWER = "bench.deliveries", "bench.answer"
_CONNECT = {"verbose": False, "pedantic": False, "headers": True, "protocol": 1, "lang": "bench", "version": "1"}


class Deliveries:
    """What a stream stores from now on, as a push consumer sends it; one thread uses it.

    A subscription to the stream's subjects would be quicker than any commit: it gets what is published, stored or not.
    """

    def __init__(self, port: int, stream: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        consumer = {
            "deliver_subject": _INBOX,
            "deliver_policy": "new",
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
        }
        request = json.dumps({"stream_name": stream, "config": consumer}).encode()
        self._send(f"CONNECT {json.dumps(_CONNECT)}", f"SUB {_INBOX} 1", f"SUB {_ANSWER} 2")
        self._send(f"PUB $JS.API.CONSUMER.CREATE.{stream} {_ANSWER} {len(request)}", request.decode())
        answer = next(payload for subject, payload in self._until(time.monotonic() + 20) if subject == _ANSWER)
        found: dict[str, Any] = json.loads(answer)
        assert "error" not in found, found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, text: bytes, timeout: float = 20.0) -> float:
        """Returns the moment, by time.perf_counter, at which a message with this text came."""
        for subject, payload in self._until(time.monotonic() + timeout):
            if subject != _ANSWER and text in payload:
                return time.perf_counter()
        raise AssertionError(f"not received within {timeout} s: {text!r}")

    def _until(self, deadline: float) -> Iterator[tuple[str, bytes]]:
        """Yields subject and payload of each message until that moment."""
        while (left := deadline - time.monotonic()) > 0 and select.select([self._socket], [], [], left)[0]:
            data = self._socket.recv(1 << 20)
            assert data, "the server hung up"
            *messages, (_, self._rest) = split(self._rest + data)
            for subject, payload in messages:
                if subject == "PING":
                    self._send("PONG")
                else:
                    yield subject, payload

    def _send(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())


def split(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the subject of each whole message with its headers and payload, and PING; at last what is left over."""
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        name, *words = data[at:end].decode().split(" ")
        size = int(words[-1]) if name in ("MSG", "HMSG") else -2
        after = end + 2 + size + 2
        if after > len(data):
            break
        if size >= 0:
            yield words[0], data[end + 2 : after - 2]
        elif name == "PING":
            yield name, b""
        else:
            assert name != "-ERR", words
        at = after
    yield "", data[at:]
