"""The checks of the table hold on mosquitto, and fail where nothing is retained: so the table can be believed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.brokers.checks import CHECKS, House, run_checks
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="network namespaces are Linux's")


@pytest.fixture
def inside(netns: NetNs) -> NetNs:
    netns.ip("link set lo up", "link add e0 type veth peer name e1", "link set e0 up", "link set e1 up")
    return netns


@contextmanager
def house(netns: NetNs, folder: Path, *lines: str) -> Iterator[House]:
    (folder / "broker").mkdir()
    broker = Mosquitto(folder / "broker", *lines)
    try:
        netns.call(broker.start)
        yield House(netns, folder, broker, "5")
    finally:
        broker.__exit__()


def test_all_checks_hold_on_mosquitto(inside: NetNs, tmp_path: Path) -> None:
    with house(inside, tmp_path) as one:
        found = run_checks(one)
    assert len(found) == len(CHECKS)
    assert {name: reason for name, reason in found.items() if reason} == {}


def test_a_broker_that_retains_nothing_fails_a_check(inside: NetNs, tmp_path: Path) -> None:
    with house(inside, tmp_path, "retain_available false") as one:
        one.seconds = 2.0
        assert run_checks(one)["online"]
