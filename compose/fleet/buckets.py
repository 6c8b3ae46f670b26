#!/usr/bin/env python3
"""Makes the buckets of a fleet, and removes what has been deleted for a day: run it once at the beginning, then daily.

    python3 buckets.py tls://nats-1:4222 tls://nats-2:4222 tls://nats-3:4222

It logs in as `operator`, with secrets/operator.password and secrets/ca.pem. Needs nats-py. It waits up to a minute for
servers that were just started.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import NoRespondersError, NoServersError

SECRETS = Path(__file__).resolve().parent / "secrets"
KEPT = timedelta(days=1)
PATIENCE_SECONDS = 60
NO_STREAM = 10059
# Of servers that have yet to find each other: too few for a copy on each, JetStream unavailable, no leader.
NOT_YET = {10005, 10008, 10009}


class Waiting:
    """The time that a call still has; each new reason to wait is shown once."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_SECONDS
        self._reason = ""

    async def go_on(self, reason: str) -> None:
        """Waits a second; ends the program when the time is over."""
        if time.monotonic() > self._until:
            sys.exit(reason)
        if reason != self._reason:
            print(f"waiting: {reason}", file=sys.stderr, flush=True)
        self._reason = reason
        await asyncio.sleep(1)


async def connected(servers: list[str]) -> Client:
    """Returns a client that is logged in."""
    password = (SECRETS / "operator.password").read_text()
    tls = ssl.create_default_context(cafile=str(SECRETS / "ca.pem"))
    errors: list[Exception] = []

    async def failed(error: Exception) -> None:
        errors.append(error)
        if "Authorization Violation" in str(error):
            sys.exit(f"no server can be used: {error}")

    waiting = Waiting()
    while True:
        client = Client()
        try:
            await client.connect(
                servers, user="operator", password=password, tls=tls, error_cb=failed, connect_timeout=10,
                max_reconnect_attempts=1,
            )  # fmt: skip
        except NoServersError:
            await waiting.go_on(f"no server can be used: {errors[-1]}")
        else:
            return client


async def asked(client: Client, subject: str, payload: bytes = b"") -> Any:
    """Returns the answer to a request that may be made again; there is none while no server leads."""
    waiting = Waiting()
    while True:
        try:
            return await client.request(subject, payload, 5)
        except (TimeoutError, NoRespondersError):
            await waiting.go_on(f"{subject}: no answer")


def config(bucket: str) -> dict[str, Any]:
    """Returns the configuration of a bucket's stream: as the sink would make it, but without `allow_rollup_hdrs`.

    With that, any node could remove the messages of all nodes by one header (`Nats-Rollup: all`).
    """
    kind: dict[str, Any] = {"max_msgs_per_subject": 64, "allow_atomic": True}
    if bucket.endswith("_status"):
        kind = {"max_msgs_per_subject": 1, "subject_delete_marker_ttl": 86_400 * 10**9}
    return kind | {
        "name": f"KV_{bucket}",
        "subjects": [f"$KV.{bucket}.>"],
        "num_replicas": 3,
        "storage": "file",
        "discard": "new",
        "allow_msg_ttl": True,
        "allow_direct": True,
        "deny_delete": True,
    }


async def api(client: Client, call: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns JetStream's answer; ends the program for an error, but that there is no such stream."""
    waiting = Waiting()
    while True:
        message = await asked(client, f"$JS.API.{call}", json.dumps(request).encode() if request else b"")
        answer: dict[str, Any] = json.loads(message.data)
        error = answer.get("error")
        if not error or error["err_code"] == NO_STREAM:
            return answer
        reason = f"{call}: {error['description']}"
        if error["err_code"] not in NOT_YET:
            sys.exit(reason)
        await waiting.go_on(reason)


async def sweep(client: Client, bucket: str) -> int:
    """Removes each key whose newest message deletes it, and is old enough; returns how many there were."""
    removed = 0
    subjects = (await api(client, f"STREAM.INFO.KV_{bucket}", {"subjects_filter": ">"}))["state"].get("subjects", {})
    for subject in subjects:
        newest = await asked(client, f"$JS.API.DIRECT.GET.KV_{bucket}.{subject}")
        headers = newest.headers or {}
        if headers.get("KV-Operation") not in ("DEL", "PURGE"):
            continue
        if datetime.now(UTC) - datetime.fromisoformat(headers["Nats-Time-Stamp"][:19] + "+00:00") > KEPT:
            # Not what its node has written since.
            purged = {"filter": subject, "seq": int(headers["Nats-Sequence"]) + 1}
            await api(client, f"STREAM.PURGE.KV_{bucket}", purged)
            removed += 1
    return removed


async def main(servers: list[str]) -> None:
    client = await connected(servers)
    try:
        for bucket in ("interfaces", "interfaces_status"):
            if "error" in await api(client, f"STREAM.INFO.KV_{bucket}"):
                await api(client, f"STREAM.CREATE.KV_{bucket}", config(bucket))
                print(f"made the bucket {bucket}")
        print(f"removed {await sweep(client, 'interfaces')} deleted keys")
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
