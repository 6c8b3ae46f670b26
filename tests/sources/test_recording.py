"""Recordings: read as they were written, played at their pace, and damage is an error with its line."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from publisher.errors import SourceError
from publisher.sources import Remove, Resync, Source, SourceContext, Update, Upsert, open_source
from publisher.sources.luids import MemoryLuids
from publisher.sources.recording import Header, read_recording, write_recording
from publisher.testing import make_row
from tests.fixtures.logs import CapturedLog

ETH0 = make_row("eth0", addresses=["192.0.2.1/24"])
ETH0_6 = make_row("eth0", "inet6", addresses=["fe80::1/64"])
UPDATES: list[Update] = [
    Resync((ETH0, ETH0_6), "startup"),
    Upsert(make_row("eth0", nl_mtu=1400)),
    Remove(ETH0.luid, "inet6", "reconcile"),
    Resync((ETH0,), "overrun"),
]


def recording(path: Path, updates: Iterable[Update] = UPDATES, times: Iterator[float] | None = None) -> Path:
    clock = times or map(float, count())
    with path.open("xb") as file:
        header = Header(platform="linux", recorder="0")
        for _ in write_recording(file, header, [[update] for update in updates], lambda: next(clock)):
            pass
    return path


def source(argument: object, **context: Any) -> Source:
    log = CapturedLog()
    return open_source("recording", SourceContext(log, MemoryLuids(), argument=str(argument), **context), {})


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl")
    assert list(source(f"{path}?speed=0").updates()) == [[update] for update in UPDATES]
    assert [at for at, _ in read_recording(path)] == [1.0, 2.0, 3.0, 4.0]


def test_every_update_is_on_disk_when_it_is_yielded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("xb") as file:
        header = Header(platform="linux", recorder="0")
        seen = [
            len(path.read_bytes().splitlines()) for _ in write_recording(file, header, [UPDATES[:2], [], UPDATES[2:]])
        ]
    assert seen == [3, 3, 5]


def test_it_goes_at_the_recordings_pace(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", UPDATES[:2], iter([0.0, 0.0, 0.4]))
    for argument, least in ((path, 0.4), (f"{path}?speed=4", 0.1)):
        began = time.monotonic()
        assert list(source(argument).updates()) == [[update] for update in UPDATES[:2]]
        assert time.monotonic() - began >= least


def test_close_ends_it_while_it_waits(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", UPDATES[:2], iter([0.0, 0.0, 3600.0]))
    played = source(path)
    updates = played.updates()
    assert next(updates) == UPDATES[:1]
    threading.Timer(0.05, played.close).start()
    assert list(updates) == []


def test_a_resync_gives_the_rows_as_they_are(tmp_path: Path) -> None:
    played = source(f"{recording(tmp_path / 'a.jsonl')}?speed=0")
    updates = played.updates()
    assert [next(updates), next(updates), next(updates)] == [[update] for update in UPDATES[:3]]
    played.resync()
    played.wake()
    played.resync("overrun")
    rows = (make_row("eth0", nl_mtu=1400),)
    assert [next(updates) for _ in range(3)] == [[Resync(rows, "reconcile")], [], [Resync(rows, "overrun")]]
    assert next(updates) == UPDATES[3:]


def test_an_empty_list_comes_when_the_idle_time_is_over(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.jsonl", UPDATES[:2], iter([0.0, 0.0, 3600.0]))
    played = source(path, idle_seconds=0.01)
    updates = played.updates()
    assert [next(updates), next(updates), next(updates)] == [UPDATES[:1], [], []]
    played.close()
    assert list(updates) == []


def lines(tmp_path: Path) -> list[bytes]:
    return recording(tmp_path / "good.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("damage", "number", "message"),
    [
        (lambda lines: [*lines[:3], lines[3][:20]], 4, "the recording is cut off in this line"),
        (lambda lines: [*lines[:2], b"x\n", *lines[3:]], 3, "invalid line of a recording"),
        (lambda lines: [*lines[:2], b"\n", *lines[3:]], 3, "invalid line of a recording"),
        (lambda lines: [lines[0], lines[2]], 2, "a recording begins with a resync, not with upsert"),
        (lambda lines: lines[1:], 1, "invalid header of a recording"),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], 1, "version"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"nl_mtu":1400', b'"nl_mtu":-1')], 3, "row.row.nl_mtu"),
        (lambda lines: [*lines[:2], b'{"at":1,"update":"flip"}\n'], 3, "'flip'"),
        (
            lambda lines: [*lines[:2], b'{"at":-1,"update":"remove","luid":"0006008001000000","family":"inet"}\n'],
            3,
            "at",
        ),
        (lambda lines: [*lines[:2], b"\xff\xfe\x00\n"], 3, "invalid line of a recording"),
    ],
)
def test_a_damaged_recording_is_an_error_with_file_and_line(
    tmp_path: Path, damage: Callable[[list[bytes]], list[bytes]], number: int, message: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"".join(damage(lines(tmp_path))))
    with pytest.raises(SourceError) as error:
        list(source(f"{path}?speed=0").updates())
    assert str(error.value).startswith(f"{path}:{number}: ")
    assert message in str(error.value)


def test_updates_before_the_damage_are_played(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"".join(lines(tmp_path)[:3]) + b"{")
    updates = source(f"{path}?speed=0").updates()
    assert [next(updates), next(updates)] == [UPDATES[:1], UPDATES[1:2]]
    with pytest.raises(SourceError, match=":4:"):
        next(updates)


def test_a_recording_without_updates_or_without_a_file(tmp_path: Path) -> None:
    for content in (b"", lines(tmp_path)[0]):
        (tmp_path / "empty.jsonl").write_bytes(content)
        with pytest.raises(SourceError, match="is empty"):
            list(source(tmp_path / "empty.jsonl").updates())
    with pytest.raises(SourceError, match=r"none\.jsonl: cannot read the recording: No such file"):
        list(source(tmp_path / "none.jsonl").updates())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "needs a file"),
        ("a?sped=0", "invalid option 'sped=0'"),
        *((f"a?speed={wrong}", "invalid option") for wrong in ("-1", "x", "nan", "inf")),
    ],
)
def test_a_wrong_argument_is_an_error(argument: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        source(argument)


@pytest.mark.skipif(sys.platform == "win32", reason="every name has a directory there")
@pytest.mark.parametrize("option", ["", "?speed=2"])
def test_the_directory_of_a_user_that_is_not_known_is_an_error(option: str) -> None:
    with pytest.raises(SourceError, match="'~nobody-has-this-name/a' begins with ~nobody-has-this-name, and no such"):
        source(f"~nobody-has-this-name/a{option}")
