"""What a benchmark tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement, what it was measured beside in the same run, and whether it keeps its budget."""

    what: str
    value: float
    unit: str
    beside: str
    """What it is compared with and that one's own figure."""
    ratio: float | None
    budget: str
    kept: bool
