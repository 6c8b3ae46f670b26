"""Promise: a steady stream of messages is received together, and no change that comes alone is held up."""

from __future__ import annotations

import socket
import sys

import pytest

if sys.platform == "linux":
    from publisher.sources.linux.steady import MOMENT, STEADY_TURNS, SteadyStream
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


def held_up(*turns: tuple[int, bool]) -> list[int]:
    """The turns that let messages come, of turns that applied so many, after which some wait or none."""
    found: list[int] = []
    reader, writer = socket.socketpair()
    with reader, writer:
        slept: list[float] = []
        stream = SteadyStream(reader.fileno(), slept.append)
        for number, (applied, waits) in enumerate(turns):
            count = len(slept)
            if waits:
                writer.send(b"0")
            stream.turn(applied)
            if waits:
                reader.recv(1)
            if len(slept) > count:
                found.append(number)
        assert set(slept) <= {MOMENT}
    return found


ALONE, FOLLOWED, MANY, NOTHING = (1, False), (1, True), (8, True), (0, True)


def test_a_stream_that_comes_faster_than_it_is_applied_is_received_together() -> None:
    turns = [*[FOLLOWED] * (STEADY_TURNS + 1), *[MANY] * 3]
    assert held_up(*turns) == [STEADY_TURNS, STEADY_TURNS + 1, STEADY_TURNS + 2, STEADY_TURNS + 3]


def test_a_stream_goes_on_after_a_turn_that_no_message_follows() -> None:
    turns = [*[FOLLOWED] * (STEADY_TURNS + 1), *[MANY] * STEADY_TURNS]
    assert held_up(*turns, (8, False), MANY) == [*range(STEADY_TURNS, 2 * STEADY_TURNS + 1), len(turns) + 1]


def test_a_change_that_comes_alone_is_never_held_up() -> None:
    assert held_up(*[ALONE] * 100) == []


def test_changes_that_sometimes_wait_are_not_held_up() -> None:
    assert held_up(*[ALONE, ALONE, FOLLOWED] * 50) == []


def test_changes_of_which_each_is_made_when_the_one_before_has_arrived_are_held_up_once_in_a_while() -> None:
    """One waits at each turn, and never two."""
    assert held_up(*[FOLLOWED] * 100) == [*range(STEADY_TURNS, 100, STEADY_TURNS + 1)]


def test_turns_without_messages_end_a_stream() -> None:
    stream = [*[FOLLOWED] * (STEADY_TURNS + 1), MANY]
    assert held_up(*stream, *[NOTHING] * 99, MANY) == [STEADY_TURNS, STEADY_TURNS + 1]
