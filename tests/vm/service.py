"""`publisher run` in the guest, with a file sink on the disk that stays, and the events in its file."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from itertools import count

from publisher.events import Event, Interface
from tests.vm.guest import COMMAND_SECONDS, Guest
from tests.vm.kernel import CHECKOUT

CONFIGURATION = """\
node = "guest"
[journal]
path = "{journal}"
[sinks.log]
type = "file"
path = "/state/events.jsonl"
"""
RUN = f"echo $$ >pid; exec {shlex.quote(sys.executable)} -m publisher run >log 2>&1 </dev/null"
AWAIT_LINE = f"timeout {COMMAND_SECONDS - 5} bash {shlex.quote(str(CHECKOUT))}/tests/vm/inside/await_line.sh"


class GuestService:
    """The publisher of one boot, started and stopped any number of times.

    `settle` returns the events since the last time. It changes the MTU of a link of its own, `mark`, and waits for the
    event: what the kernel reported of any link before is in the file by then.
    """

    _mtus = count(1300)

    def __init__(self, guest: Guest, *sinks: str, journal: str = "/state/journal.sqlite3") -> None:
        self.guest = guest
        self.events: list[Event] = []
        """All events in the file, those of earlier boots too."""
        self._bytes = 0
        self._settled = 0
        text = "\n".join([CONFIGURATION.format(journal=journal), *sinks])
        guest.run("cat >publisher.toml && touch events.jsonl && ip link add mark type dummy", stdin=text)
        self._read()

    def start(self) -> list[Event]:
        """Starts it; returns the events until it follows the links: the snapshot, or what happened in its absence."""
        self._settled = len(self.events)
        self.guest.run(f"rm -f pid; sh -c {shlex.quote(RUN)} & until [ -s pid ]; do sleep 0.1; done")
        # The first mark may come before it listens.
        self._mark()
        self._mark()
        return self._new()

    def stop(self) -> None:
        """Stops it in good order."""
        self.guest.run(f"kill $(cat pid); timeout {COMMAND_SECONDS - 5} tail --follow --pid=$(cat pid) /dev/null")
        self._read()

    def settle(self) -> list[Event]:
        """Returns the events since the last time or the start."""
        self._mark()
        return self._new()

    def wait(self, pattern: str) -> None:
        """Waits for an event that no mark puts in order: its line in the file has this pattern of grep."""
        command = f"{AWAIT_LINE} events.jsonl {self._bytes + 1} $(cat pid) {shlex.quote(pattern)} || ! cat log"
        self.guest.run(command)
        self._read()

    def present(self) -> dict[str, Interface]:
        """Returns the interfaces that are there, by LUID."""
        return interfaces(self.events)

    def luids(self) -> dict[str, str]:
        """Returns the LUIDs of the interfaces that are there, by name."""
        present = self.present()
        luids = {interface.alias: luid for luid, interface in present.items()}
        assert len(luids) == len(present), f"an interface has two LUIDs: {sorted(present.items())}"
        return luids

    def complaints(self) -> list[str]:
        """Returns the warnings and errors that it has logged since its start."""
        return self.guest.run('grep -v \'"level": "info"\' log', check=False).splitlines()

    def _mark(self) -> None:
        mtu = next(self._mtus)
        self.guest.ip(f"link set mark mtu {mtu}")
        self.wait(f'"alias":"mark".*"mtu":{mtu}\\b')

    def _new(self) -> list[Event]:
        new = [event for event in self.events[self._settled :] if alias(event) != "mark"]
        self._settled = len(self.events)
        return new

    def _read(self) -> None:
        """Reads the new lines of the file; raises when one is no valid event."""
        text = self.guest.run(f"tail --bytes=+{self._bytes + 1} events.jsonl").encode()
        whole = text[: text.rfind(b"\n") + 1]
        self._bytes += len(whole)
        self.events += map(Event.from_json, whole.splitlines())


def interfaces(events: Sequence[Event]) -> dict[str, Interface]:
    """Returns the interfaces that are there after these events, by LUID."""
    rows: dict[tuple[str, str], Interface] = {}
    for event in events:
        if event.snapshot and event.snapshot.position == 0:
            rows.clear()
        elif event.luid is not None and event.family is not None and event.interface is not None:
            if event.notification_type == "delete_instance":
                del rows[event.luid, event.family]
            else:
                rows[event.luid, event.family] = event.interface
    return {luid: interface for (luid, _), interface in rows.items()}


def changed_members(events: Sequence[Event]) -> set[str]:
    """Returns the members that changed in these events; `addresses` for each address."""
    return {re.sub(r"^addresses\..*", "addresses", member) for event in events for member in event.changed}


def is_of_instance(event: Event) -> bool:
    """Returns whether an IP interface appeared or disappeared."""
    return event.notification_type in {"add_instance", "delete_instance"}


def alias(event: Event) -> str:
    """Returns the name of the event's interface; an empty one for the beginning of a snapshot."""
    return event.interface.alias if event.interface else ""
