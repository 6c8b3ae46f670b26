"""Files with the access that people gave them: permissions, owners, symbolic links, hard links, pipes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from publisher import ConfigurationError
from publisher.config.locations import Locations
from publisher.config.settings import load_settings, sink_options
from publisher.plugins import load_plugins
from publisher.testing import make_events
from publisher_file.errors import FileSinkError
from publisher_file.options import FileOptions
from tests.fixtures.file_sink import make_sink, opened, rotated, seqs

if sys.platform == "win32":
    pytest.skip("Windows has none of this", allow_module_level=True)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestPermissions:
    def test_a_new_file_is_not_for_everybody(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path):
            assert mode(path) == 0o640
        path.unlink()
        os.umask(0o077)
        with opened(path):
            assert mode(path) == 0o600

    @pytest.mark.parametrize(("option", "expected"), [("0600", 0o600), ("664", 0o664), ("0644", 0o644)])
    def test_the_option_counts_exactly(self, tmp_path: Path, option: str, expected: int) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path, mode=option):
            assert mode(path) == expected

    @pytest.mark.parametrize("given", [0o600, 0o664])
    def test_a_file_that_is_there_keeps_its_own_over_rotation(self, tmp_path: Path, given: int) -> None:
        path = tmp_path / "events.jsonl"
        path.touch()
        path.chmod(given)
        with opened(path, max_size=20_000, mode="0644") as sink:
            sink.publish(make_events(60))
        assert rotated(path)[0].suffix == ".gz"
        assert {mode(file) for file in [path, *rotated(path)]} == {given}

    @pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
    def test_and_its_owner(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.touch()
        os.chown(path, 1234, 5678)
        with opened(path, max_size=20_000) as sink:
            sink.publish(make_events(60))
        assert {(file.stat().st_uid, file.stat().st_gid) for file in [path, *rotated(path)]} == {(1234, 5678)}

    def test_a_file_that_logrotate_moved_away_has_a_successor_like_it(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path) as sink:
            path.chmod(0o604)
            path.rename(tmp_path / "old")
            sink.publish(make_events(1))
        assert mode(path) == 0o604


class TestSymbolicLinks:
    def test_the_link_stays_and_its_target_is_rotated(self, tmp_path: Path) -> None:
        link, target = tmp_path / "events.jsonl", tmp_path / "data" / "real.jsonl"
        target.parent.mkdir()
        link.symlink_to(target)
        with opened(link, max_size=20_000, keep=100) as sink:
            sink.publish(make_events(60))
        assert link.is_symlink()
        assert seqs(target) == list(range(1, 61))
        assert rotated(target)
        assert not rotated(link)
        with opened(link, max_size=20_000, keep=100) as sink:
            assert sink.cursor() == ("01926f6e8c7e4b3f", 60)

    def test_a_link_that_is_turned_to_another_file_is_followed_with_the_lock(self, tmp_path: Path) -> None:
        link, old, new = tmp_path / "events.jsonl", tmp_path / "old", tmp_path / "new"
        link.symlink_to(old)
        with opened(link) as sink:
            sink.publish(make_events(2))
            link.unlink()
            link.symlink_to(new)
            sink.publish(make_events(2, first=3))
            with pytest.raises(FileSinkError, match="writes to it"):
                make_sink(new).open()
            with opened(old):
                pass  # it was released
        assert (seqs(old), seqs(new)) == ([1, 2], [3, 4])

    def test_links_in_a_circle_are_an_error_that_names_the_path(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        one.symlink_to(two)
        two.symlink_to(one)
        assert FileOptions(path=str(one)).exclusive.startswith("file ")
        sink = make_sink(one)
        with pytest.raises(FileSinkError, match=f"cannot write to {one}: Too many levels of symbolic links"):
            sink.open()
        sink.close()


class TestSurroundings:
    """What is not known is an error in the configuration, and no traceback."""

    def test_a_home_that_is_not_known(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="write the whole path"):
            FileOptions(path="~no-such-user/events.jsonl")
        assert FileOptions(path=str(tmp_path / "~x")).target == tmp_path / "~x"

    def test_a_working_directory_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(ValidationError, match="write the whole path"):
            FileOptions(path="events.jsonl")
        path = str(tmp_path / "events.jsonl")
        assert FileOptions(path=path).destination == path

    def test_a_path_with_nul(self) -> None:
        with pytest.raises(ValidationError, match="without the character NUL"):
            FileOptions(path="a\0b")

    def test_a_path_that_is_too_long(self) -> None:
        path = "/" + "x" * 5000
        assert FileOptions(path=path).exclusive
        with pytest.raises(FileSinkError, match="File name too long"):
            make_sink(path).open()


class TestPipes:
    def test_a_pipe_that_nobody_reads_is_named_and_not_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(FileSinkError, match=f"{path}: nobody reads this pipe yet"):
            make_sink(path).open()
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with opened(path) as sink:
                sink.publish(make_events(1))
                assert os.read(reader, 65536) == make_events(1)[0].json_bytes + b"\n"
        finally:
            os.close(reader)

    def test_a_socket_is_no_pipe(self, tmp_path: Path) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s"))
            with pytest.raises(FileSinkError, match="it is a socket"):
                make_sink(tmp_path / "s").open()


class TestTwoSinksWithOneFile:
    @pytest.mark.parametrize("exists", [False, True])
    @pytest.mark.parametrize("way", ["path", "relative", "dots", "symbolic link", "hard link"])
    def test_the_configuration_is_refused_and_both_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, exists: bool
    ) -> None:
        monkeypatch.chdir(tmp_path)
        path, other = tmp_path / "events.jsonl", tmp_path / "other.jsonl"
        if exists or way == "hard link":
            path.touch()
        match way:
            case "symbolic link":
                other.symlink_to(path)
            case "hard link":
                other.hardlink_to(path)
        second = {
            "path": str(path),
            "relative": "events.jsonl",
            "dots": f"{tmp_path}/sub/../events.jsonl",
            "symbolic link": str(other),
            "hard link": str(other),
        }[way]
        (tmp_path / "sub").mkdir()
        with pytest.raises(ConfigurationError) as error:
            self.options(tmp_path, str(path), second)
        [line] = str(error.value).splitlines()
        assert "sink 'two'" in line
        assert f"{path} of sink 'one', too" in line

    def test_what_several_may_write_to_is_no_mistake(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in ("-", "/dev/null", str(tmp_path / "pipe")):
            assert set(self.options(tmp_path, path, path)) == {"one", "two"}
        assert set(self.options(tmp_path, str(tmp_path / "a"), str(tmp_path / "b"))) == {"one", "two"}

    def options(self, folder: Path, one: str, two: str) -> dict[str, object]:
        file = folder / "publisher.toml"
        file.write_text(
            f'[sinks.one]\ntype = "file"\npath = "{one}"\n[sinks.two]\ntype = "file"\npath = "{two}"\n',
            encoding="utf-8",
        )
        settings = load_settings(file, Locations("nas", (), (folder,)))
        return dict(sink_options(settings, load_plugins()))
