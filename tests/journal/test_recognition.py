"""Whose file it is: only a journal of ours is ever changed or set aside."""

from __future__ import annotations

import io
import os
import socket
import sqlite3
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from publisher.errors import JournalError
from publisher.journal.journal import Journal
from publisher.journal.migrations import APPLICATION_ID, VERSION
from publisher.journal.recognition import refuse_foreign
from publisher.journal.requests import JournalClient
from tests.fixtures.journal import begun, changes, crash
from tests.fixtures.permissions import readable

Made = tuple[tuple[str, int, int, bytes], ...]


def text(path: Path) -> None:
    path.write_text("[sinks.home]\n" * 3)


def one_byte(path: Path) -> None:
    path.write_bytes(b"\n")


def certificate(path: Path) -> None:
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + b"A" * 5000)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(8192))


def database(path: Path, *, application: int = 0, wal: bool = False) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA application_id = {application}")
        if wal:
            connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB)")
        connection.execute("INSERT INTO events (data) VALUES (?)", (b"theirs" * 900,))


def database_in_wal_mode(path: Path) -> None:
    database(path, wal=True)


def database_of_another_program(path: Path) -> None:
    database(path, application=7)


def killed_database(path: Path) -> None:
    """A database whose program was killed: the newest commits are in its log."""
    other = path.with_name("other")
    database(other, wal=True)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("INSERT INTO events (data) VALUES (?)", (b"newest",))
        connection.commit()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).write_bytes(other.with_name(other.name + suffix).read_bytes())
    other.unlink()


def journal_with_another_application_id(path: Path) -> None:
    Journal.open(path, node="nas").close()
    for beside in (".lock", ".mark"):
        path.with_name(path.name + beside).unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA application_id = 7")


def journal_of_a_newer_publisher(path: Path) -> None:
    Journal.open(path, node="nas").close()
    for beside in (".lock", ".mark"):
        path.with_name(path.name + beside).unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def newer_version_in_the_log(path: Path) -> None:
    """A newer publisher was killed before its migration reached the database."""
    journal_of_a_newer_publisher(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA user_version = {VERSION}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        copies = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal", "-shm")}
    for name, content in copies.items():
        path.with_name(path.name + name).write_bytes(content)


def directory(path: Path) -> None:
    path.mkdir()


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/null")


def link_to_a_certificate(path: Path) -> None:
    certificate(path.with_name("cert.pem"))
    path.symlink_to("cert.pem")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


ANYWHERE = [
    text, one_byte, certificate, zeros, database, database_in_wal_mode, database_of_another_program, killed_database,
    journal_with_another_application_id, journal_of_a_newer_publisher, newer_version_in_the_log, directory,
]  # fmt: skip

if sys.platform == "win32":
    FOREIGN = ANYWHERE
else:

    def pipe(path: Path) -> None:
        os.mkfifo(path)

    def listening_socket(path: Path) -> None:
        with closing(socket.socket(socket.AF_UNIX)) as unix:
            unix.bind(path.name)  # a socket's path has at most 107 bytes

    FOREIGN = [*ANYWHERE, pipe, listening_socket, link_to_a_device, link_to_a_certificate, link_to_itself]


def made(folder: Path) -> Made:
    """Returns every file with its mode, time and content."""
    return tuple(
        (path.name, status.st_mode, status.st_mtime_ns,
         path.read_bytes() if stat.S_ISREG(status.st_mode) else b"")
        for path in sorted(folder.iterdir())
        for status in [path.lstat()]
    )  # fmt: skip


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("look", [False, True], ids=["run", "look"])
def test_a_file_that_is_no_journal_is_an_error_and_nothing_is_touched(
    tmp_path: Path, foreign: Callable[[Path], None], look: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state.db"
    foreign(path)
    before = made(tmp_path)
    with pytest.raises(JournalError) as error:
        (JournalClient.open(path) if look else Journal.open(path, node="nas")).close()
    assert "state.db" in str(error.value) or "cert.pem" in str(error.value)
    assert made(tmp_path) == before


@pytest.mark.parametrize(
    ("foreign", "found"),
    [
        (certificate, "no database"),
        (database, "a database of another program"),
        (directory, "a directory"),
        (journal_of_a_newer_publisher, rf"newer publisher, in version {VERSION + 1}, .* up to {VERSION}"),
    ],
)
def test_the_error_names_the_path_what_it_is_and_the_remedy(
    tmp_path: Path, foreign: Callable[[Path], None], found: str
) -> None:
    foreign(tmp_path / "state.db")
    with pytest.raises(JournalError, match=rf"state\.db .*{found}.* left as it is: .*journal\.path"):
        Journal.open(tmp_path / "state.db", node="nas")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no user ids")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    text(path)
    path.chmod(0)
    if readable(path):
        pytest.skip("permissions do not bind this user")
    with pytest.raises(JournalError, match=r"state\.db.*Permission denied"):
        Journal.open(path, node="nas")
    assert sorted(tmp_path.iterdir()) == [path]


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.set_aside, journal.new_epoch_reason) == (None, "there was no journal")


def test_the_journal_is_known_as_ours_before_its_log_was_ever_moved_into_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(Journal.open(path, node="nas")) as journal:
        journal.append(changes(begun(journal), 3))
        assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4)
        copy = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")}
        # As the first code wrote it: the number is in the log only.
        main = bytearray(copy[""])
        main[60:64] = main[68:72] = bytes(4)
    old = tmp_path / "old" / "state.db"
    old.parent.mkdir()
    old.write_bytes(main)
    old.with_name("state.db-wal").write_bytes(copy["-wal"])
    with closing(Journal.open(old, node="nas")) as journal:
        assert journal.set_aside is None
        assert journal.rows()


