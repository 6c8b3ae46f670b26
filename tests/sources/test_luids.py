"""LUIDs of interfaces over renames, re-plugs, reboots, clashes and months."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from publisher.errors import JournalError
from publisher.events import luid_parts
from publisher.sources.luids import Device, LuidAssigner, LuidAssignment, MemoryLuids

DAY = 86_400.0
MAC, OTHER_MAC = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")


def nic(name: str, permanent: bytes | None = MAC) -> Device:
    return Device(6, "", name.encode(), permanent)


def veth(name: str) -> Device:
    return Device(53, "veth", name.encode())


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryLuids:
    return MemoryLuids()


def boot(store: MemoryLuids, clock: Clock | None = None) -> LuidAssigner:
    return LuidAssigner(store, clock or Clock())


def test_numbers_begin_at_0x8000_for_each_type(store: MemoryLuids) -> None:
    luids = boot(store).assign_all({1: nic("eth0"), 2: veth("v0"), 3: veth("v1")})
    assert [luid_parts(luids[index]) for index in (1, 2, 3)] == [(6, 0x8000), (53, 0x8000), (53, 0x8001)]


def test_a_rename_keeps_the_luid(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(1, veth("v0"))
    assert assigner.assign(1, veth("new")) == before
    assigner.flush()
    assert boot(store).assign(9, veth("new")) == before
    assert boot(store).assign(9, veth("v0")) != before


def test_hardware_is_known_by_its_address_after_a_reboot_under_another_name(store: MemoryLuids) -> None:
    first = boot(store)
    before = first.assign(2, nic("eth0"))
    first.flush()
    assert boot(store).assign(7, nic("enp3s0")) == before


def test_unplugged_and_plugged_again(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(5, nic("usb0"))
    assigner.release(5)
    assert assigner.assign(6, nic("usb1")) == before


def test_two_live_interfaces_never_share_one(store: MemoryLuids) -> None:
    luids = boot(store).assign_all({1: nic("a"), 2: nic("b"), 3: nic("c")})
    assert len(set(luids.values())) == 3


def test_where_keys_clash_the_name_decides_whatever_the_order(store: MemoryLuids) -> None:
    first = boot(store)
    a, b = (first.assign(index, nic(name)) for index, name in ((1, "a"), (2, "b")))
    first.flush()
    assert boot(store).assign_all({5: nic("b"), 6: nic("a")}) == {5: b, 6: a}
    assert boot(store).assign_all({5: nic("new"), 6: nic("a"), 7: nic("b")})[6] == a


def test_a_stranger_does_not_take_the_luid_of_one_that_is_there(store: MemoryLuids) -> None:
    first = boot(store)
    mine = first.assign(1, nic("a"))
    first.flush()
    assert boot(store).assign_all({1: nic("stranger"), 2: nic("a")})[2] == mine


def test_another_device_under_the_same_index_is_another(store: MemoryLuids) -> None:
    assigner = boot(store)
    luids = [assigner.assign(1, device) for device in (veth("v0"), Device(209, "bridge", b"v0"), nic("v0"))]
    luids += [assigner.assign(1, nic("v0", OTHER_MAC))]
    assert len(set(luids)) == 4


def test_made_anew_by_the_same_name_has_the_luid_again(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(1, veth("v0"))
    assigner.release(1)
    assert assigner.assign(2, veth("v0")) == before


def test_names_of_any_bytes_are_not_mixed_up(store: MemoryLuids) -> None:
    raw, escaped = (Device(53, "veth", name) for name in (b"a\xff", b"a\\xff"))
    first = boot(store)
    luids = first.assign_all({1: raw, 2: escaped})
    first.flush()
    assert len(set(luids.values())) == 2
    assert boot(store).assign_all({1: escaped, 2: raw}) == {1: luids[2], 2: luids[1]}


def test_after_30_days_unseen_luids_are_used_again_the_oldest_first(store: MemoryLuids) -> None:
    clock = Clock()
    assigner = boot(store, clock)
    gone = []
    for day, name in enumerate(("first", "second")):
        clock.now += day * DAY
        gone.append(assigner.assign(1, veth(name)))
        assigner.release(1)
    stays = assigner.assign(3, veth("stays"))
    assigner.flush()
    clock.now += 28 * DAY
    assert assigner.assign(4, veth("soon")) not in [*gone, stays]
    clock.now += 40 * DAY
    later = boot(store, clock)
    assert later.assign(3, veth("stays")) == stays
    assert later.assign(5, veth("x")) == gone[0]
    assert later.assign(6, veth("y")) == gone[1]
    assert later.assign(7, veth("z")) not in [*gone, stays]


def test_an_interface_that_stays_was_last_seen_now(store: MemoryLuids) -> None:
    clock = Clock()
    assigner = boot(store, clock)
    luid = assigner.assign(1, veth("v0"))
    assigner.flush()
    clock.now += 20 * DAY
    assigner.flush()
    assert [assignment.last_seen for assignment in store.load_luids()] == [clock.now]
    assert luid in {assignment.luid for assignment in store.load_luids()}


def test_nothing_is_stored_twice_and_a_failure_is_tried_again() -> None:
    class Store(MemoryLuids):
        fails = True
        saved: list[str] = []  # noqa: RUF012 - one store

        def save_luids(self, assignments: Iterable[LuidAssignment]) -> None:
            if self.fails:
                raise JournalError("the disk is full")
            self.saved += [assignment.luid for assignment in assignments]

    store = Store()
    assigner = LuidAssigner(store, Clock())
    luid = assigner.assign(1, veth("v0"))
    with pytest.raises(JournalError):
        assigner.flush()
    store.fails = False
    assigner.flush()
    assigner.flush()
    assert store.saved == [luid]


def test_among_several_assignments_of_the_same_hardware_nothing_is_guessed(store: MemoryLuids) -> None:
    first = boot(store)
    known = first.assign_all({1: nic("a"), 2: nic("b")})
    first.flush()
    assert boot(store).assign(5, nic("c")) not in known.values()


def test_a_clock_that_was_set_back_does_not_stop_the_refreshing(store: MemoryLuids) -> None:
    clock = Clock()
    assigner = boot(store, clock)
    assigner.assign(1, veth("v0"))
    assigner.flush()
    clock.now -= 20 * DAY
    assigner.flush()
    assert [assignment.last_seen for assignment in store.load_luids()] == [clock.now]


def test_an_interface_was_last_seen_when_it_was_removed(store: MemoryLuids) -> None:
    clock = Clock()
    assigner = boot(store, clock)
    assigner.assign(1, veth("v0"))
    assigner.flush()
    clock.now += 0.2 * DAY
    assigner.release(1)
    assigner.flush()
    assert [assignment.last_seen for assignment in store.load_luids()] == [clock.now]
