"""What a sink left at its destination is emptied when the configuration leaves it, by reload and by restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher.config.settings import Settings
from publisher.journal.requests import JournalClient, Request
from publisher.service.service import Service
from publisher.sink import Rejected, Retry
from publisher.testing import ScriptedSource
from tests.fixtures.board import Board
from tests.fixtures.poll import wait_for
from tests.fixtures.service import ETH0, House

ROWS, NAMES = "board://one rows/testnode", "board://one names/testnode"


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.go()


@pytest.fixture
def house(tmp_path: Path, board: Board) -> House:
    house = House(tmp_path)
    house.types = {"board": board.sink_type()}
    return house


def settings(house: House, node: str = "testnode", /, **sinks: dict[str, Any]) -> Settings:
    """Returns settings with these sinks of the type `board`."""
    tables = {name: {"type": "board", **options} for name, options in sinks.items()}
    return house.settings().model_copy(update={"sinks": tables, "node": node})


def recorded(house: House) -> set[str]:
    """Returns the places that the journal remembers."""
    with closing(sqlite3.connect(house.path)) as connection:
        return {place for (place,) in connection.execute("SELECT place FROM places")}


@contextmanager
def running(house: House, with_settings: Settings) -> Iterator[Service]:
    """Starts a service for a block, again if need be."""
    house.source = ScriptedSource([ETH0])
    with house.running(with_settings) as service:
        yield service
    assert house.errors == []


def filled(house: House, board: Board, with_settings: Settings) -> None:
    """Runs a service until its sinks have kept something."""
    with running(house, with_settings):
        wait_for(lambda: board.places)


def test_an_option_that_is_turned_off_empties_its_place_only(house: House, board: Board) -> None:
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        service.reload(settings(house, home={"names": False})).result(30)
        wait_for(lambda: recorded(house) == {ROWS})
        assert board.forgotten == [(NAMES,)]
        wait_for(lambda: board.places == {ROWS})


LEFT: list[tuple[dict[str, dict[str, Any]], set[str]]] = [
    ({}, {ROWS, NAMES}),
    ({"home": {"base": "other"}}, {ROWS}),
    ({"home": {"names": False}}, {NAMES}),
    ({"home": {"url": "board://two"}}, {ROWS, NAMES}),
    ({"renamed": {}}, set()),
    ({"home": {}, "second": {}}, set()),
]


@pytest.mark.parametrize(("after", "left"), LEFT)
def test_what_the_configuration_left_is_emptied_at_the_next_start(
    house: House, board: Board, after: dict[str, dict[str, Any]], left: set[str]
) -> None:
    filled(house, board, settings(house, home={}))
    before = board.places
    with running(house, settings(house, **after)) as service:
        wait_for(lambda: "left" in service.status() and not service.status()["left"])
        wait_for(lambda: not left & recorded(house))
        assert {place for places in board.forgotten for place in places} == left
        wait_for(lambda: board.places >= before - left)


@pytest.mark.parametrize(("after", "left"), LEFT)
def test_what_the_configuration_left_is_emptied_by_a_reload(
    house: House, board: Board, after: dict[str, dict[str, Any]], left: set[str]
) -> None:
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        service.reload(settings(house, **after)).result(30)
        wait_for(lambda: not left & recorded(house))
        wait_for(lambda: board.places >= {ROWS, NAMES} - left)
        assert {place for places in board.forgotten for place in places} == left


def test_another_node_name_empties_what_the_old_one_left(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))
    with running(house, settings(house, "renamed", home={})):
        wait_for(lambda: board.places == {"board://one rows/renamed", "board://one names/renamed"})
    with running(house, settings(house, home={})):
        wait_for(lambda: board.places == {ROWS, NAMES})


def test_another_node_by_reload_empties_what_the_old_one_left(house: House, board: Board) -> None:
    there = {"board://one rows/renamed", "board://one names/renamed"}
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        service.reload(settings(house, "renamed", home={})).result(30)
        wait_for(lambda: board.places == there)
        wait_for(lambda: recorded(house) == there)
        service.reload(settings(house, home={})).result(30)
        wait_for(lambda: board.places == {ROWS, NAMES})
        for node in ("a", "b", "c", "renamed"):
            service.reload(settings(house, node, home={}))
        service.reload(settings(house, "renamed", home={})).result(60)
        wait_for(lambda: board.places == there)
        wait_for(lambda: recorded(house) == there)


def test_a_place_that_another_sink_names_is_not_left(house: House, board: Board) -> None:
    with running(house, settings(house, home={}, second={"names": False})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        service.reload(settings(house, second={"names": False})).result(30)
        wait_for(lambda: board.forgotten)
        assert board.forgotten == [(NAMES,)]
        service.reload(settings(house)).result(30)
        wait_for(lambda: not recorded(house))
        assert board.places == set()


def test_a_destination_that_is_away_is_emptied_once_it_is_back(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))
    board.faults += [Retry("the broker is away", after=600), OSError("no route")]
    with running(house, settings(house)) as service:
        wait_for(lambda: any("away" in str(place["error"]) for place in service.status().get("left", ())))
        [_, place] = service.status()["left"]
        assert (place["sink"], place["place"], place["next_attempt"] > 0) == ("home", ROWS, True)
        with closing(JournalClient.open(house.path)) as client:
            client.post(Request(kind="forget", sink="home"))  # tries again at once
        wait_for(lambda: not recorded(house))
        assert board.places == set()


def test_what_cannot_be_emptied_is_kept_and_tried_at_the_next_start(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))
    board.faults.append(Rejected("no permission"))
    with running(house, settings(house)):
        wait_for(lambda: house.log.lines("no permission"))
    assert recorded(house) == {ROWS, NAMES}
    with running(house, settings(house)):
        wait_for(lambda: not recorded(house))


def test_a_type_that_no_plugin_offers_any_more_is_kept(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))
    kinds, house.types = house.types, {}
    with running(house, settings(house)):
        wait_for(lambda: house.log.lines("no plugin offers a sink of type 'board' any more"))
    house.types = kinds
    with running(house, settings(house)):
        wait_for(lambda: not recorded(house))
    assert board.places == set()


def test_a_sink_that_comes_back_waits_for_the_emptying_and_then_sends_everything(house: House, board: Board) -> None:
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        board.hold()
        service.reload(settings(house)).result(30)
        assert board.forgetting.wait(30)
        service.reload(settings(house, home={})).result(30)
        assert service.status()["sinks"]["home"]["state"] == "waiting"
        assert board.opened == ["home"]
        board.go()
        wait_for(lambda: board.opened == ["home", "home"])
        wait_for(lambda: board.places == {ROWS, NAMES})
        assert recorded(house) == {ROWS, NAMES}


def test_a_sink_renamed_in_the_configuration_waits_for_its_predecessor(house: House, board: Board) -> None:
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        service.reload(settings(house, away={})).result(30)
        wait_for(lambda: board.opened == ["home", "away"])
    assert board.forgotten == []


def test_off_on_and_off_again_in_quick_turns_ends_as_configured(house: House, board: Board) -> None:
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: board.places == {ROWS, NAMES})
        for _ in range(20):
            service.reload(settings(house))
            service.reload(settings(house, home={}))
        service.reload(settings(house, home={})).result(60)
        wait_for(lambda: service.status()["sinks"]["home"]["state"] == "following")
        wait_for(lambda: board.places == {ROWS, NAMES})
        assert recorded(house) == {ROWS, NAMES}
        assert service.status()["left"] == []
        service.reload(settings(house)).result(60)
        wait_for(lambda: not recorded(house))
        assert board.places == set()


def test_an_emptying_that_a_stop_interrupts_goes_on_at_the_next_start(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))
    board.faults += [OSError("no route")] * 99
    with running(house, settings(house)):
        wait_for(lambda: house.log.lines("no route"))
    board.faults.clear()
    with running(house, settings(house, home={})):
        wait_for(lambda: board.opened == ["home", "home"])
        wait_for(lambda: board.places == {ROWS, NAMES})
    assert board.forgotten == []


def test_a_place_that_was_being_emptied_is_filled_anew(house: House, board: Board) -> None:
    """The position says that the sink has everything: it does not know that half of it was emptied since."""
    filled(house, board, settings(house, home={}))
    board.faults += [OSError("the link broke in the middle")] * 99
    with running(house, settings(house)):
        wait_for(lambda: house.log.lines("in the middle"))
    board.kept.clear()
    with running(house, settings(house, home={})):
        wait_for(lambda: board.places == {ROWS, NAMES})


def test_the_journal_keeps_no_secret_of_a_sink(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={"password": "hunter22", "url": "board://me:letmein1@one"}))
    for file in house.path.parent.iterdir():
        content = file.read_bytes()
        assert b"hunter22" not in content
        assert b"letmein1" not in content
    assert recorded(house) == {ROWS, NAMES}


def test_a_configured_sink_at_the_same_server_lends_its_login(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={"username": "old", "password": "old-password"}))
    now = {"base": "other", "username": "new", "password": "new-password"}
    with running(house, settings(house, home=now)):
        wait_for(lambda: ROWS not in recorded(house))
    assert board.logins == ["new-password"]


def test_another_server_gets_no_login(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={"password": "old-password"}))
    with running(house, settings(house, home={"url": "board://two", "password": "new-password"})):
        wait_for(lambda: ROWS not in recorded(house))
    assert board.logins == [None]


def test_nothing_is_emptied_when_the_places_of_a_sink_cannot_be_named(house: House, board: Board) -> None:
    filled(house, board, settings(house, home={}))

    class Broken(house.types["board"]):  # type: ignore[misc,name-defined]  # a class made by the fixture
        def retains(self) -> tuple[str, ...]:
            raise ValueError("no idea")

    house.types = {"board": Broken}
    with running(house, settings(house, home={})) as service:
        wait_for(lambda: service.status().get("sinks", {}).get("home", {}).get("state") == "following")
        wait_for(lambda: house.log.lines("cannot be named"))
        assert [place["place"] for place in service.status()["left"]] == [NAMES, ROWS]
    assert board.forgotten == []
