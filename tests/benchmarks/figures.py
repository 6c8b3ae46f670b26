"""The result of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement, its reference measured in the same run, and whether its budget is kept."""

    what: str
    value: float
    unit: str
    beside: str
    """The reference and its own figure."""
    ratio: float | None
    budget: str
    kept: bool
