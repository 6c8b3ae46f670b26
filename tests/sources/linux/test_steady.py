"""Promise: a steady stream of messages is received together, and no change that comes alone is held up.

The clock counts the work: a test says how much of it each turn is.
"""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Sequence

import pytest

if sys.platform == "linux":
    from publisher.sources.linux.steady import EACH, LONGEST, SHORTEST, STEADY_TURNS, SteadyStream
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


CAPACITY = 29_127


def moments(turns: Sequence[tuple[int, bool]], worked: float = 0.0, capacity: int = CAPACITY) -> dict[int, float]:
    """The seconds for which turns let messages come, of turns that applied so many, after which some wait or none.

    Each turn works for so many seconds.
    """
    found: dict[int, float] = {}
    reader, writer = socket.socketpair()
    with reader, writer:
        slept: list[float] = []
        clock = itertools.count(0.0, worked)
        stream = SteadyStream(reader.fileno(), capacity, slept.append, lambda: next(clock))
        for number, (applied, waits) in enumerate(turns):
            if waits:
                writer.send(b"0")
            stream.turn(applied)
            if waits:
                reader.recv(1)
            if slept:
                found[number] = slept.pop()
    return found


def held_up(*turns: tuple[int, bool]) -> list[int]:
    """The turns that let messages come."""
    return list(moments(turns))


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


@pytest.mark.parametrize(
    ("worked", "capacity", "moment"),
    [
        (0.0, CAPACITY, SHORTEST),
        (SHORTEST / 2, CAPACITY, SHORTEST),
        (0.01, CAPACITY, 0.01),
        (1.0, CAPACITY, LONGEST),
        (1.0, 92, 92 * EACH),
        (0.0, 92, 92 * EACH),
    ],
)
def test_a_moment_is_as_long_as_the_work_before_it_and_as_the_receive_buffer_allows(
    worked: float, capacity: int, moment: float
) -> None:
    found = moments([*[FOLLOWED] * (STEADY_TURNS + 1), *[MANY] * 3], worked, capacity)
    assert list(found.values()) == pytest.approx([moment] * 4)
