"""Migrations: a journal that an older publisher wrote goes on, in place.

`version1.sqlite3` was written by the first code of 0.1.0 (commit 2c0ce4a): two interfaces, 21 events, two LUIDs, a
sink at its newest event, one that is owed a snapshot after event 12, one that ended, a dead letter and a request.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from publisher.errors import JournalError
from publisher.journal.journal import Journal
from publisher.journal.migrations import SCHEMA, VERSION
from publisher.journal.positions import SnapshotDue, Tail
from publisher.journal.requests import JournalClient, Request
from publisher.sink import Cursor
from publisher.testing.events import make_row

VERSION_1 = Path(__file__).with_name("version1.sqlite3")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy = tmp_path / "journal.sqlite3"
    shutil.copy(VERSION_1, copy)
    return copy


def test_the_journal_of_version_1_goes_on(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [[epoch]] = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchall()
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.epoch, journal.seq, journal.events.oldest) == (epoch, 21, 1)
        assert (journal.set_aside, journal.new_epoch_reason) == (None, None)
        events = journal.events.read(0, 99)
        assert [event.seq for event in events] == list(range(1, 22))
        assert [event.row and event.row.nl_mtu for event in events[:3]] == [1400, 1401, 1402]
        [row] = journal.rows() or []
        assert row.row == make_row("eth0", nl_mtu=1419).row
        assert journal.sink("log", "/var/log/out.jsonl").place()[0] == Tail(Cursor(epoch, 21))
        assert journal.sink("home", "mqtt://broker").place()[0] == SnapshotDue("overrun", 21, Cursor(epoch, 12))
        assert journal.sink("hook", "").ended("fingerprint") == "410 Gone"
        assert [letter.event.seq for letter in journal.dead_letters()] == [5]
        known = {luid.name: (luid.luid, luid.address.hex()) for luid in journal.luids.load_luids()}
        assert known == {b"eth0": ("0006008002000000", "525400123402"), b"eth1": ("0006008003000000", "")}
        assert [request for _, request in journal.requests.waiting()] == [Request(kind="replay", sink="log", since=3)]


def test_a_migrated_file_has_the_schema_of_a_new_one(path: Path) -> None:
    Journal.open(path, node="nas").close()
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(":memory:")) as made:
        made.executescript(SCHEMA)
        assert layout(migrated) == layout(made)
        assert migrated.execute("PRAGMA user_version").fetchone() == (VERSION,)


def layout(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Returns the columns of each table, as SQLite lists them."""
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [(name, str(connection.execute(f"PRAGMA table_info({name})").fetchall())) for (name,) in tables.fetchall()]


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("publisher.journal.migrations._STEPS", (fail,))
    with pytest.raises(JournalError, match="full"):
        Journal.open(path, node="nas")
    monkeypatch.undo()
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.seq == 21


# Kills itself in the middle of the last step of the migration, when each earlier one is done.
KILLED = """
import os, signal, sys
from pathlib import Path
from publisher.journal import migrations
from publisher.journal.journal import Journal
last = migrations._STEPS[-1]
def killed(connection):
    last(connection)
    connection.execute("PRAGMA cache_spill = 1")
    os.kill(os.getpid(), signal.SIGKILL)
migrations._STEPS = (*migrations._STEPS[:-1], killed)
Journal.open(Path(sys.argv[1]), node="nas")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_kill_in_the_middle_of_a_migration_leaves_the_old_journal_whole(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, path], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM cursors").fetchone() == (2,)
    test_the_journal_of_version_1_goes_on(path)


def test_who_only_looks_migrates_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"version 1.*start the publisher once"):
        JournalClient.open(path)
    assert path.read_bytes() == before


def test_the_journal_of_a_newer_publisher_is_an_error_and_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="version 99"):
        Journal.open(path, node="nas")
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.damaged-*")) == []


def test_the_size_of_the_events_is_right_after_a_migration(path: Path) -> None:
    Journal.open(path, node="nas").close()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT position, length(data) FROM events ORDER BY seq").fetchall()
    assert [after - before for (before, _), (after, _) in pairwise(found)] == [size for _, size in found[1:]]
    assert found[0][0] == found[0][1]
