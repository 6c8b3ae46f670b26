"""A publisher that is stopped in order while no server answers ends in time, and its next run sends what is missing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.fixtures.nats import NatsCluster
from tests.fixtures.poll import wait_for
from tests.fixtures.program import journal_events
from tests.fleet.fleet import BUCKET, journal_end, journal_rows, state_of
from tests.fleet.judge import Judge
from tests.fleet.players import JOURNAL, RECORDING, SINK, Players
from tests.fleet.recordings import write_changes, write_rest
from tests.fleet.test_fleet import position_in
from tests.fleet.verdict import judged

if sys.platform == "win32":
    pytest.skip("Windows pauses no process", allow_module_level=True)

NODE = "node000"
# The sink waits so long for an answer, and a worker for its sink at most 5 s (design 10).
TIMEOUT = 30


def test_a_stop_while_no_server_answers_is_in_time_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / NODE).mkdir()
    recording, journal = tmp_path / NODE / RECORDING, tmp_path / NODE / JOURNAL
    write_changes(recording, Random(1), rows=4, seconds=300, every=0.02)
    with NatsCluster(tmp_path / "servers") as cluster:
        sink = {"type": "nats", "servers": cluster.urls, "bucket": BUCKET, "lease": "6s", "timeout": TIMEOUT}
        (tmp_path / SINK).write_text(json.dumps(sink))
        players = Players(tmp_path, [NODE])
        players.start()
        try:
            wait_for(lambda: cluster.leader_now(f"KV_{BUCKET}_status"), what="the streams")
            with Judge(cluster.urls, BUCKET) as judge:
                wait_for(lambda: sum(one.is_event for one in judge.stored) > 20, what="events in the bucket")
                for server in cluster.servers:
                    server.pause()
                at = journal_end(journal).seq
                wait_for(lambda: journal_end(journal).seq > at + 50, what="events that nobody takes")
                began = time.monotonic()
                players.end()
                assert time.monotonic() - began < TIMEOUT / 2
                for server in cluster.servers:
                    server.resume()
                rows = {f"{row.luid}.{row.family}": state_of(row) for row in write_rest(recording, Random(2), rows=4)}
                players.start()
                # Before that, the bucket may be at the end of a journal that goes on.
                wait_for(lambda: journal_rows(journal) == rows, what="the rows of the next run")
                wait_for(lambda: position_in(judge, NODE) == journal_end(journal), timeout=60, what="the rest")
                events = journal_events(journal)
                verdict = judged([one for one in judge.stored if one.node == NODE], journal_end(journal).epoch, events)
                assert verdict.is_good, verdict
                assert sum(one.is_event and one.seq > at for one in judge.stored) >= 50
        finally:
            players.kill()
