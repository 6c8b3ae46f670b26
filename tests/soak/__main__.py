"""A soak: `make soak`, `make soak ARGS="--seconds 3600 --seed 7"`. Ends with status 0 when nothing is wrong.

Random changes of links, addresses, routes, masters, names and namespaces, beside faults one at a time and together.
Every observer of a publisher is judged in the end. It runs in namespaces of its own, as root or as an ordinary user.
The plan is a function of the seed and the length; the moments at which processes run are not.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fixtures.netns import NetNs, become_capable
from tests.soak.house import House, leave_the_mounts
from tests.soak.plan import FAULTS, Fault, Step, plan
from tests.soak.run import Run
from tests.soak.verdict import findings, settle


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long changes and faults are made (120)")
    parser.add_argument("--seed", type=int, default=None, help="the plan (a random one, which is shown)")
    parser.add_argument("--folder", type=Path, default=None, help="where everything is left, also when all is well")
    parser.add_argument("--only", default="", help="the names of the faults to make, with commas (all)")
    parser.add_argument("--plan", action="store_true", help="show the plan, and do nothing")
    return parser.parse_args()


def show(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Runs a soak; returns the exit status."""
    given = arguments()
    seed = random.SystemRandom().randrange(10_000) if given.seed is None else given.seed
    chosen = set(filter(None, given.only.split(","))) or set(FAULTS)
    if unknown := chosen - FAULTS.keys():
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    steps = [step for step in plan(seed, given.seconds) if not isinstance(step, Fault) or step.name in chosen]
    if given.plan:
        show("\n".join(f"{step.at:8.2f} {step}" for step in steps))
        return 0
    only = f" --only {given.only}" if given.only else ""
    again = f'make soak ARGS="--seconds {given.seconds:g} --seed {seed}{only}"'
    folder = Path(given.folder or tempfile.mkdtemp(prefix="soak-")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    show(f"seed {seed}, {given.seconds:g} s; everything is in {folder}")
    try:
        become_capable()
        leave_the_mounts()
        home = NetNs()
    except OSError as error:
        sys.exit(f"no namespaces can be made ({error}): run as root, or allow user namespaces")
    home.close()
    wrong = soak(folder, steps, seed)
    if wrong:
        show("\n".join(["", "wrong:", *wrong, "", f"to repeat it: {again}", f"the logs are in {folder}"]))
        return 1
    show("all is well")
    if given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def soak(folder: Path, steps: list[Step], seed: int) -> list[str]:
    """Makes the steps, and returns what is wrong."""
    begun = time.monotonic()
    with ExitStack() as around:
        house = House(folder, around)
        run = Run(house, steps, show)
        run.go()
        show("every fault has ended; the observers come to the end ...")
        ended = time.monotonic()
        wrong = [*run.errors, *settle(house)]
        show(f"... after {time.monotonic() - ended:.0f} s")
        wrong += findings(house, run)
        report(house, run, seed, time.monotonic() - begun, wrong)
    return wrong


def report(house: House, run: Run, seed: int, seconds: float, wrong: list[str]) -> None:
    """Shows the figures, and writes them to verdict.json."""
    show("\nobserver      events  repeated  snapshots  marked losses  rows for events")
    for name, stream in house.streams.items():
        figures = (stream.events, stream.repeated, stream.snapshots, stream.overruns, stream.replaced)
        show(f"{name:<10}" + "".join(f"{n:>{w}}" for n, w in zip(figures, (10, 10, 11, 15, 17), strict=True)))
    made = ", ".join(f"{name} {times}" for name, times in sorted(run.made.items()))
    show(f"{run.changes} changes, {house.publisher.starts} starts in {seconds:.0f} s; faults: {made}")
    if run.skipped:
        show(f"left out: {dict(run.skipped)} (of the clock: install gcc; else two of one kind at once)")
    if run.samples:
        memory = [sample.mebibytes for sample in run.samples]
        files = [sample.descriptors for sample in run.samples]
        show(f"calm: {min(memory):.0f} to {max(memory):.0f} MiB, {min(files)} to {max(files)} descriptors")
    streams = {name: [s.events, s.repeated, s.snapshots, s.overruns, s.replaced] for name, s in house.streams.items()}
    written = {"seed": seed, "seconds": seconds, "made": run.made, "changes": run.changes, "streams": streams}
    written |= {"wrong": wrong, "samples": [vars(sample) for sample in run.samples]}
    (house.folder / "verdict.json").write_text(json.dumps(written, indent=1))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
