"""A journal that is only read: whoever looks changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.errors import JournalError
from publisher.journal.journal import Journal
from publisher.journal.lock import JournalLock
from publisher.journal.requests import JournalClient, Request
from publisher.journal.view import JournalView
from tests.fixtures.journal import begun, changes
from tests.fixtures.permissions import readable


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def look(path: Path) -> str:
    with closing(JournalClient.open(path)) as journal:
        assert (journal.seq, journal.dead_letters(), journal.load_luids()) == (0, [], [])
        return journal.epoch


def test_reading_a_closed_journal_makes_no_file_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with closing(Journal.open(path, node="nas")) as journal:
        epoch = journal.epoch
    before = contents(tmp_path)
    assert look(path) == epoch
    assert contents(tmp_path) == before


def test_reading_a_held_journal_sees_its_last_commit_and_changes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with closing(Journal.open(path, node="nas")) as journal:
        names = set(contents(tmp_path))
        assert look(path) == journal.epoch
        assert set(contents(tmp_path)) == names
        with closing(JournalClient.open(path)) as client:
            number = client.post(Request(kind="replay", sink="home"))
            assert client.done(number) is None
            journal.requests.answer(number, "done")
            assert client.done(number) == "done"


@pytest.mark.parametrize("held", [False, True], ids=["a command", "a service that was stopped meanwhile"])
def test_a_look_between_the_log_and_the_index_of_one_that_opens_or_closes_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    monkeypatch.setattr("publisher.journal.view._BETWEEN_SECONDS", 0.0 if held else 60.0)
    monkeypatch.setattr("publisher.journal.view._SERVICE_SECONDS", 60.0)
    path = tmp_path / "journal.sqlite3"
    Journal.open(path, node="nas").close()
    lock = JournalLock(path)
    if held:
        lock.acquire()
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(b"the first frame")
    stopped = threading.Timer(0.1, log.unlink)
    stopped.start()
    assert look(path)
    stopped.join()
    lock.release()


def test_an_empty_log_that_a_look_left_beside_a_closed_journal_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    Journal.open(path, node="nas").close()
    path.with_name(f"{path.name}-wal").touch()
    assert look(path)
    with closing(Journal.open(path, node="nas")) as journal:
        assert look(path) == journal.epoch


def test_a_journal_is_read_in_the_middle_of_a_checkpoint(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.sqlite3", tmp_path / "copy.sqlite3"
    with closing(Journal.open(path, node="nas")) as journal:
        journal.append(changes(begun(journal), 50))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # The first page is written before those that it counts.
        copy.write_bytes(path.read_bytes()[:4096])
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        shutil.copy(f"{path}-shm", f"{copy}-shm")
    with closing(JournalClient.open(copy)) as client:
        assert client.seq == 50


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError, match="certificate"):
        JournalView(path)
    assert path.read_bytes() == b"not a database" * 100


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A closed journal in a directory that this user may only read."""
    if sys.platform == "win32" or os.geteuid() == 0:
        pytest.skip("permissions do not bind this user")
    path = tmp_path / "state" / "journal.sqlite3"
    Journal.open(path, node="nas").close()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    yield path
    path.parent.chmod(0o700)


def test_a_closed_journal_is_read_without_the_right_to_write(read_only: Path) -> None:
    assert look(read_only)


def test_a_journal_that_may_not_be_read_is_an_error_that_says_so(read_only: Path) -> None:
    read_only.chmod(0)
    if readable(read_only):
        pytest.skip("capabilities give the right to read")
    with pytest.raises(JournalError, match=r"cannot be read: permission denied"):
        look(read_only)


def test_a_journal_after_a_crash_cannot_be_read_without_the_right_to_write(read_only: Path) -> None:
    read_only.parent.chmod(0o700)
    read_only.with_name(f"{read_only.name}-wal").write_bytes(b"the first frame")
    read_only.parent.chmod(0o500)
    with pytest.raises(JournalError, match=r"was not closed.*start the publisher once"):
        look(read_only)
