"""One cached link: its rows, its addresses, and the objects that stay the same; and the stack of links."""

from __future__ import annotations

import pickle
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from publisher.events import Family, IpInterface
from publisher.sources import Remove, Update, Upsert, Validator
from publisher.sources.linux.link import CachedLink, may_change_speed, unreported_losses
from publisher.sources.linux.rows import PathMtuTimes, Times
from publisher.sources.linux.stack import LinkStack, lower_index, named_by
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_records import a_link, an_address

NOW = datetime(2026, 11, 22, 20, 4, 12, tzinfo=UTC)

LUID, OTHER_LUID = "0006008000000000", "0006008001000000"
VALIDATOR = Validator(CapturedLog())
FAMILIES: tuple[Family, ...] = ("inet", "inet6")


def cached(**members: Any) -> CachedLink:
    link = CachedLink(a_link(**members))
    link.if_type = 6
    link.set_luid(LUID)
    return link


def build(link: CachedLink, *, higher: tuple[str, ...] = (), lower: tuple[str, ...] = ()) -> list[Update]:
    return link.build(FAMILIES, PathMtuTimes(600_000, 600_000), higher, lower)


def shown(link: CachedLink, family: Family = "inet") -> list[str]:
    return [entry.address for entry in link.rows[family].addresses]


def test_the_rows_of_both_families_and_then_only_what_differs() -> None:
    link = cached()
    first = build(link)
    assert [update.row.family for update in first if isinstance(update, Upsert)] == ["inet", "inet6"]
    assert build(link) == []
    link.link = link.link._replace(mtu6=1280)
    [update] = build(link)
    assert isinstance(update, Upsert)
    assert (update.row.family, update.row.row.nl_mtu) == ("inet6", 1280)


def test_a_family_that_leaves_is_removed_and_comes_back() -> None:
    link = cached()
    build(link)
    link.link = a_link(disable_ipv6=1)
    assert build(link) == [Remove(LUID, "inet6")]
    link.link = a_link()
    [update] = build(link)
    assert isinstance(update, Upsert)
    assert update.row.family == "inet6"


def test_another_luid_removes_the_rows_under_the_one_before() -> None:
    link = cached()
    assert link.set_luid(LUID) == []
    build(link)
    assert link.set_luid(OTHER_LUID) == [Remove(LUID, "inet"), Remove(LUID, "inet6")]
    assert {update.row.luid for update in build(link) if isinstance(update, Upsert)} == {OTHER_LUID}


def test_a_luid_that_comes_back_before_the_rows_are_built_brings_them_again() -> None:
    link = cached()
    build(link)
    link.set_luid(OTHER_LUID)
    link.set_luid(LUID)
    assert {update.row.luid for update in build(link) if isinstance(update, Upsert)} == {LUID}


def test_the_rows_are_as_pydantic_alone_makes_them() -> None:
    link = cached(mtu6=1280, address=b"\x52\x54\0\x12\x34\x56")
    link.add_address(an_address("192.0.2.1", valid=100), NOW)
    build(link)
    for row in link.rows.values():
        plain = IpInterface.model_validate_json(row.model_dump_json())
        assert (row, row.model_dump_json()) == (plain, plain.model_dump_json())
        assert row.model_copy(deep=True) == pickle.loads(pickle.dumps(row)) == row


def test_equal_parts_stay_the_same_objects() -> None:
    link = cached()
    build(link)
    before: IpInterface = link.rows["inet"]
    link.times["inet"] = Times(base_reachable=30_000)
    build(link)
    after = link.rows["inet"]
    assert after.row.base_reachable_time == 30_000
    assert after.interface is before.interface is link.rows["inet6"].interface
    assert after.addresses is before.addresses


def test_the_stack_is_in_the_interface_of_both_families() -> None:
    link = cached()
    build(link, higher=(OTHER_LUID,), lower=(LUID,))
    assert [(row.interface.higher, row.interface.lower) for row in link.rows.values()] == [((OTHER_LUID,), (LUID,))] * 2


def test_addresses_are_sorted_as_text_and_each_is_there_once() -> None:
    link = cached()
    for text in ("192.0.2.9", "192.0.2.10", "192.0.2.9"):
        link.add_address(an_address(text), NOW)
    link.add_address(an_address("fd00::1", prefix_length=64), NOW)
    build(link)
    assert (shown(link), shown(link, "inet6")) == (["192.0.2.10", "192.0.2.9"], ["fd00::1"])
    link.remove_address(an_address("192.0.2.10"))
    link.remove_address(an_address("192.0.2.10"))
    build(link)
    assert shown(link) == ["192.0.2.9"]


