"""Measures everything and writes RESULTS.md: `make bench`, or `make bench ARGS="dump journal"` for some."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from tests.benchmarks.figures import Figure

MODULES = ("dump", "message", "burst", "journal", "latency", "process", "mqtt", "webhook")
RESULTS = Path(__file__).with_name("RESULTS.md")


def main(names: list[str]) -> int:
    figures: list[Figure] = []
    for name in names or MODULES:
        print(f"{name} ...", flush=True)
        for figure in import_module(f"{__package__}.{name}").measure():
            print("  " + " | ".join(cells(figure)), flush=True)
            figures.append(figure)
    if not names:
        RESULTS.write_text(report(figures), encoding="utf-8")
    return 0 if all(figure.kept for figure in figures) else 1


def cells(figure: Figure) -> list[str]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return [
        figure.what,
        f"{figure.value:.4g} {figure.unit}",
        figure.beside,
        ratio,
        figure.budget,
        "yes" if figure.kept else "NO",
    ]


def report(figures: list[Figure]) -> str:
    lines = [
        "# What was measured",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}. Ratios are against what is named beside them, in the same run; "
        "medians of five where a figure is repeated. The machine is noisy: trust the ratios, not the figures.",
        "",
        "| What | Measured | Beside | Ratio | Budget | Kept |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in cells(figure)) + " |" for figure in figures),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
