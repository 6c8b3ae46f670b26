"""A file that one process writes to, while another checks it or wants to write to it, too."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from publisher import Cursor, FileLock
from publisher.cli.check import check_sinks
from publisher.config.locations import Locations
from publisher.config.settings import load_settings
from publisher.testing import EPOCH, FakeSinkContext, make_events
from publisher_file.errors import FileSinkError
from tests.fixtures.command import Publisher
from tests.fixtures.file_destination import appending, state_of
from tests.fixtures.file_sink import make_sink, opened, seqs


def configuration(path: Path, options: str = "") -> str:
    return f'[sinks.log]\ntype = "file"\npath = "{path.as_posix()}"\n{options}'


class TestCheck:
    def test_no_confirmed_line_is_lost_while_it_runs(
        self, publisher: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: Callable[[int], int]
    ) -> None:
        checks = count(600)
        path = tmp_path / "events" / "events.jsonl"
        path.parent.mkdir()
        publisher.configure(configuration(path))
        settings = load_settings(publisher.folder / "publisher.toml", Locations("nas", (), (publisher.folder,)))
        with appending(path) as writer:
            assert f"appends to {path}, " in publisher("check").stdout
            for _ in range(checks):
                assert check_sinks(settings)
            last = writer.stop()
        assert capsys.readouterr().out.count("sink 'log': appends to ") == checks
        assert seqs(path) == list(range(1, last + 1))

    @pytest.mark.parametrize("torn", [b"", b'{"schema_version":1,"id"', bytes(100), b"a note"])
    @pytest.mark.parametrize("options", ["", 'max_size = "20 kB"\nkeep = 1', 'max_age = "1s"\nkeep = 1'])
    def test_it_leaves_every_file_as_it_is(
        self, publisher: Publisher, tmp_path: Path, torn: bytes, options: str
    ) -> None:
        folder = tmp_path / "events"
        folder.mkdir()
        path = folder / "events.jsonl"
        for number in (1, 2):
            (folder / f"events.jsonl.{number:06d}").write_bytes(b"archive\n")
        (folder / "events.jsonl.000003.gz").write_bytes(gzip.compress(b"archive\n"))
        (folder / "events.jsonl.gz.tmp").write_bytes(b"half")
        path.write_bytes(make_events(1)[0].json_bytes + b"\n" + torn)
        before = state_of(folder)
        publisher.configure(configuration(path, options))
        publisher("check")
        assert state_of(folder) == before

    def test_it_makes_no_file(self, publisher: Publisher, tmp_path: Path) -> None:
        folder = tmp_path / "events"
        folder.mkdir()
        before = state_of(folder)
        publisher.configure(configuration(folder / "events.jsonl", 'max_size = "1 MB"'))
        publisher("check")
        assert state_of(folder) == before


class TestLock:
    def test_a_second_process_cannot_write_and_its_error_names_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with appending(path) as writer:
            sink = make_sink(path)
            with pytest.raises(FileSinkError) as error:
                sink.open()
            sink.close()
            last = writer.stop()
        assert str(error.value) == (
            f"cannot write to {path}: process {writer.pid} writes to it; "
            "stop that publisher, or give this sink another path"
        )
        assert seqs(path) == list(range(1, last + 1))

    def test_a_second_publisher_logs_which_process_has_the_file(
        self, service: Callable[..., subprocess.Popen[str]], publisher: Publisher
    ) -> None:
        first = service()
        path = publisher.folder / "out.jsonl"
        before = path.read_bytes()
        second = publisher.start("run", PUBLISHER_JOURNAL__PATH="other.sqlite3")
        assert second.stderr
        complaint = next(line for line in second.stderr if "cannot write to" in line)
        assert f"cannot write to {path}: process {first.pid} writes to it" in complaint
        assert path.read_bytes() == before

    def test_a_second_sink_of_this_process_cannot_write(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path), pytest.raises(FileSinkError, match="another sink of this publisher writes to it"):
            make_sink(path).open()
        with opened(path) as sink:
            sink.publish(make_events(1))
        assert seqs(path) == [1]

    def test_it_holds_over_rotation(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path, max_size=20_000) as sink:
            sink.publish(make_events(40))
            with pytest.raises(FileSinkError, match="writes to it"):
                make_sink(path).open()

    def test_a_killed_process_leaves_no_lock(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with appending(path) as writer:
            writer.process.kill()
            writer.process.wait()
        with opened(path):
            pass  # it could be locked

    @pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
    def test_two_names_of_one_file_have_one_lock(self, tmp_path: Path) -> None:
        path, link = tmp_path / "events.jsonl", tmp_path / "link" / "other.jsonl"
        link.parent.mkdir()
        link.symlink_to(path)
        with opened(path), pytest.raises(FileSinkError, match="writes to it"):
            make_sink(link).open()

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
    def test_pipes_and_devices_have_none(self) -> None:
        with opened("/dev/null"), opened("/dev/null") as sink:
            sink.publish(make_events(1))
        assert not Path("/dev/.null.lock").exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="there, a lock would keep readers out")
    def test_a_hard_link_is_the_same_file(self, tmp_path: Path) -> None:
        path, link = tmp_path / "events.jsonl", tmp_path / "link" / "other.jsonl"
        path.touch()
        link.parent.mkdir()
        link.hardlink_to(path)
        with appending(path) as writer:
            with pytest.raises(FileSinkError, match=f"{link}: another process, or another sink, writes to that file"):
                make_sink(link).open()
            last = writer.stop()
        assert seqs(link) == list(range(1, last + 1))

    @pytest.mark.skipif(sys.platform == "win32", reason="there, a lock would keep readers out")
    def test_a_file_where_no_lock_file_can_be_made_is_locked_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, context = tmp_path / "events.jsonl", FakeSinkContext()
        path.touch()
        _refuse_lock_files(monkeypatch, tmp_path)
        with opened(path, context), pytest.raises(FileSinkError, match="writes to that file"):
            make_sink(path).open()
        assert context.logged == []

    def test_a_warning_is_logged_where_nothing_can_be_locked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that somebody else made for the publisher, in a directory of theirs, like /var/log."""
        path, context = tmp_path / "events.jsonl", FakeSinkContext()
        path.touch()
        _refuse_lock_files(monkeypatch, tmp_path)
        monkeypatch.setattr("publisher_file.appender._lock", lambda *_: False)  # as some shares
        with opened(path, context) as sink:
            sink.publish(make_events(1))
        assert [record.getMessage() for record in context.logged] == [
            f"{path} is not protected against a second writer: no file can be made in {tmp_path}"
        ]
        assert seqs(path) == [1]

    def test_a_lock_that_cannot_be_opened_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / ".events.jsonl.lock").mkdir()
        with pytest.raises(FileSinkError, match="cannot write to"):
            make_sink(tmp_path / "events.jsonl").open()

    def test_a_refused_sink_is_opened_later_and_goes_on_after_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        second = make_sink(path)
        with opened(path) as first:
            with pytest.raises(FileSinkError):
                second.open()
            first.publish(make_events(3))
        second.open()
        assert second.cursor() == Cursor(EPOCH, 3)
        second.close()


def _refuse_lock_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def refuse(_: FileLock) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # as for any user but root

    monkeypatch.setattr(FileLock, "acquire", refuse)
    monkeypatch.setattr(os, "access", lambda where, _: where != folder)
