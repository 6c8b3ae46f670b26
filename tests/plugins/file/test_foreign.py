"""Files with lines of others, and files that belong to others: nothing there keeps the sink from opening."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from publisher import Cursor
from publisher.testing import EPOCH, make_event, make_events
from publisher_file.lines import LONGEST_LINE, lines_from_end, place_of
from tests.fixtures.file_sink import opened

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


@pytest.mark.parametrize("place", ["first", "last", "only"])
@pytest.mark.parametrize("foreign", FOREIGN)
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
