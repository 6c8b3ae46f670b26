"""Runs the tests of `inside/` in Windows Python, one test here for each function there; and reads Wine's interfaces.

Windows Python is started once and runs them all; each test here looks up its outcome.
"""

from __future__ import annotations

import ast
import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.windows.prepare import CHECKOUT
from tests.windows.wine import Wine

SUITES = [
    *sorted((CHECKOUT / "tests/windows/inside").glob("test_*.py")),
    *(CHECKOUT / "tests/netioapi" / f"{name}.py" for name in ("test_calls", "test_routes")),
]
SECONDS = 900  # a busy machine took 10 minutes


class Outcome(NamedTuple):
    """The outcome of one test inside; `failure` is its text, empty when it passed."""

    name: str
    failure: str


def _functions() -> Iterator[str]:
    """Yields `module::function` of each test inside, parsed and not imported, since they need Windows."""
    for path in SUITES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.stem}::{node.name}"


@pytest.fixture(scope="module")
def outcomes(
    wine: Wine, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[str, list[Outcome]]:
    """Runs them, and returns the outcomes of each function's cases."""
    report = tmp_path_factory.mktemp("wine") / "report.xml"
    suites = [str(path.relative_to(CHECKOUT)) for path in SUITES]
    options = ["-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    options += ["--many"] if pytestconfig.getoption("--many") else []
    process = wine.python("-m", "pytest", *options, *suites)
    output = _finish(process)
    if not report.exists():
        pytest.fail(f"Windows Python ended with {process.returncode} and no report:\n{output[-4000:]}")
    return _read(report)


def _finish(process: subprocess.Popen[bytes]) -> str:
    try:
        return process.communicate(timeout=SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0].decode(errors="replace")


def _read(report: Path) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        failures = [
            part.text or part.get("message") or part.tag for part in case if part.tag in {"failure", "error", "skipped"}
        ]
        module = case.get("classname", "").rpartition(".")[2]
        found.setdefault(f"{module}::{name.partition('[')[0]}", []).append(Outcome(name, "\n".join(failures)))
    return found


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("function", [*_functions()])
def test_inside_windows_python(outcomes: dict[str, list[Outcome]], function: str) -> None:
    cases = outcomes.get(function, [])
    assert cases, "it did not run: Windows Python may have crashed before"
    failures = [f"{case.name}: {case.failure}" for case in cases if case.failure]
    assert not failures, "\n\n".join(failures)


PROGRAM = """
import json, sys
from publisher.netioapi import get_if_entry2, get_if_table2, NetioError
rows = get_if_table2()
for row in rows:
    assert get_if_entry2(row.interface_luid).interface_index == row.interface_index
    assert get_if_entry2(index=row.interface_index).interface_luid == row.interface_luid
try:
    get_if_entry2(index=4_000_000_000)
except NetioError as error:
    unknown = error.winerror_code
print(json.dumps([unknown, [[r.interface_index, r.alias, r.mtu, r.physical_address,
    r.type, r.oper_status] for r in rows]]))
"""


@pytest.mark.timeout(SECONDS + 120)
def test_wines_own_interfaces_are_the_kernels(wine: Wine) -> None:
    """Compares GetIfTable2 and GetIfEntry2Ex of Wine itself with `ip link` in the same namespace; no stand-in."""
    wine.netns.ip(
        "link add net7 address 02:00:00:00:00:07 mtu 1400 type veth peer name net8",
        "link set net7 up",
        "link set net8 up",
        "link add net9 type bridge",
    )
    output = _finish(wine.python("-c", PROGRAM, standin=False))
    unknown, rows = json.loads(output)
    links = {link["ifname"]: link for link in json.loads(wine.netns.run("ip -j link"))}
    assert unknown == 2
    # Wine still lists the links that another test has removed.
    rows = [row for row in rows if row[1] in links]
    assert {alias for _, alias, *_ in rows} == set(links)
    for index, alias, mtu, physical_address, kind, oper in rows:
        link = links[alias]
        assert (index, mtu if alias != "lo" else link["mtu"]) == (link["ifindex"], link["mtu"])
        assert kind == (24 if alias == "lo" else 6)
        if alias != "lo":
            assert physical_address == link["address"]
            assert oper == ("up" if "UP" in link["flags"] else "down")


ROUTES = """
import json
from publisher.sources.windows.calls import load
from publisher.sources.windows.rows import default_route
print(json.dumps([[row.InterfaceIndex, default_route(row, 0).next_hop] for row in load().default_routes(0)]))
"""


@pytest.mark.timeout(SECONDS + 120)
def test_wines_own_default_routes_are_the_kernels(wine: Wine) -> None:
    """Compares GetIpForwardTable2 of Wine itself with `ip route`; no stand-in. Wine 8 lists those of IPv4."""
    wine.netns.ip("link add net17 type veth peer name net18", "link set net17 up", "link set net18 up")
    wine.netns.ip("addr add 192.0.2.2/24 dev net17", "route add 198.51.100.0/24 dev net17")
    for route in ("via 192.0.2.1 dev net17 metric 1", "dev net17 metric 2", "via 192.0.2.3 dev net17 metric 3"):
        wine.netns.ip(f"route add default {route}")
    index = json.loads(wine.netns.run("ip -j link show net17"))[0]["ifindex"]
    found = json.loads(_finish(wine.python("-c", ROUTES, standin=False)))
    assert sorted(found, key=str) == sorted([[index, "192.0.2.1"], [index, None], [index, "192.0.2.3"]], key=str)
    wine.netns.ip("link del net17")
