"""Checkpoints of the journal's write-ahead log: it stays small, and no commit waits for a reader."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from tests.fixtures.journal import begun, changes
from tests.fixtures.poll import wait_for


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the path of a journal whose log is due for a checkpoint after some hundred events."""
    for name, size in {"_DUE_BYTES": 1 << 18, "_MOST_BYTES": 1 << 19, "_STEP_BYTES": 1 << 17}.items():
        monkeypatch.setattr(f"publisher.journal.checkpoint.{name}", size)
    monkeypatch.setattr("publisher.journal.file._LOG_BYTES", 1 << 16)
    monkeypatch.setattr("publisher.journal.file._BUSY_SECONDS", 2.0)
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path, node="nas")) as journal:
        yield journal


def log_bytes(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_the_log_stays_small_under_a_stream_of_events(path: Path, journal: Journal) -> None:
    table = begun(journal)
    largest = 0
    for _ in range(200):
        journal.append(changes(table, 32))
        largest = max(largest, log_bytes(path))
        if log_bytes(path) > 1 << 20:
            # The other thread has not had its turn yet.
            wait_for(lambda: journal.append(changes(table, 1)) or log_bytes(path) <= 1 << 20)
    assert path.stat().st_size > 1 << 21
    assert largest < 1 << 22


def test_a_burst_leaves_no_large_log(path: Path) -> None:
    with closing(Journal.open(path, node="nas", max_bytes=4 << 20)) as journal:
        table = begun(journal)
        journal.append(changes(table, 2000))  # 1.4 MB, and the log may take 1 MiB
        assert log_bytes(path) > 1 << 20

        def is_cut() -> bool:
            journal.append(changes(table, 1))
            return log_bytes(path) <= 1 << 19

        wait_for(is_cut, what="the log to be cut by a commit")


def test_a_reader_without_an_end_holds_no_commit_up(
    path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    table = begun(journal)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        with caplog.at_level(logging.WARNING, "publisher.journal"):
            while log_bytes(path) < 1 << 22:
                journal.append(changes(table, 32))
            wait_for(lambda: caplog.records)
    assert len(caplog.records) == 1
    assert "another process has the journal open" in caplog.text
    wait_for(lambda: journal.append(changes(table, 1)) or log_bytes(path) < 1 << 19)


def test_a_log_whose_size_cannot_be_read_ends_neither_commits_nor_checkpoints(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = journal._file._checkpointer
    assert checkpointer is not None
    table = begun(journal)
    with monkeypatch.context() as broken:
        broken.setattr(checkpointer, "_log_path", f"{path}/no directory")
        journal.append(changes(table, 1))
        checkpointer._wanted.set()
        wait_for(lambda: not checkpointer._wanted.is_set())
    assert checkpointer._thread.is_alive()


def test_a_checkpoint_that_fails_is_made_later(path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    table = begun(journal)
    failed = threading.Event()

    def full(*_: object) -> bool:
        failed.set()
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("publisher.journal.checkpoint._checkpoint", full)
        while not failed.is_set():
            journal.append(changes(table, 32))
    wait_for(lambda: journal.append(changes(table, 1)) or log_bytes(path) < 1 << 18)


def test_a_log_that_was_emptied_keeps_its_space(path: Path, journal: Journal) -> None:
    """Others may fill the disk at any moment: without space in the log no commit would fit."""
    table = begun(journal)
    checkpointer = journal._file._checkpointer
    assert checkpointer is not None
    with checkpointer.paused():
        while log_bytes(path) < 1 << 19:
            journal.append(changes(table, 8))
    wait_for(lambda: journal.append(changes(table, 1)) or log_bytes(path) < 1 << 19)
    assert log_bytes(path) >= 1 << 16


def test_a_checkpoint_of_the_writer_waits_for_the_one_that_runs(journal: Journal) -> None:
    """Of two at once SQLite refuses the second, and the log would grow on."""
    table = begun(journal)
    checkpointer = journal._file._checkpointer
    assert checkpointer is not None
    journal.append(changes(table, 8))
    with checkpointer.paused():
        writer = threading.Thread(target=journal._file.empty_log)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
    writer.join(20)
    [[busy, pages, moved]] = journal._file.look("PRAGMA wal_checkpoint(PASSIVE)")
    assert (busy, pages - moved) == (0, 0)
