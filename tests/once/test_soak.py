"""A short soak, and the plans of all: they depend on the seed alone, and in time make each fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.netns import own_netns
from tests.fixtures.requirements import need
from tests.soak.faults import MAKING
from tests.soak.plan import FAULTS, Fault, plan

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)

SECONDS, SEED = 40, 5


def test_a_plan_is_a_function_of_its_seed_and_makes_each_fault_in_time() -> None:
    assert plan(7, 600) == plan(7, 600)
    assert plan(7, 600) != plan(8, 600)
    faults = [step for step in plan(7, 600) if isinstance(step, Fault)]
    assert {fault.name for fault in faults} == set(FAULTS) == set(MAKING)
    assert all(fault.at + fault.seconds < 600 for fault in faults)


@pytest.mark.timeout(900)
def test_a_short_soak_is_clean(tmp_path: Path) -> None:
    need("ip", "mosquitto", package="iproute2 and mosquitto")
    with own_netns():
        pass
    command = [sys.executable, "-m", "tests.soak", "--seconds", str(SECONDS), "--seed", str(SEED)]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "soak")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
