"""The figures and the curves of RESULTS.md, read back for the plots. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.benchmarks.figures import COLUMNS, CURVE_COLUMNS, Curve, Figure, Result

# A cell may have an escaped bar in it.
_CELL = re.compile(r"(?<!\\)\|")


def read_results(text: str) -> list[Result]:
    """Returns what the tables have; the budgets are not read."""
    found: list[Result] = []
    columns: tuple[str, ...] = ()
    for cells in _rows(text):
        if cells in (COLUMNS, CURVE_COLUMNS):
            columns = cells
        elif columns == COLUMNS:
            found.append(_figure(*cells[:3]))
        elif columns == CURVE_COLUMNS:
            found.append(_curve(*cells))
    return found


def _rows(text: str) -> Iterator[tuple[str, ...]]:
    for line in text.splitlines():
        cells = tuple(cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1])
        if cells and set(cells) != {"---"}:
            yield cells


def _figure(what: str, measured: str, beside: str) -> Figure:
    value, _, unit = measured.partition(" ")
    peer, _, other = beside.rpartition(": ")
    return Figure(what, float(value), unit.strip(), 0.0, peer, float(other) if other else None)


def _curve(what: str, of: str, unit: str, points: str) -> Curve:
    pairs = (point.split(": ") for point in points.split(", "))
    return Curve(what, of, unit, [(int(size.replace(",", "")), float(cost)) for size, cost in pairs])
