"""Plots of what was measured, as SVG and PNG: `python -m tests.benchmarks.plots` draws those of RESULTS.md.

Latency, throughput and memory are bars beside those of the peers of the same run, growth is on two logarithmic axes.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.figures import Curve, Figure, Result
from tests.benchmarks.results import read_results
from tests.fixtures.browser import COMMAND, Browser

FOLDER = Path(__file__).parent
_WIDTH, _HEIGHT, _MARGIN, _COLUMNS = 320, 220, 46, 2
_BAR, _HEAD, _NAMES, _LONGEST = 15, 24, 190, 340
_OURS, _GREY = "#0a5", "#888"


class Plot(NamedTuple):
    """A plot of the figures of one kind."""

    name: str
    shows: Callable[[Figure], bool]


PLOTS = (
    Plot(
        "latency", lambda one: one.unit == "ms" and one.beside is not None and ("p50" in one.what or "p99" in one.what)
    ),
    Plot("throughput", lambda one: one.unit.endswith("/s")),
    Plot("memory", lambda one: one.unit == "MiB"),
)
NAMES = (*(plot.name for plot in PLOTS), "growth")


def drawn(results: Sequence[Result]) -> dict[str, str]:
    """Returns each plot of these results as SVG, by its name; one without figures is left out."""
    figures = [result for result in results if isinstance(result, Figure)]
    curves = [result for result in results if isinstance(result, Curve)]
    made = {plot.name: bars(shown) for plot in PLOTS if (shown := [one for one in figures if plot.shows(one)])}
    return made | ({"growth": svg(curves)} if curves else {})


def draw(results: Sequence[Result], folder: Path = FOLDER) -> None:
    """Writes each plot as SVG, and as PNG where there is a browser."""
    made = drawn(results)
    for name, picture in made.items():
        (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    if shutil.which(COMMAND) is None:
        print(f"the PNG files are as they were: they need the package {COMMAND}", file=sys.stderr)
        return
    with Browser(None) as browser, browser.context(device_scale_factor=2) as context:
        page = context.new_page()
        for name, picture in made.items():
            page.set_content(picture)
            page.locator("svg").screenshot(path=folder / f"{name}.png", omit_background=True)


def bars(figures: Sequence[Figure]) -> str:
    """Returns a group of bars for each thing that was measured: ours, and each peer's; all have one scale."""
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        groups.setdefault(figure.what, []).append(figure)
    most = max(max(one.value, one.beside or 0) for one in figures)
    parts, y = [], 4
    for what, group in groups.items():
        y += _HEAD
        parts.append(_left(4, y - 8, what, _GREY))
        own = ("publisher", group[0].value, _OURS)
        peers = [(one.peer, one.beside, _GREY) for one in group if one.beside is not None]
        for name, value, colour in (own, *peers):
            length = max(1, round(value / most * _LONGEST))
            parts += [
                _left(14, y + 9, name, colour),
                f'<rect x="{_NAMES}" y="{y}" width="{length}" height="{_BAR - 4}" fill="{colour}"/>',
                _left(_NAMES + length + 5, y + 9, f"{_short(value)} {group[0].unit}", colour),
            ]
            y += _BAR
    return _picture(_WIDTH * _COLUMNS, y + 8, parts)


def svg(curves: Sequence[Curve]) -> str:
    """Returns the panels; a dashed line shows linear growth from the first point, a dotted one quadratic."""
    panels = [
        f'<g transform="translate({_WIDTH * (number % _COLUMNS)} {_HEIGHT * (number // _COLUMNS)})">{_panel(curve)}</g>'
        for number, curve in enumerate(curves)
    ]
    return _picture(_WIDTH * _COLUMNS, _HEIGHT * math.ceil(len(curves) / _COLUMNS), panels)


def _picture(width: int, height: int, parts: Sequence[str]) -> str:
    style = 'font-family="sans-serif" font-size="11" fill="none" stroke-width="1.5"'
    size = f'width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(parts) + "\n</svg>\n"


def _panel(curve: Curve) -> str:
    points = [(math.log10(size), math.log10(cost)) for size, cost in curve.points]
    (first, low), (last, _) = points[0], points[-1]
    high = max(cost for _, cost in [*points, (last, low + last - first)])
    lowest = min(cost for _, cost in points)

    def at(size: float, cost: float) -> str:
        x = _MARGIN + (size - first) / (last - first) * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - (cost - lowest) / (high - lowest) * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.0f},{y:.0f}"

    steep = (high - low) / 2
    lines = [
        f'<polyline stroke="#888" stroke-dasharray="6 3" points="{at(first, low)} {at(last, low + last - first)}"/>',
        f'<polyline stroke="#888" stroke-dasharray="2 3" points="{at(first, low)} {at(first + steep, high)}"/>',
        f'<polyline stroke="#0a5" points="{" ".join(at(*point) for point in points)}"/>',
        _text(_WIDTH / 2, 18, f"{curve.what}, {curve.unit}"),
        _text(_WIDTH / 2, _HEIGHT - 8, curve.of),
    ]
    for (size, cost), point in zip(curve.points, points, strict=True):
        x, y = map(float, at(*point).split(","))
        lines += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="#0a5"/>', _text(x, y - 8, _short(cost))]
        lines.append(_text(x, _HEIGHT - _MARGIN + 18, f"{size:,}"))
    return "".join(lines)


def _short(value: float) -> str:
    """Returns a number with three digits that count."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="#888" stroke="none">{escape(text)}</text>'


def _left(x: float, y: float, text: str, colour: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" stroke="none">{escape(text)}</text>'


if __name__ == "__main__":
    draw(read_results((FOLDER / "RESULTS.md").read_text(encoding="utf-8")))
