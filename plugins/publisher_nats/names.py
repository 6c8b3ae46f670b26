"""The names in a bucket: tokens, keys, subjects and headers. Pure."""

from __future__ import annotations

import re

POSITION = "position"
STATUS = "status"
INSTANCE = "Publisher-Instance"
"""The header that tells which running sink wrote a position or a status: a restart has another one."""

_ORDINARY = re.compile(rb"[A-Za-z0-9_-]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
_KEY = re.compile(r"[0-9a-f]{16}\.inet6?")


def token_of(node: str) -> str:
    """Returns a node's name as one token of a subject: `nas.home.lan` is `nas=2Ehome=2Elan`.

    Each byte of its UTF-8 that is no letter, digit, `-` or `_` is written as `=` and two hexadecimal digits.
    """
    return "".join(chr(byte) if _ORDINARY.match(bytes((byte,))) else f"={byte:02X}" for byte in node.encode())


def node_of(token: str) -> str:
    """Returns the name of the node that has this token; raises ValueError for a text that is no node's token."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"expected letters, digits, -, _ and =XX: {token[:100]!r}")
    encoded = _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), token.encode())
    node = encoded.decode("utf-8", "replace")
    if token_of(node) != token:
        raise ValueError(f"expected {token_of(node)!r}: {token[:100]!r}")
    return node


def stream_of(bucket: str) -> str:
    """Returns the name of a bucket's stream."""
    return f"KV_{bucket}"


def status_bucket(bucket: str) -> str:
    """Returns the name of the bucket that has the nodes' status."""
    return f"{bucket}_status"


def subject_of(bucket: str, key: str) -> str:
    """Returns the subject of a key in a bucket."""
    return f"$KV.{bucket}.{key}"


class NodeSubjects:
    """The subjects of one node in a bucket."""

    def __init__(self, bucket: str, node: str) -> None:
        self.token = token_of(node)
        self.root = subject_of(bucket, self.token)
        self.every = f"{self.root}.>"
        self.position = f"{self.root}.{POSITION}"
        self.status = subject_of(status_bucket(bucket), f"{self.token}.{STATUS}")

    def row(self, luid: str, family: str) -> str:
        """Returns the subject of one IP interface."""
        return f"{self.root}.{luid}.{family}"

    def is_row(self, subject: str) -> bool:
        """Returns whether this is the subject of an IP interface of the node."""
        return subject.startswith(f"{self.root}.") and _KEY.fullmatch(subject[len(self.root) + 1 :]) is not None
