"""Makes the mistakes of linux.toml and windows.toml one by one, and shows which test notices each: `make mutants`.

`make mutants ARGS="L04 W1"` makes those whose ids begin like this. Ends with status 0 when each is noticed, but for at
most five that have a reason. The tests run as this user: as root, as those of namespaces need it where an ordinary user
may not make one.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tests.mutants.mutant import Outcome, read_mutants, verdict
from tests.mutants.trial import Trial

HERE = Path(__file__).parent
MOST_SURVIVORS = 5


def main(wanted: list[str]) -> int:
    mutants = read_mutants(HERE, wanted)
    outcomes: list[Outcome] = []
    print("| Mutant | Mistake | Outcome | By | s |\n|---|---|---|---|---|", flush=True)
    with Trial.of(HERE.parents[1]) as trial:
        failing = trial.failing(mutants)
        for mutant in mutants:
            begun = time.monotonic()
            outcomes.append(outcome := trial.outcome(mutant, failing))
            cells = mutant.id, mutant.what, outcome.kind, outcome.detail, f"{time.monotonic() - begun:.0f}"
            print(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |", flush=True)
    counts = {kind: sum(outcome.kind == kind for outcome in outcomes) for _, kind, _ in outcomes}
    print("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    wrong = verdict(outcomes, MOST_SURVIVORS)
    print("\n".join(wrong or ["every mistake is noticed"] * (not counts.get("survived"))))
    return 1 if wrong else 0


if __name__ == "__main__":
    # As Ctrl+C does: the tests that run are ended, and the copy is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
