"""The lifetimes of version 1 as the moments of version 2, in the JSON of events and rows."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

_NAMES = {"valid_lifetime": "valid_until", "preferred_lifetime": "preferred_until"}


def convert_lifetimes(connection: sqlite3.Connection) -> None:
    """Rewrites events, dead letters and rows; what a lifetime counted from is the event's time, else this moment."""
    position: int | None = None
    for seq, before, data in connection.execute("SELECT seq, position, data FROM events ORDER BY seq").fetchall():
        converted = _converted(data)
        position = (before - len(data) if position is None else position) + len(converted)
        row = (position, converted, seq)
        connection.execute("UPDATE events SET position = ?, data = ? WHERE seq = ?", row)
    for number, data in connection.execute("SELECT id, data FROM dead_letters").fetchall():
        connection.execute("UPDATE dead_letters SET data = ? WHERE id = ?", (_converted(data), number))
    for luid, family, data in connection.execute("SELECT luid, family, data FROM rows").fetchall():
        connection.execute("UPDATE rows SET data = ? WHERE luid = ? AND family = ?", (_converted(data), luid, family))


def _converted(data: bytes) -> bytes:
    """Returns the JSON with moments; as it is when it has no lifetimes, or is none of ours."""
    if b"_lifetime" not in data:
        return data
    try:
        said = json.loads(data)
        since = datetime.fromisoformat(said["time"]) if "time" in said else datetime.now(UTC)
        for address in said.get("addresses", ()):
            _convert(address, since)
        for name, change in said.get("changed", {}).items():
            for address in change.values() if name.startswith("addresses.") else ():
                _convert(address, since)
    except (ValueError, AttributeError, TypeError):
        return data  # Damage: whoever reads it next finds it.
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()


def _convert(address: dict[str, Any] | None, since: datetime) -> None:
    if address is None:
        return
    for old, new in _NAMES.items():
        seconds = address.pop(old, None)
        moment = None if seconds is None else since.replace(microsecond=0) + timedelta(seconds=seconds)
        address[new] = moment and f"{moment:%Y-%m-%dT%H:%M:%SZ}"
