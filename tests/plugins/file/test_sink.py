"""The file sink: format, destinations, options and check."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from publisher.testing import FakeSinkContext, SinkConformance, make_event, make_events, make_snapshot
from publisher_file.errors import FileSinkError
from publisher_file.options import FileOptions
from publisher_file.sink import FileSink
from tests.fixtures.file_destination import state_of
from tests.fixtures.file_reader import KINDS, Kind, run_without_reader
from tests.fixtures.file_sink import make_sink, opened, seqs, written


class TestConformance(SinkConformance):
    sink = FileSink
    exclusive = True

    @pytest.fixture(autouse=True)
    def destination(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.jsonl"

    def destination_state(self) -> object:
        return state_of(self.path.parent)

    def options(self) -> dict[str, Any]:
        return {"path": str(self.path)}

    def received(self) -> Sequence[str]:
        return [event["id"] for event in written(self.path)]

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Makes each fsync of the disk take a while."""
        fsync, takes_a_while = os.fsync, threading.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: (takes_a_while.wait(0.05), fsync(descriptor)))
            yield

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """Puts a directory in the place of the file."""
        away = self.path.with_suffix(".away")
        if self.path.exists():
            self.path.rename(away)
        self.path.mkdir()
        yield
        self.path.rmdir()
        if away.exists():
            away.rename(self.path)


class TestConformanceWithRotation(TestConformance):
    def options(self) -> dict[str, Any]:
        return {"path": str(self.path), "max_size": 10_000, "keep": 1000}


class TestFormat:
    def test_a_line_is_the_events_own_json(self, tmp_path: Path) -> None:
        with opened(tmp_path / "events.jsonl") as sink:
            sink.publish([make_event(1), make_event(2)])
        assert (tmp_path / "events.jsonl").read_bytes() == b"%s\n%s\n" % (
            make_event(1).json_bytes,
            make_event(2).json_bytes,
        )

    def test_a_batch_is_one_write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(tmp_path / "events.jsonl") as sink:
            writes = _calls(monkeypatch, "write")
            sink.publish(make_events(50))
        assert len(writes) == 1

    def test_short_writes_are_completed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
        with opened(tmp_path / "events.jsonl") as sink:
            sink.publish(make_events(3))
        assert seqs(tmp_path / "events.jsonl") == [1, 2, 3]

    @pytest.mark.parametrize(("fsync", "times"), [("off", 0), ("batch", 1), ("always", 5)])
    def test_fsync(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, times: int) -> None:
        syncs = _calls(monkeypatch, "fsync")
        with opened(tmp_path / "events.jsonl", fsync=fsync) as sink:
            sink.publish(make_events(5))
        assert len(syncs) == times


class TestStandardOutput:
    def test_events_go_there_and_it_stays_open(self, capfd: pytest.CaptureFixture[str]) -> None:
        context = FakeSinkContext()
        with opened("-", context) as sink:
            sink.publish(make_snapshot([]))
            assert sink.cursor() is None
        os.write(1, b"still open\n")
        assert capfd.readouterr().out.splitlines()[-1] == "still open"
        assert context.snapshots_requested == 1, "whoever reads it now did not see what was written last time"

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_reader_that_left_ends_the_sink_in_this_process_only(self, kind: Kind) -> None:
        script = (
            "import sys; from tests.fixtures.file_sink import opened; from publisher import Ended\n"
            "from publisher.testing import make_events\n"
            "sys.stdin.readline()\n"
            "with opened('-') as sink:\n"
            "    try: sink.publish(make_events(500))\n"
            "    except Ended as error: sys.stderr.write(f'{error}, durable: {error.durable}')\n"
        )
        assert run_without_reader(script, kind) == "nobody reads standard output any more, durable: False"


class TestOptions:
    def test_sizes_and_ages_as_people_write_them(self) -> None:
        options = FileOptions(path="x", max_size="10 MiB", max_age="7d")  # type: ignore[arg-type]  # text, as in the file
        assert options.max_size == 10 * 1024 * 1024
        assert options.max_age == timedelta(days=7)

    @pytest.mark.parametrize(
        ("wrong", "expected"),
        [
            ({}, "path"),
            ({"path": ""}, "path"),
            ({"path": "x", "max_size": "ten"}, "max_size"),
            ({"path": "x", "max_size": 5}, "max_size"),
            ({"path": "x", "max_age": "soon"}, "max_age"),
            ({"path": "x", "max_age": "0s"}, "max_age"),
            ({"path": "x", "keep": 0}, "keep"),
            ({"path": "x", "fsync": "sometimes"}, "'batch', 'always' or 'off'"),
            ({"path": "x", "rotate": True}, "rotate"),
            ({"path": "-", "max_size": "1 MiB"}, "standard output cannot be rotated"),
        ],
    )
    def test_a_wrong_option_is_named(self, wrong: dict[str, Any], expected: str) -> None:
        with pytest.raises(ValidationError, match=expected):
            FileOptions.model_validate(wrong)

    def test_the_destination_is_the_absolute_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert FileOptions(path="events.jsonl").destination == str(tmp_path / "events.jsonl")
        for name in ("HOME", "USERPROFILE"):
            monkeypatch.setenv(name, str(tmp_path / "home"))
        assert FileOptions(path="~/events.jsonl").destination == str(tmp_path / "home" / "events.jsonl")
        assert FileOptions(path="-").destination == "-"


def test_every_option_is_described() -> None:
    assert all(option.description for option in FileOptions.model_fields.values())


class TestCheck:
    def test_standard_output(self) -> None:
        assert make_sink("-").check() == "writes to standard output"

    def test_a_file_that_is_not_there_yet(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        assert re.fullmatch(rf"creates {re.escape(str(path))}; \d+ MB are free there", make_sink(path).check())
        assert not list(tmp_path.iterdir())

    def test_a_file_that_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b'{"another":"log"}')
        assert make_sink(path).check().startswith(f"appends to {path}, 17 bytes now; ")

    @pytest.mark.parametrize(
        ("path", "expected"), [(".", "it is a directory"), ("absent/events.jsonl", "create the directory")]
    )
    def test_a_path_that_cannot_work(self, tmp_path: Path, path: str, expected: str) -> None:
        with pytest.raises(FileSinkError, match=expected) as error:
            make_sink(tmp_path / path).check()
        assert str(tmp_path / path) in str(error.value)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("exists", "options", "refused"),
        [
            (False, {}, os.W_OK | os.X_OK),
            (True, {}, os.R_OK | os.W_OK),
            (True, {"max_size": 10_000}, os.W_OK | os.X_OK),
        ],
        ids=["the directory", "the file", "the directory of a file that rotates"],
    )
    def test_a_missing_right(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, options: dict[str, Any], refused: int
    ) -> None:
        path = tmp_path / "events.jsonl"
        if exists:
            path.touch()
        monkeypatch.setattr(os, "access", lambda _, rights: rights != refused)
        with pytest.raises(FileSinkError, match="give the user that runs publisher the right"):
            make_sink(path, **options).check()

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        with pytest.raises(FileSinkError, match="free some space there"):
            make_sink(tmp_path / "events.jsonl").check()


def _calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Any, ...]]:
    """Returns the calls of a function of os from now on; each is still made."""
    calls, original = [], getattr(os, name)

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(os, name, call)
    return calls
