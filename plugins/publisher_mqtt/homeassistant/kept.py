"""The devices of interfaces that are not there: how long each is kept. No I/O."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from publisher.events import Luid
from publisher.untrusted import UntrustedError, parse_model

# A phone that tethers with another address each time makes a new interface each time.
_MOST_KEPT = 50
_MOST_BYTES = 1 << 14


class KeptDays(BaseModel):
    """The devices of interfaces that are not there, each with the number of days on which it was missed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date = Field(description="The last day that was counted")
    days: dict[Luid, Annotated[int, Field(ge=0, le=4000)]] = Field(
        max_length=_MOST_KEPT, description="By LUID, how many days the interface was missed on"
    )


class KeptDevices:
    """Counts the days on which an interface was missed.

    Days, not time: a clock that jumps from 1970 to today, or by a year, adds one. A day on which nothing runs is none.
    """

    def __init__(self, keep_days: int, today: date) -> None:
        self.keeps = keep_days > 0
        self._keep_days = keep_days
        self._day = today
        self._days: dict[str, int] = {}
        self._restored: dict[str, int] = {}

    def restore(self, payload: bytes) -> None:
        """Takes the counts of an earlier run, if they can be read; devices that are found missing use them."""
        try:
            kept = parse_model(payload, KeptDays, max_bytes=_MOST_BYTES)
        except UntrustedError:
            return
        # A day since then counts once, also when this process has counted it already for others.
        passed = int(kept.day != self._day)
        self._restored = {luid: days + passed for luid, days in kept.days.items()}

    def add(self, luid: str) -> list[str]:
        """Keeps a device; returns the oldest ones that are too many."""
        self._days.setdefault(luid, self._restored.pop(luid, 0))
        surplus = len(self._days) - _MOST_KEPT
        return sorted(self._days, key=lambda one: -self._days[one])[: max(0, surplus)]

    def discard(self, luid: str) -> None:
        """Ends the count of an interface that is back, or whose device is removed."""
        self._days.pop(luid, None)
        self._restored.pop(luid, None)

    def expired(self, today: date) -> list[str]:
        """Counts the day if it is another than the last; returns the devices whose time is over."""
        if today != self._day:
            self._day = today
            self._days = {luid: days + 1 for luid, days in self._days.items()}
        return [luid for luid, days in self._days.items() if days >= self._keep_days]

    @property
    def luids(self) -> list[str]:
        """The interfaces that are missed, the longest one first."""
        return list(self._days)

    @property
    def payload(self) -> bytes:
        """The counts as JSON, to be retained; empty when there are none."""
        if not self._days:
            return b""
        return json.dumps({"day": self._day.isoformat(), "days": self._days}, separators=(",", ":")).encode()
