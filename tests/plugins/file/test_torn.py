"""The end of the file after a crash: what is removed, and where the sink continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from publisher import Cursor
from publisher.testing import EPOCH, FakeSinkContext, make_event, make_events, make_snapshot
from tests.fixtures.file_sink import opened, rotated, written


def test_a_line_torn_anywhere_is_cut_off_and_its_event_comes_again(tmp_path: Path) -> None:
    path, events = tmp_path / "events.jsonl", make_events(4)
    with opened(path, fsync="off") as sink:
        sink.publish([*make_snapshot([]), *events])
    whole = path.read_bytes()
    begin = len(whole) - len(events[-1].json_bytes) - len(events[-2].json_bytes) - 2
    for cut in range(begin, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        with opened(path, fsync="off") as sink:
            cursor = sink.cursor()
            assert cursor
            sink.publish(events[cursor.seq :])
        assert path.read_bytes() == whole, f"torn after {cut} of {len(whole)} bytes"


def test_a_whole_line_without_its_line_feed_comes_again(tmp_path: Path) -> None:
    path, events = tmp_path / "events.jsonl", make_events(2)
    path.write_bytes(events[0].json_bytes + b"\n" + events[1].json_bytes)
    with opened(path) as sink:
        assert sink.cursor() == Cursor(EPOCH, 1)


def test_zeros_that_a_power_cut_left_are_cut_off(tmp_path: Path) -> None:
    path, event = tmp_path / "events.jsonl", make_event()
    path.write_bytes(event.json_bytes + b"\n" + bytes(5000))
    with opened(path) as sink:
        assert sink.cursor() == Cursor(EPOCH, 1)
    assert path.read_bytes() == event.json_bytes + b"\n"


def test_what_is_no_event_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b'{"my":"notes"}\nwhich took years')
    with opened(path) as sink:
        assert sink.cursor() is None
        sink.publish([make_event()])
    assert path.read_bytes() == b'{"my":"notes"}\nwhich took years\n' + make_event().json_bytes + b"\n"


def test_a_snapshot_cut_short_does_not_count_and_is_requested_again(tmp_path: Path) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()
    with opened(path) as sink:
        sink.publish([*make_events(3), *make_snapshot(seq=9)[:-1]])
    with opened(path, context) as sink:
        assert sink.cursor() == Cursor(EPOCH, 3)
    assert context.snapshots_requested == 1


def test_a_first_snapshot_cut_short_leaves_no_cursor(tmp_path: Path) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()
    with opened(path) as sink:
        sink.publish(make_snapshot(seq=9)[:-1])
    with opened(path, context) as sink:
        assert sink.cursor() is None
    assert context.snapshots_requested == 1


def test_a_whole_snapshot_is_a_place_to_go_on_from(tmp_path: Path) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()
    with opened(path) as sink:
        sink.publish(make_snapshot(seq=9))
    with opened(path, context) as sink:
        assert sink.cursor() == Cursor(EPOCH, 9)
    assert context.snapshots_requested == 0


def test_lines_longer_than_what_is_read_at_once_are_found(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    long = make_event(7).json_bytes.replace(b'"testnode"', b'"' + b"n" * 200_000 + b'"')
    path.write_bytes(make_event(6).json_bytes + b"\n" + long + b"\n" + long[:150_000])
    with opened(path) as sink:
        assert sink.cursor() == Cursor(EPOCH, 7)
    assert [event["seq"] for event in written(path)] == [6, 7]


@pytest.mark.parametrize("compressed", [False, True], ids=["renamed", "compressed"])
def test_just_after_rotation_the_cursor_is_in_the_newest_rotated_file(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "events.jsonl"
    with opened(path, max_size=20_000) as sink:
        sink.publish(make_events(40))
    path.rename(tmp_path / "events.jsonl.000099")
    with opened(path, max_size=None if not compressed else 20_000) as sink:
        assert sink.cursor() == Cursor(EPOCH, 40)
    assert (tmp_path / "events.jsonl.000099.gz").exists() is compressed


def test_a_damaged_rotated_file_leaves_the_cursor_to_the_journal(tmp_path: Path) -> None:
    path, context = tmp_path / "events.jsonl", FakeSinkContext()
    (tmp_path / "events.jsonl.000001.gz").write_bytes(b"\x1f\x8b no")
    with opened(path, context) as sink:
        assert sink.cursor() is None
    assert [record.levelname for record in context.logged] == ["WARNING"]
    assert rotated(path)
