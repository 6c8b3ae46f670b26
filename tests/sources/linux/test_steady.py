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


def held_up(*turns: tuple[bool, bool]) -> list[int]:
    """The turns that let messages come, of turns with or without updates, after which messages wait or do not."""
    found: list[int] = []
    reader, writer = socket.socketpair()
    with reader, writer:
        slept: list[float] = []
        stream = SteadyStream(reader.fileno(), slept.append)
        for number, (had_updates, waits) in enumerate(turns):
            count = len(slept)
            if waits:
                writer.send(b"0")
            stream.turn(had_updates=had_updates)
            if waits:
                reader.recv(1)
            if len(slept) > count:
                found.append(number)
        assert set(slept) <= {MOMENT}
    return found


def test_a_stream_that_comes_faster_than_it_is_applied_is_received_together() -> None:
    assert held_up(*[(True, True)] * (STEADY_TURNS + 3)) == [STEADY_TURNS, STEADY_TURNS + 1, STEADY_TURNS + 2]


def test_a_change_that_comes_alone_is_never_held_up() -> None:
    assert held_up(*[(True, False)] * 100) == []


def test_the_first_changes_of_many_are_not_held_up() -> None:
    assert held_up(*([(True, True)] * STEADY_TURNS + [(True, False)]) * 5) == []


def test_a_stream_ends_with_the_first_turn_without_updates() -> None:
    stream, pause = [(True, True)] * (STEADY_TURNS + 1), [(False, True)]
    assert held_up(*stream, *pause, *stream) == [STEADY_TURNS, len(stream) + 1 + STEADY_TURNS]
