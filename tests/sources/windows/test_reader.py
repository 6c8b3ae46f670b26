"""The stack of interfaces as it is published: filter modules are left out and link their neighbors."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.errors import InterfaceNotFoundError, NetioError
from publisher.sources.windows.iphlpapi import FILTER_INTERFACE
from publisher.sources.windows.reader import InterfaceReader
from publisher.sources.windows.structures import MibIfRow2, NetLuid

FIRST_LUID = 6 << 48


class Stack:
    """Pairs of indexes; the indexes in `filters` are filter modules, those in `removed` have no interface."""

    def __init__(
        self, pairs: list[tuple[int, int]], filters: frozenset[int] = frozenset(), removed: frozenset[int] = frozenset()
    ) -> None:
        self.pairs = pairs
        self.filters = filters
        self.removed = removed
        self.error: NetioError | None = None

    def if_stack(self) -> list[tuple[int, int]]:
        if self.error:
            raise self.error
        return self.pairs

    def if_entry(self, luid: int, index: int) -> MibIfRow2:
        assert (luid, bool(index)) == (0, True), "0 ends the stack, and names no interface"
        if index in self.removed:
            raise InterfaceNotFoundError("no such interface")
        return row(index, FILTER_INTERFACE if index in self.filters else 0)


def row(index: int, flags: int = 0) -> MibIfRow2:
    return MibIfRow2(InterfaceLuid=NetLuid(FIRST_LUID + index), InterfaceIndex=index, InterfaceAndOperStatusFlags=flags)


def neighbors(stack: Any, index: int) -> tuple[set[int], set[int]]:
    """Returns the indexes of the published neighbors above and below."""
    described = InterfaceReader(stack).describe(row(index))
    above, below = ({int(luid, 16) - FIRST_LUID for luid in luids} for luids in (described.higher, described.lower))
    return above, below


def test_neighbors_are_those_on_top_and_below() -> None:
    stack = Stack([(3, 2), (4, 2), (2, 1)])
    assert neighbors(stack, 2) == ({3, 4}, {1})
    assert neighbors(stack, 1) == ({2}, set())


def test_filter_modules_link_their_neighbors() -> None:
    """1 is a card with three filter modules on it, on which 5 and 6 stand; 9 is a filter module with nothing above."""
    stack = Stack([(2, 1), (3, 2), (4, 3), (5, 4), (6, 3), (9, 5)], frozenset({2, 3, 4, 9}))
    assert neighbors(stack, 1) == ({5, 6}, set())
    assert neighbors(stack, 5) == (set(), {1})
    assert neighbors(stack, 6) == (set(), {1})


def test_a_circle_of_filter_modules_ends() -> None:
    stack = Stack([(2, 1), (3, 2), (2, 3), (1, 3)], frozenset({2, 3}))
    assert neighbors(stack, 1) == (set(), set())


def test_a_neighbor_that_was_removed_is_left_out() -> None:
    assert neighbors(Stack([(2, 1), (3, 1)], removed=frozenset({2})), 1) == ({3}, set())


def test_index_0_ends_the_stack() -> None:
    assert neighbors(Stack([(0, 1), (1, 0)]), 1) == (set(), set())


def test_a_windows_without_the_function_has_no_stack() -> None:
    stack = Stack([(2, 1)])
    stack.error = NetioError("GetIfStackTable: the iphlpapi.dll of this Windows has no such function", 127)
    assert neighbors(stack, 1) == (set(), set())
    stack.error = NetioError("GetIfStackTable: not supported", 50)
    with pytest.raises(NetioError):
        neighbors(stack, 1)
