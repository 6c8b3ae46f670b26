"""The phases in which a node is followed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from .collected import CollectedRows
from .questions import OpenQuestion

# A publisher sends `info` again after a quiet second; a retained state that follows another comes much sooner.
_QUIET_SECONDS = 0.5
_LONGEST_SECONDS = 2.0
_RESTART_SECONDS = 5.0


@dataclass
class Collecting:
    """The retained states are collected, after a connection was made or when a new epoch began."""

    heard_at: float
    first_at: float | None = None
    rows: CollectedRows = field(default_factory=CollectedRows)
    question: OpenQuestion | None = None
    answerless: bool = False
    """True when the node gave no answer: what there is, is given."""
    rests: bool = False
    """True when there is nothing to give, and nobody to ask."""

    def is_quiet(self, now: float) -> bool:
        """Returns whether nothing more of what is retained is to be expected."""
        is_late = self.first_at is not None and now - self.first_at >= _LONGEST_SECONDS
        return is_late or now - self.heard_at >= _QUIET_SECONDS

    def is_old(self, now: float) -> bool:
        """Returns whether a node that is offline would have come back if it were only restarted."""
        return self.first_at is not None and now - self.first_at >= _RESTART_SECONDS


@dataclass
class Asking:
    """Events were missed; those that come are dropped until the answer is there."""

    question: OpenQuestion


@dataclass(frozen=True)
class Following:
    """Each event follows the one before it."""


@dataclass(frozen=True)
class Behind:
    """The reader has no room; what comes is dropped, and asked for when there is: the events, or the rows."""

    needs_rows: bool = False


Phase = Collecting | Asking | Following | Behind
