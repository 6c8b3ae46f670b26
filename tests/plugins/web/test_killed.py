"""`kill -9` of the publisher under changes: a viewer that returns gets each event once, in order."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.faults import changing, kill_at_random
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Changes, Program, journal_events
from tests.fixtures.sse import SseClient

if sys.platform == "win32":
    pytest.skip("Windows has neither network namespaces nor SIGKILL", allow_module_level=True)

PORT = 8780
SINK = f"""
[sinks.web]
type = "web"
address = "127.0.0.1:{PORT}"
"""
KILLS = 6


@pytest.mark.timeout(300)
def test_a_viewer_gets_each_event_once_over_kills(netns: NetNs, tmp_path: Path) -> None:
    netns.ip("link set lo up", *(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
    program, chance = Program(netns, tmp_path, SINK), random.Random(14)
    viewed: list[SseClient] = []
    last: str | None = None
    with contextlib.ExitStack() as close:
        with contextlib.closing(Changes(netns)) as changes, changing(partial(changes.make, 1), pause=0.01):
            for _ in range(KILLS):
                process = program.start()
                try:
                    viewed.append(close.enter_context(opened(netns, last)))
                    wanted = chance.randint(1, 60)
                    viewed[-1].until_changes(wanted)
                    kill_at_random(process, chance, within=0.06)
                    viewed[-1].until_closed()
                finally:
                    process.kill()
                    process.wait()
                last = viewed[-1].last_id
        # When it was killed just after the last event was in the file, the next start would have nothing new.
        netns.ip("link set f0 mtu 1290")
        with program.running():
            program.mark(1400)
            kept = journal_events(program.journal)
            viewed.append(close.enter_context(opened(netns, last)))
            viewed[-1].until_change(max(kept))
    seen = [seq for one in viewed for seq in one.seqs]
    assert seen == list(range(seen[0], max(kept) + 1)), "each once, in order, over all kills"
    assert [one.snapshots for one in viewed] == [1] + [0] * KILLS, "only the first one needs the rows"


def opened(netns: NetNs, last_id: str | None) -> SseClient:
    """Returns a connection to the page, as soon as that is open."""

    def dial(port: int) -> socket.socket:
        return netns.call(socket.create_connection, ("127.0.0.1", port), 10)

    def connected() -> SseClient | None:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        with contextlib.suppress(ConnectionError):
            return SseClient(PORT, headers=headers, dial=dial)
        return None

    return wait_for(connected, what="the page")
