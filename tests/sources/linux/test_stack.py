"""The stack of links."""

from __future__ import annotations

from publisher.sources.linux.stack import LinkStack, named_by
from tests.fixtures.netlink_records import a_link


def test_a_port_is_below_its_master_and_a_vlan_is_above_its_link() -> None:
    stack = LinkStack()
    for link in (a_link(1, kind=b"bridge\0"), a_link(2, master=1), a_link(3, lower=2, kind=b"vlan\0")):
        stack.put(link)
    assert [stack.higher(index) for index in (1, 2, 3)] == [set(), {1, 3}, set()]
    assert [stack.lower(index) for index in (1, 2, 3)] == [{2}, set(), {2}]
    assert stack.adjacent(2) == {1, 3}


def test_a_link_that_is_not_there_is_in_no_stack_until_it_is() -> None:
    stack = LinkStack()
    stack.put(a_link(2, master=1))
    assert (stack.higher(2), stack.adjacent(2), stack.adjacent(1)) == (set(), {1}, {2})
    stack.put(a_link(1))
    assert (stack.higher(2), stack.lower(1)) == ({1}, {2})


def test_a_removed_link_leaves_its_stacks() -> None:
    stack = LinkStack()
    for link in (a_link(1), a_link(2, master=1), a_link(3, master=1)):
        stack.put(link)
    stack.remove(2)
    stack.remove(2)
    assert stack.lower(1) == {3}
    stack.remove(1)
    assert stack.higher(3) == set()
    stack.put(a_link(3))
    assert stack.adjacent(1) == set()


def test_the_peer_of_a_veth_and_a_link_elsewhere_are_not_named() -> None:
    assert named_by(a_link(2, lower=3, kind=b"veth\0")) == set()
    assert named_by(a_link(2, lower=3, lower_namespace=1, master=4)) == {4}
