"""No id is used twice: a journal that went back, however it did, begins a new epoch that sorts after the old one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from publisher.errors import JournalError, JournalInUseError
from publisher.journal.journal import Journal
from publisher.journal.mark import JournalMark, MarkFile
from tests.fixtures.journal import begun, changes, crash
from tests.journal.test_migrations import VERSION_1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class Ids:
    """The ids that subscribers saw, each with what it said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: dict[str, object] = {}
        self.epochs: list[str] = []

    def write(self, count: int, *, end: Callable[[Journal], None] = Journal.close) -> Journal:
        """Writes events as a publisher from start to end; each must have an id of its own."""
        journal = Journal.open(self.path, node="nas")
        table = begun(journal)
        made = changes(table, count)
        journal.append(made)
        for event in journal.events.read(journal.seq - count, count):
            assert event.id not in self.said, "an id is used twice"
            self.said[event.id] = event.row
        if not self.epochs or journal.epoch != self.epochs[-1]:
            self.epochs.append(journal.epoch)
        end(journal)
        return journal


def lose_the_log(path: Path, _: Path) -> None:
    beside(path, "-wal").unlink()


def restore_main_file(path: Path, backup: Path) -> None:
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    shutil.copy2(backup / path.name, path)


def restore_main_file_alone(path: Path, backup: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    shutil.copy2(backup / path.name, path)


def restore_directory(path: Path, backup: Path) -> None:
    shutil.rmtree(path.parent)
    shutil.copytree(backup, path.parent)


def restore_into_the_same_files(path: Path, backup: Path) -> None:
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    for file in backup.iterdir():
        with (path.parent / file.name).open("r+b" if (path.parent / file.name).exists() else "wb") as there:
            there.write(file.read_bytes())
            there.truncate()


def restore_without_the_lock(path: Path, backup: Path) -> None:
    restore_directory(path, backup)
    beside(path, ".lock").unlink()


def lose_the_lock(path: Path, _: Path) -> None:
    beside(path, ".lock").unlink()


def lose_the_mark(path: Path, _: Path) -> None:
    beside(path, ".mark").unlink()


def tear_the_mark(path: Path, _: Path) -> None:
    data = bytearray(beside(path, ".mark").read_bytes())
    data[40] ^= 1
    beside(path, ".mark").write_bytes(data)


ACCIDENTS = [
    lose_the_log, restore_main_file, restore_main_file_alone, restore_directory, restore_into_the_same_files,
    restore_without_the_lock, lose_the_lock, lose_the_mark, tear_the_mark,
]  # fmt: skip


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("end", [Journal.close, crash], ids=["closed", "killed"])
@pytest.mark.parametrize("hot", [False, True], ids=["cold", "hot"])
def test_no_id_is_used_twice_when_the_journal_goes_back(
    tmp_path: Path, path: Path, accident: Callable[[Path, Path], None], end: Callable[[Journal], None], hot: bool
) -> None:
    """The backup is made of a closed journal (cold) or of one that runs (hot)."""
    ids, backup, killed = Ids(path), tmp_path / "backup", tmp_path / "killed"
    ids.write(5)
    if not hot:
        shutil.copytree(path.parent, backup)

    def finish(journal: Journal) -> None:
        if hot:
            shutil.copytree(path.parent, backup)
            journal.append(changes(begun(journal), 4))
            ids.said |= {event.id: event.row for event in journal.events.read(0, 99)}
        if end is crash:
            # The closing of the last connection empties the log; a kill leaves it.
            shutil.copytree(path.parent, killed)
        end(journal)
        if end is crash:
            for suffix in ("", "-wal", "-shm"):
                with beside(path, suffix).open("wb") as there:
                    there.write(beside(killed / path.name, suffix).read_bytes())

    ids.write(5, end=finish)
    if accident is lose_the_log and end is Journal.close:
        pytest.skip("a closed journal has no log")
    accident(path, backup)
    ids.write(8)
    ids.write(8)
    assert len(ids.epochs) == 2, "one new epoch, which then goes on"
    assert ids.epochs == sorted(ids.epochs)


def test_a_journal_that_was_killed_while_all_is_there_goes_on(path: Path) -> None:
    ids = Ids(path)
    for end in (crash, Journal.close, crash, crash, Journal.close):
        ids.write(3, end=end)
    assert len(ids.epochs) == 1
    assert len(ids.said) == 15


def test_a_moved_directory_goes_on(tmp_path: Path, path: Path) -> None:
    ids = Ids(path)
    ids.write(3)
    path.parent.rename(tmp_path / "moved")
    ids.path = tmp_path / "moved" / path.name
    ids.write(3)
    assert len(ids.epochs) == 1


def test_a_refused_start_costs_no_epoch(path: Path) -> None:
    """Neither of a second publisher nor of an older one that finds a journal of a newer version."""
    ids = Ids(path)

    def refuse(journal: Journal) -> None:
        with pytest.raises(JournalInUseError):
            Journal.open(path, node="nas")
        journal.close()

    ids.write(3, end=refuse)
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="version 99"):
        Journal.open(path, node="nas")
    path.write_bytes(before)
    ids.write(3)
    assert len(ids.epochs) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither os.fork nor SIGKILL")
