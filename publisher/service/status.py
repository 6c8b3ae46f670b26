"""The status that a running service reports: its model, and its summary in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# The states in which a sink delivers nothing until something changes.
_TROUBLE = frozenset({"retrying", "ended", "abandoned", "failed"})
# In seconds since 1970: what has a date, which ends with the year 9999.
_Time = Annotated[float, Field(ge=0, le=253_402_300_799)]


class _Report(BaseModel):
    """A part of the status. Unknown members are ignored: the service may be newer than the reader."""

    model_config = ConfigDict(frozen=True)


class SinkReport(_Report):
    """The status of one sink. Times are in seconds since 1970; the counts are since the service started."""

    state: str = "unknown"
    seq: int | None = None
    behind: int = 0
    delivered: int = 0
    failures: int = 0
    rejected: int = 0
    dead_letters: int = 0
    dead_letters_dropped: int = 0
    error: str | None = None
    last_delivery: _Time | None = None
    next_attempt: _Time | None = None

    @property
    def in_trouble(self) -> bool:
        """True if events do not reach the destination. Dead letters are settled, and no trouble."""
        return self.error is not None or self.state in _TROUBLE

    @property
    def outcome(self) -> str:
        """The state in words, with the error: "waits: connection refused", "ended: 410 Gone"."""
        return f"{'waits' if self.state == 'retrying' else self.state}: {self.error or 'no reason given'}"


class LeftReport(_Report):
    """A place that the configuration left, and that is still to be emptied: no trouble, as its server may be gone."""

    sink: str
    place: str
    error: str | None = None
    next_attempt: _Time | None = None
    last_attempt: _Time | None = None


class ServiceReport(_Report):
    """The status of a service: of its journal, and of each sink by its name in the configuration."""

    version: str
    pid: int
    started: _Time
    node: str = ""
    epoch: str = ""
    seq: int = 0
    log_file: str | None = None
    trouble: str | None = None
    sinks: dict[str, SinkReport] = {}
    left: tuple[LeftReport, ...] = ()

    @property
    def in_trouble(self) -> bool:
        """True if the journal or a sink is in trouble."""
        return self.trouble is not None or any(sink.in_trouble for sink in self.sinks.values())

    def summary(self) -> str:
        """Returns one line: the journal's trouble, else that of each sink, else the progress of the sinks."""
        if self.trouble is not None:
            return f"the journal takes no events: {self.trouble}"
        count = f"{len(self.sinks)} sink{'' if len(self.sinks) == 1 else 's'}"
        if troubled := [f"{name} {sink.outcome}" for name, sink in self.sinks.items() if sink.in_trouble]:
            well = len(self.sinks) - len(troubled)
            return f"{count}: {well} deliver{'s' if well == 1 else ''}; {'; '.join(troubled)}"
        busy = any(sink.behind or sink.state != "following" for sink in self.sinks.values())
        return f"{count}, {'delivering' if busy else 'all delivered'}"


def status_json(journal: Path, report: ServiceReport | None) -> dict[str, Any]:
    """Returns the JSON of `publisher status --json`, of the service that holds this journal; `None` when none does."""
    found = {"running": report is not None, "journal": str(journal), "healthy": bool(report and not report.in_trouble)}
    return found | (report.model_dump(mode="json") if report else {})