@pytest.mark.parametrize("offset", [0, 5, 18, 19, 60, 63, 68, 71])
@pytest.mark.parametrize("bit", [1, 2, 4, 128])
def test_a_bit_in_the_header_of_our_journal_is_damage_or_harmless(tmp_path: Path, offset: int, bit: int) -> None:
    path = tmp_path / "state.db"
    with closing(Journal.open(path, node="nas")) as journal:
        journal.append(changes(begun(journal), 3))
    with path.open("r+b") as file:
        file.seek(offset)
        [value] = file.read(1)
        file.seek(offset)
        file.write(bytes([value ^ bit]))
    with closing(Journal.open(path, node="nas")) as journal:
        journal.append(changes(begun(journal), 3))


def test_what_is_put_in_the_place_of_our_journal_by_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Journal.open(path, node="nas").close()
    path.unlink()
    database(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="a database of another program"):
        Journal.open(path, node="nas")
    assert path.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_journal_by_another_name_is_the_same_journal(tmp_path: Path) -> None:
    path, other = tmp_path / "state.db", tmp_path / "link" / "other.db"
    other.parent.mkdir()
    other.symlink_to(path)
    with closing(Journal.open(path, node="nas")) as journal:
        with pytest.raises(JournalError, match=f"process {os.getpid()}"):
            Journal.open(other, node="nas")
        with closing(JournalClient.open(other)) as client:
            assert client.running == str(os.getpid())
            assert client.epoch == journal.epoch


def test_a_killed_journal_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    journal = Journal.open(path, node="nas")
    journal.append(changes(begun(journal), 3))
    crash(journal)
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.new_epoch_reason) == (3, None)


@pytest.mark.parametrize("bytes_", [24, 100, 2000, 24 + 4096], ids=["header", "a little", "half", "all"])
def test_a_frame_of_the_log_that_a_kill_left_torn_is_not_read(tmp_path: Path, bytes_: int) -> None:
    """SQLite writes the header of a frame and then its page: a kill between them leaves what was there before."""
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    journal = Journal.open(path, node="nas")
    journal.append(changes(begun(journal), 3))
    database, whole = path.read_bytes(), log.read_bytes()
    crash(journal)  # which moves the log into the database, as a kill does not
    path.write_bytes(database)
    frame = struct.pack(">II", 1, 0) + whole[16:24] + bytes(8) + b"of another page." * 256
    log.write_bytes(whole + frame[:bytes_])
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.new_epoch_reason) == (3, None)


def test_a_log_that_a_checkpoint_empties_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, log = tmp_path / "state.db", tmp_path / "state.db-wal"
    journal = Journal.open(path, node="nas")
    journal.append(changes(begun(journal), 3))
    whole = log.read_bytes()
    crash(journal)
    checkpointed = path.read_bytes()
    path.write_bytes(checkpointed[:68] + bytes(4) + checkpointed[72:])  # the application id is in the log alone
    log.write_bytes(whole)

    class Emptied(io.FileIO):
        def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
            if whence == os.SEEK_SET:
                path.write_bytes(checkpointed)
                os.truncate(log, 0)
            return super().seek(offset, whence)

    def opening(file: Path, *how: Any, **options: Any) -> Any:
        return Emptied(file) if file == log else opened(file, *how, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", opening)
    refuse_foreign(path)
    assert not log.stat().st_size
