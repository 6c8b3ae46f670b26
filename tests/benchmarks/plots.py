"""Plots as SVG: growth on two logarithmic axes, one panel a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.benchmarks.figures import Curve

_WIDTH, _HEIGHT, _MARGIN, _COLUMNS = 320, 220, 46, 2


def svg(curves: Sequence[Curve]) -> str:
    """Returns the panels; a dashed line shows linear growth from the first point, a dotted one quadratic."""
    rows = math.ceil(len(curves) / _COLUMNS)
    size = f'width="{_WIDTH * _COLUMNS}" height="{_HEIGHT * rows}"'
    panels = [
        f'<g transform="translate({_WIDTH * (number % _COLUMNS)} {_HEIGHT * (number // _COLUMNS)})">{_panel(curve)}</g>'
        for number, curve in enumerate(curves)
    ]
    style = 'font-family="sans-serif" font-size="11" fill="none" stroke-width="1.5"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(panels) + "\n</svg>\n"


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
        lines += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="#0a5"/>', _text(x, y - 8, f"{cost:.3g}")]
        lines.append(_text(x, _HEIGHT - _MARGIN + 18, f"{size}"))
    return "".join(lines)


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="#888" stroke="none">{escape(text)}</text>'
