"""The places where sinks keep something, in the journal's file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from publisher.journal.places import RetainedPlace
from publisher.journal.positions import NumberedResend, ResendSnapshot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def place(name: str = "broker base/nas", sink: str = "home") -> RetainedPlace:
    return RetainedPlace(type="mqtt", place=name, sink=sink, node="nas", options={"url": "mqtt://broker"})


def owed(journal: Journal, sink: str = "home") -> list[NumberedResend]:
    return journal.sink(sink, "").resends()


def test_a_place_is_remembered_over_restarts_until_it_is_removed(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.places.record([place(), place("broker homeassistant/nas")])
    with closing(Journal.open(path, node="another")) as journal:
        assert journal.places.all() == [place(), place("broker homeassistant/nas")]
        journal.places.remove([place().key])
        assert journal.places.all() == [place("broker homeassistant/nas")]


def test_a_place_survives_a_kill_right_after_it_was_recorded(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.places.record([place()])
        copy = path.with_name("copy.sqlite3")
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    with closing(Journal.open(copy, node="nas")) as journal:
        assert journal.places.all() == [place()]


def test_a_new_place_and_one_that_was_being_emptied_lead_to_a_snapshot_and_a_known_one_to_none(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.places.record([place()])
        [first] = owed(journal)
        assert first.resend == ResendSnapshot("notification", 0)
        journal.places.record([place()])
        assert owed(journal) == [first]
        journal.places.empty([place()])
        assert [found.emptying for found in journal.places.all()] == [True]
        journal.places.record([place()])
        [second] = owed(journal)
        assert second.number > first.number, "the later takes the place of the earlier"
        assert [found.emptying for found in journal.places.all()] == [False]


@pytest.mark.parametrize("options", ["{", "[]", "[" * 100_000, "\0", None, 7])
def test_a_record_that_is_none_is_left_out_and_the_others_count(path: Path, options: object) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.places.record([place(), place("second")])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE places SET options = ? WHERE place = 'second'", (options or b"\xff",))
        assert journal.places.all() == [place()]


def test_the_places_of_a_damaged_journal_are_salvaged(path: Path) -> None:
    with closing(Journal.open(path, node="nas")) as journal:
        journal.places.record([place()])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO rows (luid, family, data) VALUES ('x', 'inet', 'no row')")
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.set_aside is not None
        assert journal.places.all() == [place()]
