"""Damage of every kind: whatever is in the file, the publisher starts, and what comes out is valid."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from publisher.errors import JournalDamagedError
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.journal.mark import MarkFile
from publisher.journal.migrations import VERSION
from publisher.journal.places import RetainedPlace
from publisher.journal.positions import ResendEvents, SnapshotDue, Tail
from publisher.journal.requests import JournalClient, Request
from publisher.sink import Cursor
from publisher.sources import Upsert
from publisher.sources.assignments import LuidAssignment
from tests.fixtures.journal import ETH0, begun, changes, crash


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def fill(path: Path, events: int = 40) -> Journal:
    """Returns an open journal with something in each table."""
    journal = Journal.open(path, node="nas")
    table = begun(journal)
    journal.append(changes(table, events))
    journal.luids.save_luids([LuidAssignment(ETH0.luid, "", b"eth0", b"eth0")])
    journal.places.record([RetainedPlace(type="mqtt", place="there nas", sink="home", node="nas", options={})])
    home = journal.sink("home", "there")
    home.report(Tail(Cursor(journal.epoch, 3)))
    journal.sink("hook", "").report(SnapshotDue("overrun", 2, Cursor(journal.epoch, 2)))
    for event in journal.events.read(5, 2):
        home.add_dead_letter(event, "400")
    home.end("fingerprint", "410 Gone")
    journal.requests.put_status({"pid": 1})
    journal.append((), {"home": ResendEvents(3)})
    with closing(JournalClient.open(path)) as client:
        client.post(Request(kind="replay", sink="home"))
    journal.append(changes(table, 2))
    return journal


@dataclass(frozen=True)
class Outcome:
    set_aside: bool
    new_epoch: bool
    events: list[Event]


def use(path: Path) -> Outcome:
    """Starts a publisher, reads everything as it does, and writes."""
    with closing(Journal.open(path, node="nas")) as journal:
        events: list[Event] = []
        for seq in range(journal.events.oldest - 1, journal.seq):
            # A sink that meets such an event gets the snapshot.
            with suppress(JournalDamagedError):
                events += journal.events.read(seq, 1)
        for row in journal.rows() or []:
            journal.append(begun(journal).apply(Upsert(row)))
        journal.luids.load_luids()
        journal.places.all()
        assert all(event.epoch == journal.epoch for event in events)
        for sink in ("home", "hook"):
            part = journal.sink(sink, "there")
            part.place()
            part.ended("fingerprint")
            letter = part.next_dead_letter(0)
            part.count_dead_letters()
            if letter:
                part.remove_dead_letter(letter.id)
            part.report(Tail(Cursor(journal.epoch, journal.seq)))
        for number, _ in journal.requests.waiting():
            journal.requests.answer(number, "done", "home", ResendEvents(1))
        journal.requests.put_status({"pid": 2})
        journal.append(changes(begun(journal), 3))
        assert len(journal.snapshot()) == len(journal.rows() or []) + 1
        outcome = Outcome(journal.set_aside is not None, journal.new_epoch_reason is not None, events)
    with closing(JournalClient.open(path)) as client:
        client.dead_letters()
        client.rows()
    return outcome


def starts(path: Path) -> Outcome:
    """Checks that the publisher starts for good: damage that shows while it runs is set aside at the next start."""
    outcomes: list[Outcome] = []
    failed = False
    while len(outcomes) < 3:
        try:
            outcomes.append(use(path))
        except JournalDamagedError:
            assert not failed
            failed = True
        else:
            assert outcomes[-1].set_aside or not failed
            failed = False
    assert sum(outcome.set_aside for outcome in outcomes) <= 1
    assert not outcomes[-1].set_aside
    return next((outcome for outcome in outcomes if outcome.set_aside), outcomes[0])


OTHER_ID = """UPDATE events SET data = replace(data, '{"schema_version":1,"id":"0', '{"schema_version":1,"id":"1')"""
SETS_ASIDE = [
    "UPDATE meta SET name = 'clear' WHERE name = 'clean'",
    "UPDATE meta SET name = 'root' WHERE name = 'boot'",
    "UPDATE meta SET name = 'mode' WHERE name = 'node'",
    "DELETE FROM meta",
    "UPDATE meta SET value = 'zzzz' WHERE name = 'epoch'",
    "UPDATE meta SET value = '3' WHERE name = 'clean'",
    "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE name = 'node'",
    "DROP TABLE luids",
    "DROP TABLE events",
    "DROP TABLE requests",
    "ALTER TABLE luids RENAME COLUMN seen TO sefn",
    "DROP TABLE places",
    "ALTER TABLE positions RENAME COLUMN position TO pofition",
    "ALTER TABLE status ADD COLUMN more",
    "DROP INDEX dead_letters_of_sink",
    "UPDATE rows SET data = '{\"row\": 1}'",
    "UPDATE rows SET data = 17",
    "UPDATE rows SET data = x'ff'",
    "UPDATE rows SET family = 'inet9'",
    "UPDATE rows SET luid = x'00' WHERE luid = (SELECT min(luid) FROM rows)",
    "UPDATE events SET data = '[' WHERE seq = (SELECT max(seq) FROM events)",
    "UPDATE events SET position = 'here' WHERE seq = (SELECT max(seq) FROM events)",
    "UPDATE events SET seq = 9999 WHERE seq = (SELECT max(seq) FROM events)",
    f"{OTHER_ID} WHERE seq = (SELECT max(seq) FROM events)",
    "PRAGMA user_version = 0",
    "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    "UPDATE sqlite_sequence SET seq = 1e999",
    "UPDATE dead_letters SET id = 9223372036854775807 WHERE id = 1",
    "UPDATE requests SET id = 9223372036854775807",
    "UPDATE resends SET id = 9223372036854775807 WHERE id = (SELECT max(id) FROM resends)",
]
GOES_ON = [
    "UPDATE positions SET position = 'nowhere'",
    "UPDATE positions SET position = 7",
    "UPDATE positions SET position = x'ff'",
    'UPDATE positions SET position = \'{"state":"tail","confirmed":["zz",-1]}\'',
    "UPDATE positions SET sink = x'ff' WHERE sink = 'home'",
    "UPDATE resends SET data = 'again'",
    "UPDATE resends SET data = 1.5",
    "UPDATE requests SET data = 'no JSON'",
    "UPDATE requests SET data = 7",
    "UPDATE requests SET data = x'ff'",
    'UPDATE requests SET data = \'{"kind":"replay","sink":"home","urgent":true}\'',
    "UPDATE dead_letters SET data = '{}'",
    "UPDATE dead_letters SET data = 7",
    "UPDATE dead_letters SET time = 'yesterday', reason = x'ff'",
    "UPDATE dead_letters SET sink = CAST(x'ff' AS TEXT) WHERE id = 1",
    "UPDATE dead_letters SET time = 1e999 WHERE id = 1",
    "UPDATE dead_letters SET data = CAST(x'ff' AS TEXT)",
    "UPDATE ended SET fingerprint = 7, reason = x'ff'",
    "UPDATE status SET data = 'no JSON'",
    "UPDATE events SET data = '{}' WHERE seq = 20",
    "UPDATE events SET data = 9 WHERE seq = 20",
    f"{OTHER_ID} WHERE seq = 20",
    "CREATE TABLE notes (text)",
    "UPDATE luids SET luid = 'no LUID'",
    "UPDATE luids SET luid = CAST(x'ff00' AS TEXT)",
    "UPDATE luids SET kind = CAST(x'ff' AS TEXT)",
    "UPDATE luids SET name = 7",
    "UPDATE luids SET seen = 'yesterday'",
    "UPDATE places SET options = '['",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize("sql", SETS_ASIDE)
def test_what_cannot_be_used_is_set_aside_and_a_new_epoch_begins(path: Path, sql: str) -> None:
    fill(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
    outcome = starts(path)
    assert (outcome.set_aside, outcome.new_epoch) == (True, True)


@pytest.mark.parametrize("sql", GOES_ON)
def test_what_concerns_one_sink_or_request_is_left_behind_and_the_rest_goes_on(path: Path, sql: str) -> None:
    fill(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
    outcome = starts(path)
    assert (outcome.set_aside, outcome.new_epoch) == (False, False)
    assert len(outcome.events) == (41 if "UPDATE events" in sql else 42)


@pytest.mark.parametrize(
    "sql",
    [
        *(f"PRAGMA user_version = {version}" for version in range(1, VERSION)),
        "UPDATE places SET sink = CAST(x'ff' AS TEXT)",
        "CREATE TRIGGER one AFTER INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
def test_whatever_else_is_in_it_the_publisher_starts(path: Path, sql: str) -> None:
    fill(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)
    starts(path)


def test_what_is_valid_is_salvaged(path: Path) -> None:
    fill(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO luids SELECT 'no LUID', kind, name, first_name, address, port, 0, 0 FROM luids")
        connection.execute("UPDATE rows SET data = '{}'")
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.set_aside
        assert [entry.luid for entry in journal.luids.load_luids()] == [ETH0.luid]
        assert [entry.place for entry in journal.places.all()] == ["there nas"]


def test_damage_found_by_a_sink_ends_the_publisher_and_is_set_aside_at_the_next_start(path: Path) -> None:
    journal = fill(path, 3000)
    crash(journal)
    journal = Journal.open(path, node="nas")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + random.Random(1).randbytes(20_000) + content[middle + 20_000 :])
    with pytest.raises(JournalDamagedError):
        journal.events.read(0, 3000)
    with pytest.raises(JournalDamagedError, match="set aside at the next start"):
        journal.commit()
    with suppress(JournalDamagedError):
        journal.close()
    assert use(path).set_aside


def flips(chance: random.Random, size: int, count: int) -> Iterator[int]:
    """Returns bits: half of them anywhere, half where the structure of a small journal lies."""
    for number in range(count):
        yield chance.randrange(8 * (size if number % 2 else min(size, 32 << 10)))


def put_back(path: Path, files: dict[str, bytes]) -> None:
    """Makes the journal what it was: as if nothing was restored, by a mark with the time of the lock file."""
    for file in path.parent.iterdir():
        if file.suffix != ".lock":
            file.unlink()
    for suffix, content in files.items():
        beside(path, suffix).write_bytes(content)
    marks = MarkFile(path)
    mark = marks.read()
    assert mark
    marks.write(replace(mark, anchor=beside(path, ".lock").stat().st_ctime_ns))
    marks.release()


FLIPPED = [("", Journal.close), ("", crash), ("-wal", crash)]


@pytest.mark.parametrize(("suffix", "end"), FLIPPED)
def test_after_any_bit_flip_the_publisher_starts_and_what_comes_out_is_valid(
    path: Path, suffix: str, end: Callable[[Journal], None]
) -> None:
    """Few bits: tests/once flips more."""
    assert len(outcomes_of_flips(path, suffix, end, 8)) == 8


def outcomes_of_flips(path: Path, suffix: str, end: Callable[[Journal], None], count: int) -> list[Outcome]:
    """Flips so many bits of a file of the journal, one at a time, and checks what comes out each time."""
    journal = fill(path)
    if end is crash:
        # What is in the database already, and what is in the log only.
        journal.close()
        journal = Journal.open(path, node="nas")
        journal.append(changes(begun(journal), 5))
    whole = {event.id for event in journal.events.read(0, 99)}
    if end is Journal.close:
        end(journal)
    # Taken before the closing of the last connection empties the log, which a kill does not.
    there = [name for name in ("", "-wal", "-shm", ".mark") if beside(path, name).exists()]
    files = {name: beside(path, name).read_bytes() for name in there}
    if end is crash:
        end(journal)
    chance = random.Random(suffix + end.__name__)
    outcomes: list[Outcome] = []
    for bit in flips(chance, len(files[suffix]), count):
        data = bytearray(files[suffix])
        data[bit // 8] ^= 1 << bit % 8
        put_back(path, files | {suffix: bytes(data)})
        try:
            outcome = starts(path)
        except Exception as error:
            raise AssertionError(f"bit {bit % 8} of byte {bit // 8}") from error
        assert {event.id for event in outcome.events} <= whole
        outcomes.append(outcome)
    return outcomes
