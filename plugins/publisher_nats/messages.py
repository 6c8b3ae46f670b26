"""A message to store, and the answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class NatsMessage(NamedTuple):
    """A message to store: its subject, its value and its headers."""

    subject: str
    value: bytes
    headers: Mapping[str, str] = {}

    def with_headers(self, headers: Mapping[str, str]) -> NatsMessage:
        """Returns the message with more headers."""
        return self._replace(headers={**self.headers, **headers})

    @property
    def size(self) -> int:
        """The bytes that count against the server's limit: headers and value."""
        lines = sum(len(name) + len(value.encode()) + 4 for name, value in self.headers.items())
        return len(self.value) + lines + 12


class InboxMessage(NamedTuple):
    """A message to a subject of this connection alone."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str]


class Ack(NamedTuple):
    """The answer to a stored message: its sequence in the stream, and the stream's name."""

    seq: int
    stream: str
