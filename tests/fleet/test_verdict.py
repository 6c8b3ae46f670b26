"""The judge of a fleet notices each kind of mistake, and follows a stream that was put back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import nats
from nats.js.api import StreamConfig

from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fleet.judge import Judge, Stored
from tests.fleet.verdict import Verdict, judged

EPOCH, KEY = "01926f6e8c7e4b3f", "nas.0006008001000000.inet"
JOURNAL = {seq: b"event %d" % seq for seq in range(1, 6)}


def stored(*seqs: int, epoch: str = EPOCH) -> list[Stored]:
    """Returns the events of these seq, as the judge read them."""
    digests = [hashlib.sha256(JOURNAL[seq]).digest() for seq in seqs]
    return [
        Stored(n, KEY, digest, epoch, seq, False) for n, (seq, digest) in enumerate(zip(seqs, digests, strict=True))
    ]


def test_each_event_once_in_order_is_good() -> None:
    assert judged(stored(1, 2, 3, 4, 5), EPOCH, JOURNAL) == Verdict(events=5)


def test_a_hole_a_repeat_and_a_step_back_are_noticed() -> None:
    assert judged(stored(1, 2, 5), EPOCH, JOURNAL) == Verdict(events=3, lost=[3, 4])
    assert judged(stored(1, 2, 2, 3, 4, 5), EPOCH, JOURNAL) == Verdict(events=6, repeated=[2])
    assert judged(stored(1, 3, 2, 4, 5), EPOCH, JOURNAL) == Verdict(events=5, wrong=[2])


def test_other_bytes_and_another_epoch_are_noticed() -> None:
    assert judged(stored(1, 2, 3, 4, 5), EPOCH, JOURNAL | {3: b"other"}).wrong == [3]
    assert judged(stored(1, 2, 3, 4, 5, epoch="0"), EPOCH, JOURNAL).wrong == [1, 2, 3, 4, 5]


def test_events_are_due_from_the_first_snapshot_on_and_rows_are_none() -> None:
    row = Stored(0, KEY, b"", EPOCH, 2, True)
    assert judged([row, *stored(3, 4, 5)], EPOCH, JOURNAL) == Verdict(events=3, snapshots=1)
    assert judged([row, *stored(4, 5)], EPOCH, JOURNAL).lost == [3]
    # Rows in place of events heal a gap, and are a loss all the same.
    assert judged([row, *stored(3), row._replace(seq=4), *stored(5)], EPOCH, JOURNAL).lost == [4]


def test_the_judge_follows_a_stream_that_was_put_back(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "server") as server:
        asyncio.run(publish(server, [1, 2, 3], make=True))
        with Judge([server.url], "interfaces") as judge:
            wait_for(lambda: len(judge.stored) == 3, what="the first events")
            server.kill()
            server.copy_store(tmp_path / "copy")
            server.start()
            asyncio.run(publish(server, [4, 5]))
            wait_for(lambda: len(judge.stored) == 5, what="the events after the copy")
            server.kill()
            server.put_back(tmp_path / "copy")
            judge.put_back()
            server.start()
            asyncio.run(publish(server, [5]))
            wait_for(lambda: [one.seq for one in judge.stored] == [1, 2, 3, 5], what="the events that are there")
            assert judge.events_put_back == 2
            assert not judge.unread


def test_the_judge_notes_what_it_could_not_read(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        asyncio.run(publish(server, [1, 2, 3], make=True, history=1))
        with Judge([server.url], "interfaces") as judge:
            wait_for(lambda: [one.seq for one in judge.stored] == [3], what="the newest event")
            assert judge.unread == [range(1, 3)]


async def publish(server: NatsServer, seqs: Sequence[int], *, make: bool = False, history: int = -1) -> None:
    """Publishes events, to streams that are made before."""
    connection = await nats.connect(server.url, connect_timeout=30)
    stream = connection.jetstream(timeout=30)
    for name in ("interfaces", "interfaces_status") if make else ():
        await stream.add_stream(
            StreamConfig(name=f"KV_{name}", subjects=[f"$KV.{name}.>"], max_msgs_per_subject=history)
        )
    for seq in seqs:
        await stream.publish(f"$KV.interfaces.{KEY}", json.dumps({"epoch": EPOCH, "seq": seq}).encode())
    await connection.close()
