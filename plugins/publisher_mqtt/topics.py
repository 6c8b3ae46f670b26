"""The names of topics. No level of them ever holds user text but the base and the node."""

from __future__ import annotations

import hashlib
import re

from publisher.events import Key

_STATE = re.compile(r"(?P<luid>[0-9a-f]{16})/(?P<family>inet6?)/state")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


class Topics:
    """The topics of one node under one base."""

    def __init__(self, base: str, node: str) -> None:
        self.root = f"{base}/{node}"
        self.status = f"{self.root}/status"
        self.info = f"{self.root}/info"
        self.request = f"{self.root}/replay/get"
        self.fence = f"{self.root}/fence"
        self.check = f"{self.root}/check"
        self.all_states = f"{self.root}/+/+/state"

    def state(self, key: Key) -> str:
        """Where the IP interface's state is retained."""
        return f"{self.root}/{key.luid}/{key.family}/state"

    def event(self, key: Key) -> str:
        """Where its events go."""
        return f"{self.root}/{key.luid}/{key.family}/event"

    def key_of(self, topic: str) -> Key | None:
        """Whose state this topic is; `None` when it is no state of this node."""
        match = _STATE.fullmatch(topic.removeprefix(f"{self.root}/"))
        if match is None:
            return None
        return Key(match["luid"], "inet6" if match["family"] == "inet6" else "inet")

    def answer(self, client: str) -> str | None:
        """Where this client of MQTT 3.1.1 is answered; `None` for a name that is no plain topic level or is taken."""
        return f"{self.root}/replay/{client}" if _CLIENT.fullmatch(client) and client != "get" else None

    def may_answer_to(self, topic: str, forbidden_prefix: str) -> bool:
        """Whether an answer may go to this response topic: none where it would pass for something else."""
        own = topic.startswith(f"{self.root}/")
        return (
            0 < len(topic) <= 1024
            and not any(sign in topic for sign in "+#\0")
            and not topic.startswith("$")
            and topic != self.root
            and not topic.startswith(f"{forbidden_prefix}/")
            and (not own or topic == self.answer(topic.removeprefix(f"{self.root}/replay/")))
        )


def client_id(node: str, sink: str, base: str) -> str:
    """A client id that stays for this node and sink, and is no other's on the same broker.

    Only letters that every broker takes; a name that had others is told apart by a few digits of its hash.
    """
    plain = f"publisher-{_NOT_IN_IDS.sub('_', node)}-{_NOT_IN_IDS.sub('_', sink)}"
    digits = hashlib.sha256(f"{base}/{node}/{sink}".encode()).hexdigest()[:6]
    return f"{plain}-{digits}"
