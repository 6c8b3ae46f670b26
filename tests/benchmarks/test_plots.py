"""The plots show what RESULTS.md says: each figure beside its peers, each curve."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.figures import COLUMNS, CURVE_COLUMNS, Curve, Figure, table
from tests.benchmarks.plots import FOLDER, NAMES, draw, drawn
from tests.benchmarks.results import read_results
from tests.fixtures.browser import COMMAND
from tests.fixtures.requirements import need

RESULTS = (FOLDER / "RESULTS.md").read_text()
# The height of a line of text is 11.
_LEFT_OF_TEXT = re.compile(r'<text x="(\d+)"[^>]*>([^<]*)<')


def test_the_tables_are_read_as_they_were_written() -> None:
    figures = [
        Figure("a | b, p50", 1.25, "ms", 5, "ip | x: y", 0.5),
        Figure("lost", 0, "", 0),
        Figure("rate", 12340, "/s", 1, "peer", 5000, at_least=True),
    ]
    curve = Curve("dump", "links", "ms", [(10, 3.335), (1000, 102.3)])
    lines = [*table(COLUMNS, [one.cells() for one in figures]), "", *table(CURVE_COLUMNS, [curve.cells()])]
    *found, last = read_results("\n".join(lines))
    assert last == curve
    assert [(o.what, o.value, o.unit, o.peer, o.beside) for o in found if isinstance(o, Figure)] == [
        (one.what, one.value, one.unit, one.peer, one.beside) for one in figures
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_plot_is_that_of_the_results(name: str) -> None:
    picture = drawn(read_results(RESULTS))[name]
    assert (FOLDER / f"{name}.svg").read_text() == picture, "run `.venv/bin/python -m tests.benchmarks.plots`"
    ElementTree.fromstring(picture)
    width = int(re.findall(r'width="(\d+)"', picture)[0])
    if name != "growth":
        assert all(int(x) + 5.5 * len(text) < width + 20 for x, text in _LEFT_OF_TEXT.findall(picture))


def test_a_figure_stands_beside_its_peers() -> None:
    made = drawn(read_results(RESULTS))
    for name, what in (("latency", "pyroute2 and paho"), ("throughput", "paho alone"), ("memory", "nats-py alone")):
        assert what in made[name]
    assert {"links", "addresses added to one interface", "sinks", "nodes of 20 rows"} <= {
        text for _, text in _LEFT_OF_TEXT.findall(made["growth"])
    }


def test_the_pictures_are_made_by_one_call(tmp_path: Path) -> None:
    need(COMMAND, package="chromium-headless-shell")
    draw(read_results(RESULTS), tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.svg").stat().st_size > 500
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
