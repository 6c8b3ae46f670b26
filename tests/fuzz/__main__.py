"""Coverage-guided fuzzing with atheris: `make fuzz`, `make fuzz ARGS="--seconds 300 mqtt_messages"`.

Each target runs in a process of its own. What is found lies in .cache/fuzz/found, and goes into tests/fuzz/findings
when it is mended. Ends with status 1 when something is found.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import FINDINGS, TARGETS

ROOT = Path(__file__).parents[2]
_CACHE = ROOT / ".cache" / "fuzz"


def main() -> int:
    """Runs the targets one after the other; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        sys.exit(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    found = [name for name in given.targets if not fuzz(name, given.seconds)]
    print("\n".join(["nothing was found"] if not found else ["found something:", *found]))
    return 1 if found else 0


def fuzz(name: str, seconds: int) -> bool:
    """Runs one target; returns whether it found nothing."""
    places = _CACHE / "corpus" / name, _CACHE / "found" / name
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(TARGETS[name].seeds()):
        (places[0] / f"seed-{number}").write_bytes(data)
    for path in (FINDINGS / name).glob("*"):
        (places[0] / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "tests.fuzz.inside", name, str(seconds), str(_CACHE)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_CACHE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    counts = re.findall(r"stat::number_of_executed_units: (\d+)|^#(\d+)", done.stderr, re.MULTILINE)
    executions = max((int(one or other) for one, other in counts), default=0)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    print(
        f"{name:<20}{executions:>10} executions  covers {covered[-1] if covered else 0}  status {done.returncode}",
        flush=True,
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-4000:], flush=True)
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())
