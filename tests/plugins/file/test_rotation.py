"""Rotation: when it happens, and which files are kept."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest  # noqa: TC002 - as in every test module

from publisher.testing import FakeSinkContext, make_events, make_row
from tests.fixtures.file_sink import fail, opened, rotated, seqs, written


def test_by_size_no_file_is_larger(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with opened(path, max_size="8 kB", keep=100) as sink:
        sink.publish(make_events(30))
        sink.publish(make_events(30, first=31))
        assert path.stat().st_size <= 8_000
    assert [file.name for file in rotated(path)[:2]] == ["events.jsonl.000001.gz", "events.jsonl.000002.gz"]
    assert len(rotated(path)) >= 4
    assert seqs(path) == list(range(1, 61))


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with opened(path, max_size=8_000, keep=2) as sink:
        sink.publish(make_events(100))
    names = [file.name for file in rotated(path)]
    assert len(names) == 2
    assert names[0] > "events.jsonl.000002.gz"
    kept = seqs(path)
    assert kept == list(range(kept[0], 101))


def test_by_age_of_the_first_event_also_over_a_restart(tmp_path: Path) -> None:
    path, events = tmp_path / "events.jsonl", make_events(6)  # a second apart
    with opened(path, max_age="3s") as sink:
        sink.publish(events[:2])
    with opened(path, max_age="3s") as sink:
        sink.publish([events[2]])
        assert rotated(path) == []
        sink.publish(events[3:5])
        sink.publish(events[5:])
    assert len(rotated(path)) == 1
    assert [event["seq"] for event in written(path)] == [1, 2, 3, 4, 5, 6]
    assert path.read_bytes().count(b"\n") == 3


def test_an_event_larger_than_the_limit_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with opened(path, max_size=1024) as sink:
        sink.publish(make_events(3, row=make_row(addresses=[f"192.0.2.{number}/24" for number in range(9)])))
    assert seqs(path) == [1, 2, 3]
    assert path.read_bytes().count(b"\n") == 1


def test_a_file_that_cannot_be_rotated_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "another program reads it")  # as Windows does

    with opened(path, context, max_size=8_000) as sink:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", refuse)
            sink.publish(make_events(40))
            assert path.read_bytes().count(b"\n") == 40
        sink.publish(make_events(1, first=41))
    assert [record.getMessage() for record in context.logged] == [
        f"{path} is not rotated and grows: [Errno {errno.EACCES}] another program reads it"
    ]
    assert len(rotated(path)) == 1
    assert seqs(path) == list(range(1, 42))


def test_other_files_beside_it_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    others = [tmp_path / name for name in ("events.jsonl.bak", "events.jsonl.1", "events.jsonl.000001.zip")]
    for other in others:
        other.write_text("mine")
    with opened(path, max_size=2_500, keep=1) as sink:
        sink.publish(make_events(30))
    assert [other.read_text() for other in others] == ["mine"] * 3


def test_files_rotated_stay_as_they_are_while_they_cannot_be_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()
    with monkeypatch.context() as patch:
        patch.setattr("gzip.GzipFile.write", lambda *_: fail())
        with opened(path, context, max_size=8_000) as sink:
            sink.publish(make_events(20))
    assert [file.name for file in rotated(path)] == ["events.jsonl.000001"]
    assert seqs(path) == list(range(1, 21))
    with opened(path, max_size=8_000):
        assert [file.name for file in rotated(path)] == ["events.jsonl.000001.gz"]
