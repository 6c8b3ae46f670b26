"""Classification of messages: removals, newest states, links to read."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.sources.linux.coalesce import (
    classify,
    index_of,
    is_removal,
    is_state,
    oldest_states,
    touched,
)
from publisher.sources.linux.rtnetlink import (
    AF_BRIDGE,
    AF_INET,
    AF_INET6,
    RTM_DELADDR,
    RTM_DELNETCONF,
    RTM_NEWLINK,
    RTM_NEWNEIGHTBL,
    RTM_NEWNETCONF,
    Failure,
    Message,
    NeighbourParameters,
    Netconf,
)
from tests.fixtures.netlink_records import (
    a_link,
    an_address,
    del_address,
    del_link,
    message,
    new_address,
    new_link,
)

UP, DOWN = new_link(), new_link(flags=0)
CHANGED6 = new_link(family=AF_INET6)
LEFT_BRIDGE = del_link(family=AF_BRIDGE)
NETCONF = message(RTM_DELNETCONF, Netconf(AF_INET, 2))
ADDED, REMOVED = new_address("192.0.2.1"), del_address("192.0.2.1")
OTHER = new_link(3, "eth1")
SCAN = new_link(mtu=None, operstate=None)


@pytest.mark.parametrize(
    ("messages", "newest", "part_of_removal", "removed"),
    [
        ([], {}, set(), set()),
        ([UP, DOWN, UP], {2: 2}, set(), set()),
        ([UP, OTHER, CHANGED6, ADDED], {2: 0, 3: 1}, set(), set()),
        ([UP, SCAN], {2: 0}, set(), set()),
        ([UP, LEFT_BRIDGE], {2: 0}, set(), set()),
        ([UP, del_link()], {}, set(), {2}),
        ([UP, DOWN, REMOVED, NETCONF, LEFT_BRIDGE, del_link()], {}, {1, 2, 3, 4}, {2}),
        ([DOWN, UP, DOWN, del_link()], {}, {2}, {2}),
        ([DOWN, ADDED, DOWN, del_link()], {}, {2}, {2}),
        ([DOWN, OTHER, del_link()], {3: 1}, {0}, {2}),
        ([DOWN, del_link(), UP, DOWN], {2: 3}, {0}, {2}),
        ([DOWN, del_link(), UP, DOWN, del_link()], {}, {0, 3}, {2}),
    ],
)
def test_messages_are_classified(
    messages: list[Message], newest: dict[int, int], part_of_removal: set[int], removed: set[int]
) -> None:
    assert classify(messages) == (newest, part_of_removal, removed)


def test_the_oldest_state_of_each_link() -> None:
    messages = [CHANGED6, SCAN, ADDED, DOWN, UP, OTHER, del_link(4)]
    assert oldest_states(messages) == {2: DOWN.record, 3: OTHER.record}


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (UP, {2}),
        (SCAN, {2}),
        (CHANGED6, {2}),
        (LEFT_BRIDGE, set()),
        (new_link(family=AF_BRIDGE), set()),
        (del_link(), set()),
        (del_link(family=AF_INET6), set()),
        (NETCONF, {2}),
        (message(RTM_NEWNETCONF, Netconf(AF_INET, -1)), set()),
        (message(RTM_NEWNETCONF, Netconf(AF_INET, None)), set()),
        (ADDED, set()),
        (REMOVED, set()),
        (new_address("fd00::1"), set()),
        (del_address("fd00::1"), {2}),
        (message(RTM_DELADDR, an_address("fd00::1", address=None)), set()),
        (message(RTM_NEWNEIGHTBL, NeighbourParameters(AF_INET, 2, 1, 1, 1)), set()),
        (message(99, None), set()),
    ],
)
def test_links_whose_settings_may_have_changed_are_read(received: Message, expected: set[int]) -> None:
    assert touched([received]) == expected


def test_a_scan_is_no_state_and_a_port_that_leaves_is_no_removal() -> None:
    assert is_state(RTM_NEWLINK, a_link())
    assert not is_state(*SCAN[::3])
    assert not is_state(*CHANGED6[::3])
    assert not is_state(*del_link()[::3])
    assert is_removal(*del_link()[::3])
    assert not is_removal(*LEFT_BRIDGE[::3])
    assert not is_removal(RTM_NEWLINK, a_link())


@pytest.mark.parametrize("record", [None, Failure(1), NeighbourParameters(AF_INET, 2, 1, 1, 1)])
def test_a_record_that_is_about_no_link(record: Any) -> None:
    assert index_of(record) == 0
