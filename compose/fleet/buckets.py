#!/usr/bin/env python3
"""Makes the buckets of a fleet, and removes what has been deleted for a day: run it once at the beginning, then daily.

    python3 buckets.py tls://nats-1:4222 tls://nats-2:4222 tls://nats-3:4222

It logs in as `operator`, with secrets/operator.password and secrets/ca.pem. Needs nats-py.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nats.aio.client import Client

SECRETS = Path(__file__).resolve().parent / "secrets"
KEPT = timedelta(days=1)
NO_STREAM = 10059


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
    message = await client.request(f"$JS.API.{call}", json.dumps(request).encode() if request else b"", 30)
    answer: dict[str, Any] = json.loads(message.data)
    if (error := answer.get("error")) and error["err_code"] != NO_STREAM:
        sys.exit(f"{call}: {error['description']}")
    return answer


async def sweep(client: Client, bucket: str) -> int:
    """Removes each key whose newest message deletes it, and is old enough; returns how many there were."""
    removed = 0
    subjects = (await api(client, f"STREAM.INFO.KV_{bucket}", {"subjects_filter": ">"}))["state"].get("subjects", {})
    for subject in subjects:
        newest = await client.request(f"$JS.API.DIRECT.GET.KV_{bucket}.{subject}", b"", 30)
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
    client = Client()
    password = (SECRETS / "operator.password").read_text()
    tls = ssl.create_default_context(cafile=str(SECRETS / "ca.pem"))
    await client.connect(servers, user="operator", password=password, tls=tls, max_reconnect_attempts=3)
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
