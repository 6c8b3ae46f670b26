"""The state of a sink, for the log, the command line and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["waiting", "opening", "following", "sending", "retrying", "ended", "stopped", "abandoned", "failed"]


@dataclass
class SinkStatus:
    """The state of a sink. Times in seconds since 1970; the counts are since the start."""

    state: State = "opening"
    seq: int | None = None
    """The last event that it has confirmed."""
    behind: int = 0
    delivered: int = 0
    failures: int = 0
    rejected: int = 0
    dead_letters: int = 0
    """The number that is kept now."""
    dead_letters_dropped: int = 0
    """The number that was dropped for newer ones since the start."""
    error: str | None = None
    """The last error; `None` since a delivery succeeded."""
    last_delivery: float | None = None
    next_attempt: float | None = None
