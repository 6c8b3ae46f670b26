#!/usr/bin/env python3
"""Accounts of a fleet: makes secrets/accounts.conf for nats.conf, and a file with the password of each user.

    python3 accounts.py nas web1 db.example.net

Called again with other names, it keeps the passwords that are there; a name that is missing may log in no longer.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from pathlib import Path

BUCKETS = ["interfaces", "interfaces_status"]
STREAMS = [f"KV_{bucket}" for bucket in BUCKETS]
OTHERS = ["operator", "viewer", "system"]
# The calls of a node's sink. It makes the streams when they are missing, and never changes one that is there.
CALLS = [f"$JS.API.{call}.{stream}" for stream in STREAMS for call in ("STREAM.INFO", "STREAM.MSG.GET")]
NODE_CALLS = ["$JS.API.INFO", *CALLS, *(f"$JS.API.STREAM.CREATE.{stream}" for stream in STREAMS)]
# A viewer makes consumers, each with the rows and then the changes; the answers to one request are many.
VIEWER_CALLS = ["$JS.API.INFO", *CALLS, "$JS.FC.>"]
VIEWER_CALLS += [f"$JS.API.CONSUMER.CREATE.{stream}" for stream in STREAMS]
VIEWER_CALLS += [f"$JS.API.CONSUMER.{call}.{stream}.>" for stream in STREAMS for call in ("CREATE", "INFO", "DELETE")]
STREAMED = [f"$JS.API.{call}.{stream}.>" for stream in STREAMS for call in ("CONSUMER.MSG.NEXT", "DIRECT.GET")]
# Where a push consumer sends to: for clients with this prefix of inboxes.
INBOXES = "_INBOX.viewers.>"


def token_of(node: str) -> str:
    """Returns a node's name as one token of a subject, as the sink makes it."""
    return re.sub(rb"[^A-Za-z0-9_-]", lambda byte: b"=%02X" % byte[0][0], node.encode()).decode()


def password(directory: Path, user: str) -> str:
    """Returns the password that the file of this user has; makes both when there is none."""
    path = directory / f"{user}.password"
    if not path.exists():
        path.write_text(secrets.token_hex(16))
    return path.read_text().strip()


def users(directory: Path, name: str) -> list[dict[str, str]]:
    return [{"user": name, "password": password(directory, token_of(name))}]


def services(*subjects: str) -> list[dict[str, object]]:
    return [{"service": {"account": "FLEET", "subject": subject}} for subject in subjects]


def accounts(directory: Path, nodes: list[str]) -> dict[str, object]:
    """Returns all accounts by their name.

    An account of its own sees nothing of the fleet but what it imports. Permissions of users in one account are not
    enough: the servers check none for the subject of an answer, so a node could have one sent to another node's key.
    """
    exports: list[dict[str, object]] = [{"service": f"$KV.{bucket}.>"} for bucket in BUCKETS]
    exports += [{"service": call} for call in dict.fromkeys([*NODE_CALLS, *VIEWER_CALLS])]
    exports += [{"service": call, "response_type": "stream"} for call in STREAMED]
    exports += [{"stream": INBOXES}]
    inboxes = {"stream": {"account": "FLEET", "subject": INBOXES}}
    made: dict[str, object] = {
        "SYSTEM": {"users": users(directory, "system")},
        "FLEET": {"jetstream": "enabled", "users": users(directory, "operator"), "exports": exports},
        "VIEWERS": {
            "users": users(directory, "viewer"),
            "imports": [*services(*VIEWER_CALLS, *STREAMED), inboxes],
        },
    }
    for node in sorted(set(nodes)):
        own = [f"$KV.{bucket}.{token_of(node)}.>" for bucket in BUCKETS]
        made[f"node-{token_of(node)}"] = {
            "users": users(directory, node),
            "limits": {"max_connections": 10, "max_subscriptions": 100},
            "imports": services(*own, *NODE_CALLS),
        }
    return made


def main(nodes: list[str]) -> None:
    if taken := sorted({"", *OTHERS} & set(nodes)):
        sys.exit(f"no node may have the name {taken[0]!r}: give it another `node` in its publisher.toml")
    directory = Path(__file__).resolve().parent / "secrets"
    # Nobody else can enter the directory; a container reads the file that is mounted into it, as another user. The file
    # is written in place: a container would keep one that is replaced.
    directory.mkdir(mode=0o700, exist_ok=True)
    made = {"accounts": accounts(directory, nodes), "system_account": "SYSTEM"}
    # JSON is a form of the servers' own language.
    lines = [f"{json.dumps(key)}: {json.dumps(value, indent=1)}" for key, value in made.items()]
    (directory / "accounts.conf").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
