"""Files with lines of others, and files that belong to others: nothing there keeps the sink from opening."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from publisher import Cursor, Retry
from publisher.testing import EPOCH, make_event, make_events
from publisher_file.errors import FileSinkError
from publisher_file.lines import LONGEST_LINE, lines_from_end, place_of
from tests.fixtures.file_sink import make_sink, opened

LINE = make_event(7).json_bytes

FOREIGN: dict[str, bytes] = {
    "text": b"a note",
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "no UTF-8": LINE.replace(b"testnode", b"\xff\xfe"),
    "a lone surrogate": LINE.replace(b"testnode", b"\\ud800"),
    "infinity": LINE.replace(b'"seq":7', b'"seq":1e999'),
    "a seq that is no integer": LINE.replace(b'"seq":7', b'"seq":7.5'),
    "a seq as text": LINE.replace(b'"seq":7', b'"seq":"7"'),
    "a negative seq": LINE.replace(b'"seq":7', b'"seq":-1'),
    "a seq beyond SQLite's": LINE.replace(b'"seq":7', b'"seq":9223372036854775808'),
    "a seq of 5,000 digits": LINE.replace(b'"seq":7', b'"seq":' + b"9" * 5000),
    "an epoch that is none": LINE.replace(EPOCH.encode(), b"x" * 16),
    "NUL": b"\0" * 300,
    "another snapshot": LINE.replace(b'"snapshot":null', b'"snapshot":[]'),
    "no object": b"7",
    "a time before the first year": LINE.replace(b'"time":"2', b'"time":"-2'),
    "longer than any event": b'{"schema_version":1,' + b" " * (LONGEST_LINE + 5),
}


NO_JSON = ("text", "deep arrays", "deep objects", "NUL", "no object")


@pytest.mark.parametrize(
    ("foreign", "place"),
    [
        (foreign, place)
        for foreign in FOREIGN
        for place in ("first", "last", "only")
        if place != "only" or foreign not in NO_JSON
    ],
)
def test_a_line_of_another_program_is_passed_over(tmp_path: Path, foreign: str, place: str) -> None:
    path = tmp_path / "events.jsonl"
    own = [] if place == "only" else [event.json_bytes for event in make_events(3)]
    lines = [FOREIGN[foreign], *own] if place == "first" else [*own, FOREIGN[foreign]]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    before = path.stat().st_size
    with opened(path, max_age="1000w", max_size="1 GiB") as sink:
        assert sink.cursor() == (Cursor(EPOCH, 3) if own else None)
        sink.publish(make_events(1, first=4))
    with path.open("rb") as file:
        file.seek(before)
        assert json.loads(file.read())["seq"] == 4


NOT_OURS: dict[str, bytes] = {
    "notes": b"my notes,\nwhich took years\n",
    "one line": b"my notes",
    "an ELF file": b"\x7fELF\2\1\1" + bytes(9) + b"\n\3\0>\0" * 40_000,
    "a database": b"SQLite format 3\0" + bytes(5000) + b"\n" + bytes(5000),
    "UTF-16": "\ufeff{}\n{}\n".encode("utf-16"),
    "JSON over several lines": b'{\n "private": true\n}\n',
    "numbers": b"1\n2\n",
    "a list": b'["1"]\n',
    "zeros and more": bytes(500) + b"\nGIF89a",
    "random": random.Random(5).randbytes(200_000),
    **{name: FOREIGN[name] + b"\n" for name in NO_JSON},
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_file_that_is_no_lines_of_json_is_an_error_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(NOT_OURS[name])
    before = path.stat()
    sink = make_sink(path, max_size="1 GiB")
    for call in (sink.open, sink.check):
        with pytest.raises(FileSinkError, match="it is another program's file"):
            call()
    sink.close()
    after = path.stat()
    assert (path.read_bytes(), after.st_mtime_ns, after.st_mode) == (NOT_OURS[name], before.st_mtime_ns, before.st_mode)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n", b'{"another":"log"}', bytes(300)], ids=repr)
def test_a_file_without_anything_to_lose_is_appended_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with opened(path) as sink:
        sink.publish(make_events(1))
    assert json.loads(path.read_bytes().splitlines()[-1])["seq"] == 1


def test_a_file_that_another_program_puts_in_its_place_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with opened(path) as sink:
        sink.publish(make_events(2))
        path.unlink()
        path.write_bytes(b"GIF89a")
        with pytest.raises(Retry, match="another program's file"):
            sink.publish(make_events(1, first=3))
        assert path.read_bytes() == b"GIF89a"
        path.unlink()
        sink.publish(make_events(1, first=3))
    assert json.loads(path.read_bytes())["seq"] == 3


def test_whatever_a_line_is_it_is_an_event_or_none() -> None:
    chance = random.Random(2)
    pieces = [b'"', b"{", b"[" * 40, b"}", b"\\ud800", b"\xff", b"1e999", b"9" * 400, b"null", b":", b"\0", b""]
    for _ in range(20_000):
        line = bytearray(LINE)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(line))
            line[at : at + chance.randrange(4)] = chance.choice(pieces)
        place_of(bytes(line))


def test_lines_come_last_first_whatever_their_length(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    chance = random.Random(3)
    lines = [bytes([65 + index % 26]) * chance.choice([1, 100, 65535, 65536, 65537, 200_000]) for index in range(60)]
    path.write_bytes(b"".join(line + b"\n" for line in lines) + b"torn")
    with path.open("rb") as file:
        assert list(lines_from_end(file)) == lines[::-1]
