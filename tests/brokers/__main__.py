"""Runs the checks on every broker and writes their table into docs/mqtt.md: `make test-brokers`.

`make test-brokers ARGS="aedes RabbitMQ"` runs some, whose names begin like this, and writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from tests.brokers.brokers import ENTRIES, Entry
from tests.brokers.checks import House, run_checks
from tests.fixtures.netns import NetNs

DOCUMENT = Path(__file__).parents[2] / "docs/mqtt.md"
BEGIN, END = "<!-- made by `make test-brokers` -->\n", "<!-- end -->\n"


def main(names: list[str]) -> int:
    entries = [entry for entry in ENTRIES if not names or entry.name.startswith(tuple(names))]
    lines = ["| Broker | MQTT 5 | MQTT 3.1.1 | Checks that failed |", "|---|---|---|---|"]
    for entry in entries:
        lines.append(row(entry))
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    if not names:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, after = text.partition(BEGIN)[0], text.partition(END)[2]
        DOCUMENT.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after, encoding="utf-8")
    return 0


def row(entry: Entry) -> str:
    """Returns the line of one broker."""
    cells, failed = [], dict[str, None]()
    for protocol in ("5", "3.1.1"):
        try:
            outcomes = checked(entry, protocol)
        except pytest.skip.Exception as missing:
            return f"| {entry.name} | | | not run: {missing} |"
        except AssertionError as error:
            outcomes = {"start of the broker": str(error).splitlines()[0]}
        kept = sum(not reason for reason in outcomes.values())
        cells.append(f"{kept}/{len(outcomes)}" if outcomes else "not spoken")
        failed |= {name: None for name, reason in outcomes.items() if reason}
        sys.stderr.writelines(f"{entry.name}, {protocol}: {name}: {why}\n" for name, why in outcomes.items() if why)
    return f"| {entry.name} {entry.version()} | {' | '.join(cells)} | {', '.join(failed)} |"


def checked(entry: Entry, protocol: str) -> dict[str, str]:
    """Runs the checks on one broker, with one version of MQTT; none when the broker does not speak it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        netns, folder = NetNs(), Path(place)
        try:
            netns.ip("link set lo up", "link add e0 type veth peer name e1", "link set e0 up", "link set e1 up")
            (folder / "broker").mkdir()
            broker = entry.broker(protocol)(folder / "broker")
            try:
                netns.call(broker.start)
                house = House(netns, folder, broker, protocol)
                return run_checks(house) if house.is_spoken() else {}
            finally:
                broker.__exit__()
        finally:
            netns.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
