"""`kill -9` at any moment: no committed event is lost, no position is ahead of its sink, no id is used twice."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from tests.faults import Forks, kill_at_random
from tests.fixtures.journal_writers import worker_to
from tests.fixtures.pipeline import confirmed
from tests.fixtures.poll import wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither os.fork nor SIGKILL")

ROUNDS = 100


@pytest.fixture
def writers() -> Iterator[Forks]:
    with closing(Forks("tests.fixtures.journal_writers")) as started:
        yield started


def kill_one(writers: Forks, directory: Path, chance: random.Random) -> None:
    """Starts a publisher and kills it soon after it began to append."""
    committed = directory / "committed"
    before = committed.stat().st_size if committed.exists() else 0
    writer = writers.start(str(directory))
    wait_for(lambda: committed.exists() and committed.stat().st_size > before, what="the first append")
    kill_at_random(writer, chance, within=0.06)
    assert writer.wait() == -9


def lines(path: Path) -> list[tuple[str, int, str, str]]:
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    fields = [line.split() for line in whole.splitlines()]
    return [(kind, int(seq), event_id, metric) for kind, seq, event_id, metric in fields]


def check(directory: Path) -> None:
    """Checks what must hold after each kill."""
    with closing(opened(directory)) as journal:
        [*_, last_committed] = map(int, (directory / "committed").read_text().splitlines())
        assert (journal.set_aside, journal.seq >= last_committed) == (None, True)
        kept = journal.events.read(0, 1_000_000)
        assert [event.seq for event in kept] == list(range(1, journal.seq + 1))
        rows = journal.rows()
        assert rows
        assert rows[0].row == kept[-1].row
        delivered = lines(directory / "delivered")
        cursor = confirmed(journal, "lines")
        assert cursor is not None or not delivered, "what was sent has a position"
        if cursor is not None:
            assert cursor.epoch == journal.epoch
            assert not delivered or cursor.seq <= max(seq for _, seq, _, _ in delivered)


def opened(directory: Path) -> Journal:
    return Journal.open(directory / "journal.db", node="nas", max_events=1_000_000)


def test_a_kill_loses_nothing_and_repeats_at_most_the_last_batch(
    tmp_path: Path, writers: Forks, count: Callable[[int], int]
) -> None:
    chance = random.Random(7)
    for _ in range(count(ROUNDS)):
        kill_one(writers, tmp_path, chance)
        check(tmp_path)
    with closing(opened(tmp_path)) as journal:
        worker = worker_to(tmp_path / "delivered", journal)
        wait_for(lambda: worker.status().behind == 0 and worker.status().state == "following")
        assert worker.stop(5.0)
        events = {event.id: event.row.metric for event in journal.events.read(0, 1_000_000) if event.row}
    first, *_ = delivered = lines(tmp_path / "delivered")
    tail = [line for line in delivered if line[0] == "event"]
    assert first[0] == "event" or tail[0][1] == first[1] + 1, "each event since the first row, in whichever process"
    assert {event_id: int(metric) for _, _, event_id, metric in tail} == {
        event_id: metric for event_id, metric in events.items() if event_id >= tail[0][2]
    }, "each event that followed the first snapshot, and each id one event"
    newest = tail[0][1] - 1
    for _, seq, _, _ in tail:
        assert newest - 256 <= seq <= newest + 1, "in order, but for a batch that is sent again"
        newest = max(newest, seq)
