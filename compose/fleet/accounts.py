#!/usr/bin/env python3
"""Accounts of a fleet: makes secrets/accounts.conf for nats.conf, and a file with the password of each user.

    python3 accounts.py nas web1 db.example.net --site berlin:nas2,web2

A site is a server of its own, a leaf node, that passes on what its nodes write.
Called again with other names, it keeps the passwords that are there; a name that is missing may log in no longer.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
from pathlib import Path

BUCKETS = ["interfaces", "interfaces_status"]
STREAMS = [f"KV_{bucket}" for bucket in BUCKETS]
OTHERS = ["operator", "viewer", "system"]
# The calls of a node's sink.
CALLS = [f"$JS.API.{call}.{stream}" for stream in STREAMS for call in ("STREAM.INFO", "STREAM.MSG.GET")]
NODE_CALLS = ["$JS.API.INFO", *CALLS]
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


def keys_of(nodes: list[str]) -> list[str]:
    return [f"$KV.{bucket}.{token_of(node)}.>" for node in nodes for bucket in BUCKETS]


def as_domain(subjects: list[str]) -> list[dict[str, object]]:
    """Returns imports by the names that clients of the JetStream domain `hub` use: no others pass a leaf node."""
    names = [f"$JS.hub.API.{subject.removeprefix('$JS.API.')}" for subject in subjects]
    return [service | {"to": name} for service, name in zip(services(*subjects), names, strict=True)]


def accounts(directory: Path, nodes: list[str], sites: dict[str, list[str]]) -> dict[str, object]:
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
    for node in nodes:
        made[f"node-{token_of(node)}"] = {
            "users": users(directory, node),
            "limits": {"max_connections": 10, "max_subscriptions": 100},
            "imports": services(*keys_of([node]), *NODE_CALLS),
        }
    for site, its_nodes in sites.items():
        imports = as_domain([*keys_of(its_nodes), *NODE_CALLS])
        made[f"site-{token_of(site)}"] = {"users": users(directory, site), "imports": imports}
    return made


def site_of(text: str) -> tuple[str, list[str]]:
    """Returns the name of a site and its nodes, from `berlin:nas2,web2`."""
    site, _, nodes = text.partition(":")
    return site, nodes.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("nodes", nargs="*", help="the names of the nodes, as in their publisher.toml")
    parser.add_argument(
        "--site", action="append", default=[], type=site_of, help="a site and its nodes: NAME:NODE,NODE"
    )
    given = parser.parse_args()
    named = [*given.nodes, *(site for site, _ in given.site), *OTHERS]
    if "" in named or len(set(named)) < len(named):
        parser.error(f"each node and site needs a name of its own, which is none of: {', '.join(OTHERS)}")
    directory = Path(__file__).resolve().parent / "secrets"
    # Nobody else can enter the directory; a container reads the file that is mounted into it, as another user. The file
    # is written in place: a container would keep one that is replaced.
    directory.mkdir(mode=0o700, exist_ok=True)
    made = {"accounts": accounts(directory, given.nodes, dict(given.site)), "system_account": "SYSTEM"}
    # JSON is a form of the servers' own language.
    lines = [f"{json.dumps(key)}: {json.dumps(value, indent=1)}" for key, value in made.items()]
    (directory / "accounts.conf").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
