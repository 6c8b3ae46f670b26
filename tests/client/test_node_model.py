"""A node, a broker and a subscriber in every order of their steps: each change once, in order, or in the rows."""

from __future__ import annotations

from collections.abc import Callable

from tests.fixtures.played_node import Play


def test_whatever_the_order_each_change_comes_once_or_is_in_the_rows(count: Callable[[int], int]) -> None:
    for seed in range(count(1000)):
        play = Play(seed)
        try:
            play.run()
            play.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
