"""The results of the benchmarks: figures with their budgets, and curves of growth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement and its budget. With a peer, measured in the same run, the budget is for the ratio to it."""

    what: str
    value: float
    unit: str
    limit: float
    peer: str = ""
    beside: float | None = None
    """The peer's own measurement, in the same unit."""
    wish: float | None = None
    at_least: bool = False
    """True when the budget is the least that is allowed, as for a rate; else it is the most."""

    @property
    def judged(self) -> float:
        """The number that the budget is for."""
        return self.value if self.beside is None else self.value / self.beside

    def kept(self, margin: float = 1.0) -> bool:
        """Returns whether the budget is kept, with so many times as much allowed. A budget of 0 has no margin."""
        return self.judged >= self.limit / margin if self.at_least else self.judged <= self.limit * margin

    def cells(self) -> list[str]:
        """Returns the row of the table."""
        sign = ">=" if self.at_least else "<="
        return [
            self.what,
            f"{self.value:.4g} {self.unit}",
            "" if self.beside is None else f"{self.peer}: {self.beside:.4g}",
            "" if self.beside is None else f"{self.judged:.2f}",
            f"{sign} {self.limit:g}",
            "" if self.wish is None else f"{self.wish:g}",
            "yes" if self.kept() else "NO",
        ]


COLUMNS = ("What", "Measured", "Peer", "Ratio", "Budget", "Wish", "Kept")


@dataclass(frozen=True)
class Curve:
    """The cost at several sizes of one thing, ascending. It is judged as a figure: the growth is not quadratic."""

    what: str
    of: str
    """The thing that there is more and more of."""
    unit: str
    points: Sequence[tuple[int, float]]

    @property
    def exponent(self) -> float:
        """The growth up to the largest size, from the last one of at most a quarter: 1 is linear, 2 is quadratic."""
        after, cost_after = self.points[-1]
        before, cost_before = [point for point in self.points if point[0] <= after / 4][-1]
        return math.log(cost_after / cost_before) / math.log(after / before)

    def cells(self) -> list[str]:
        """Returns the row of the table."""
        return [self.what, self.of, self.unit, ", ".join(f"{size:,}: {cost:.4g}" for size, cost in self.points)]

    def figure(self) -> Figure:
        """Returns the exponent with its budget."""
        return Figure(f"growth of {self.what} with {self.of}: exponent", self.exponent, "", 1.5)


CURVE_COLUMNS = ("What", "Of", "Unit", "Size: cost")
Result = Figure | Curve


def percentile(values: Iterable[float], percent: int) -> float:
    """Returns the value below which so many percent of the values are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def median(values: Iterable[float]) -> float:
    """Returns the median."""
    return statistics.median(values)


def figures_of(results: Iterable[Result]) -> list[Figure]:
    """Returns the figures, those of curves included."""
    return [result.figure() if isinstance(result, Curve) else result for result in results]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