def test_a_kill_while_the_journal_is_being_opened_costs_no_epoch(path: Path) -> None:
    ids = Ids(path)
    ids.write(3)
    for step in ("publisher.lock.FileLock.sign", "publisher.journal.mark.MarkFile.write", "sqlite3.connect"):
        done = subprocess.run([sys.executable, "-c", KILLED, path, step], capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        ids.write(3)
    assert len(ids.epochs) == 1


# Kills itself right after the function was called for the first time.
KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from publisher.journal.journal import Journal
where, _, name = sys.argv[2].rpartition(".")
module, _, cls = where.rpartition(".")
owner = getattr(importlib.import_module(module), cls) if module else importlib.import_module(where)
real = getattr(owner, name)
def killed(*args, **options):
    real(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
Journal.open(Path(sys.argv[1]), node="nas")
"""


def test_a_new_epoch_is_greater_though_the_clock_is_in_1970(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = Ids(path)
    ids.write(3)
    monkeypatch.setattr("publisher.table.time.time_ns", lambda: 77_000_000_000)
    for suffix in ("", ".mark", ".lock"):
        if suffix:
            beside(path, suffix).unlink()
        else:
            path.write_bytes(bytes(5000))
        ids.write(3)
    assert len(ids.epochs) == 4
    assert ids.epochs == sorted(ids.epochs)


def test_an_epoch_of_a_damaged_journal_without_a_mark_is_still_known(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = Ids(path)
    ids.write(3)
    beside(path, ".mark").unlink()
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x07")
    monkeypatch.setattr("publisher.table.time.time_ns", lambda: 77_000_000_000)
    ids.write(3)
    assert ids.epochs == sorted(ids.epochs)


def test_an_unsynced_mark_is_no_reason_to_go_on_after_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may take the log, and leave a database that was closed before, and a mark from the start."""
    ids = Ids(path)
    ids.write(3)
    before = path.read_bytes()

    def cut(journal: Journal) -> None:
        mark = beside(path, ".mark").read_bytes()
        crash(journal)
        beside(path, ".mark").write_bytes(mark)
        path.write_bytes(before)

    ids.write(3, end=cut)
    monkeypatch.setattr("publisher.journal.beginning.boot_id", lambda: "another boot")
    ids.write(3)
    assert len(ids.epochs) == 2


def test_an_older_journal_has_no_mark_and_goes_on_with_one(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(VERSION_1, path)
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.new_epoch_reason) == (21, None)
        mark = MarkFile(path).read()
        assert mark
        assert (mark.state, mark.epoch, mark.seq) == ("open", journal.epoch, 21)
    mark = MarkFile(path).read()
    assert mark
    assert mark.state == "closed"


@pytest.mark.parametrize("data", [b"", b"\0" * 200, b"ipj-mark", b"\xff" * 4096])
def test_what_is_no_mark_is_none(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    beside(path, ".mark").write_bytes(data)
    assert MarkFile(path).read() is None


def test_a_mark_is_read_as_it_was_written(path: Path) -> None:
    path.parent.mkdir()
    file = MarkFile(path)
    for mark in (JournalMark(), JournalMark("closed", "f" * 16, 10**15, "0b-1", 10**18, 7)):
        file.write(mark)
        assert file.read() == mark
    file.release()


def test_a_mark_that_the_disk_does_not_take_stops_no_event(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        table = begun(journal)

        def refused(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(journal._mark, "_put", refused)
        for event in changes(table, 3):
            journal.append([event])
        monkeypatch.undo()
    assert len(caplog.records) == 1
    assert "Input/output error" in caplog.text


SECOND = """
import sys
from pathlib import Path
from publisher.journal.journal import Journal
Journal.open(Path(sys.argv[1]), node="nas")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Windows refuses to remove an open file")
def test_without_its_lock_file_a_held_journal_still_refuses_a_second_publisher(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        beside(path, ".lock").unlink()
        done = subprocess.run([sys.executable, "-c", SECOND, path], capture_output=True, text=True, check=False)
        assert "in use by another publisher" in done.stderr
        journal.append(changes(begun(journal), 3))
        journal.commit()
        assert beside(path, ".lock").exists()
        done = subprocess.run([sys.executable, "-c", SECOND, path], capture_output=True, text=True, check=False)
        assert f"process {os.getpid()}" in done.stderr
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.new_epoch_reason) == (3, None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses to remove an open file")
@pytest.mark.parametrize("remove", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_directory_that_is_removed_under_a_publisher_is_noticed(path: Path, remove: Callable[[Path], None]) -> None:
    journal = Journal.open(path, node="nas")
    remove(path.parent)
    with pytest.raises(JournalError, match=r"was removed or replaced.*start the publisher again"):
        journal.commit()
    journal.close()
    with closing(Journal.open(path, node="nas")) as again:
        assert again.epoch > journal.epoch
