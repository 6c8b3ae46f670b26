"""A subscriber of QoS 1 on a plain socket, for every contender alike: a client library would be most of a latency."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple, Self

PUBLISH, PUBACK = 0x30, 0x40
CONNECT = b"\x00\x04MQTT\x04\x02\x00\x00"  # 3.1.1, a clean session, no keepalive
_NAMES = count()


class Message(NamedTuple):
    """A received message."""

    topic: str
    payload: bytes
    retained: bool


class Subscriber:
    """Subscribes to topics on 127.0.0.1, in the network namespace of the calling thread; one thread uses it."""

    def __init__(self, port: int, *filters: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._rest = b""
        self._send(0x10, CONNECT + text(f"bench{next(_NAMES)}"))
        self._answer(0x20)
        self._send(0x82, b"\x00\x01" + b"".join(text(name) + b"\x01" for name in filters))
        self._answer(0x90)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def messages(self, timeout: float = 20.0) -> list[Message]:
        """Waits for messages and returns those that came together, acknowledged; none when the time is over."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0 and select.select([self._socket], [], [], left)[0]:
            found, answers = [], []
            for kind, body in self._packets():
                if kind & 0xF0 == PUBLISH:
                    end = 2 + int.from_bytes(body[:2])
                    payload = end + 2 if kind & 0x06 else end
                    found.append(Message(body[2:end].decode(), body[payload:], bool(kind & 1)))
                    if kind & 0x06:
                        answers.append(b"\x40\x02" + body[end:payload])
            if answers:
                self._socket.sendall(b"".join(answers))
            if found:
                return found
        return []

    def wait_for(self, text: bytes, timeout: float = 20.0) -> float:
        """Returns the moment, by time.perf_counter, at which a message with this text came."""
        deadline = time.monotonic() + timeout
        while messages := self.messages(deadline - time.monotonic()):
            if any(text in message.payload for message in messages):
                return time.perf_counter()
        raise AssertionError(f"not received within {timeout} s: {text!r}")

    def until_quiet(self, seconds: float) -> list[Message]:
        """Waits 20 s for a first message; returns all until none came for so long."""
        found = messages = self.messages()
        while messages:
            messages = self.messages(seconds)
            found += messages
        return found

    def _packets(self) -> list[tuple[int, bytes]]:
        """Returns the whole packets that one read brings."""
        data = self._socket.recv(1 << 20)
        assert data, "the broker hung up"
        packets = list(split(self._rest + data))
        self._rest = packets.pop()[1]
        return packets

    def _answer(self, kind: int) -> None:
        while not (packets := self._packets()):
            pass
        assert packets[0][0] == kind
        assert len(packets) == 1 or kind == 0x90, "retained messages come after the SUBACK"
        # Retained messages may come right behind: they are put back.
        self._rest = b"".join(packet(*rest) for rest in packets[1:]) + self._rest

    def _send(self, kind: int, body: bytes) -> None:
        self._socket.sendall(packet(kind, body))


LOOKS = 5
"""So often are retained messages looked at while some that are expected are not there."""


def retained(port: int, topic: str) -> list[Message]:
    """Returns the retained messages: of those that come until none came for a second."""
    with Subscriber(port, topic) as subscriber:
        return [message for message in subscriber.until_quiet(1.0) if message.retained]


def packet(kind: int, body: bytes) -> bytes:
    """Returns an MQTT packet: its first byte, its length, its body."""
    length, head = len(body), bytearray([kind])
    while length > 127:
        head.append(length % 128 | 128)
        length //= 128
    return bytes(head) + bytes([length]) + body


def text(string: str) -> bytes:
    """Returns a string as MQTT has it: its length in two bytes, then UTF-8."""
    encoded = string.encode()
    return struct.pack("!H", len(encoded)) + encoded


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields first byte and body of each whole packet; at last -1 and what is left, the begin of another."""
    at, size = 0, len(data)
    while at + 2 <= size:
        length, shift, body = 0, 0, at + 1
        while body < size:
            byte = data[body]
            length |= (byte & 127) << shift
            shift, body = shift + 7, body + 1
            if byte < 128:
                break
        else:
            break
        if body + length > size:
            break
        yield data[at], data[body : body + length]
        at = body + length
    yield -1, data[at:]