def test_one_address_with_two_peers_stays_until_both_are_removed() -> None:
    link = cached()
    peers = [socket.inet_pton(socket.AF_INET, f"192.0.2.{number}") for number in (10, 11)]
    entries = [an_address("192.0.2.9", address=peer, prefix_length=32) for peer in peers]
    for entry in entries:
        link.add_address(entry, NOW)
    build(link)
    assert shown(link) == ["192.0.2.9"]
    link.remove_address(entries[0])
    build(link)
    assert shown(link) == ["192.0.2.9"]
    link.remove_address(entries[1])
    build(link)
    assert shown(link) == []


def test_all_addresses_are_replaced_and_equal_ones_stay_the_same_objects() -> None:
    link = cached()
    link.set_addresses(
        [an_address("192.0.2.1"), an_address("192.0.2.2"), an_address("192.0.2.3", family=99)], NOW, VALIDATOR
    )
    build(link)
    before = link.rows["inet"]
    link.set_addresses([an_address("192.0.2.2"), an_address("192.0.2.1")], NOW, VALIDATOR)
    assert build(link) == []
    assert link.rows["inet"] is before
    link.set_addresses([an_address("192.0.2.2", valid=100)], NOW, VALIDATOR)
    build(link)
    [entry] = link.rows["inet"].addresses
    assert (entry.address, entry.valid_until) == ("192.0.2.2", NOW + timedelta(seconds=100))


def test_what_our_models_do_not_accept_leaves_the_link_as_it_was() -> None:
    link = cached()
    link.set_addresses([an_address("192.0.2.1")], NOW, VALIDATOR)
    build(link)
    before = dict(link.rows)
    with pytest.raises(ValidationError):
        link.add_address(an_address("192.0.2.2", prefix_length=200), NOW)
    link.link = a_link(mtu=-1)
    with pytest.raises(ValidationError):
        build(link)
    assert link.rows == before
    link.link = a_link()
    assert build(link) == []


def test_an_address_that_our_models_do_not_accept_leaves_the_others_alone() -> None:
    link, validator = cached(), Validator(CapturedLog())
    odd = an_address("192.0.2.3", local=b"\1\2\3")
    link.set_addresses([an_address("192.0.2.2", prefix_length=200), odd, an_address("192.0.2.1")], NOW, validator)
    build(link)
    assert (shown(link), validator.invalid) == (["192.0.2.1"], 2)


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


def test_a_link_that_is_put_again_tells_which_stacks_it_joined_and_left() -> None:
    stack = LinkStack()
    assert stack.put(a_link(4, master=1)) == {1}
    assert stack.put(a_link(4, master=1, mtu=9000)) == set()
    assert stack.put(a_link(4, master=2, lower=3, kind=b"vlan\0")) == {1, 2, 3}
    assert stack.put(a_link(4, master=2, lower=3, kind=b"veth\0")) == {3}


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


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"lower": 5, "kind": b"vlan\0"}, 5),
        ({"lower": 0}, None),
        ({"lower": None}, None),
        ({"lower": 2}, None),
        ({"lower": 5, "lower_namespace": 0}, None),
        ({"lower": 5, "lower_namespace": 3}, None),
        ({"lower": 5, "kind": b"veth\0"}, None),
        ({"lower": 5, "kind": b"netkit\0"}, None),
        ({"lower": 5, "kind": b"vxcan\0"}, None),
    ],
)
def test_the_link_below_is_one_in_this_namespace_and_no_peer(members: dict[str, Any], expected: int | None) -> None:
    assert lower_index(a_link(2, **members)) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"mtu": 1400}, False),
        ({"flags": 0}, True),
        ({"operstate": 2}, True),
        ({"carrier": 0}, True),
        ({"name": b"x"}, True),
    ],
)
def test_the_driver_is_asked_for_the_speed_when_its_state_changes(members: dict[str, Any], expected: bool) -> None:
    assert may_change_speed(a_link(), a_link(**members)) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"carrier_downs": 1}, {"carrier_downs": 1}, 0),
        ({"carrier_downs": 1}, {"carrier_downs": 4}, 3),
        ({"carrier_downs": 1}, {"carrier_downs": 2, "carrier": 0}, 0),
        ({"carrier_downs": None}, {"carrier_downs": 4}, 0),
        ({"carrier_downs": 1}, {"carrier_downs": None}, 0),
        ({"carrier_downs": 4}, {"carrier_downs": 1}, 0),
    ],
)
def test_losses_of_the_carrier_without_a_message(before: dict[str, Any], after: dict[str, Any], expected: int) -> None:
    assert unreported_losses(a_link(**before), a_link(**after)) == expected
