"""LUIDs of interfaces over renames, re-plugs, reboots, clashes, kernel upgrades and thousands of containers."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from publisher.errors import JournalError
from publisher.events import luid_parts, make_luid
from publisher.journal.journal import Journal
from publisher.sources import assignments
from publisher.sources.assignments import LuidAssignment
from publisher.sources.identity import FIRST_NUMBER, LAST_NUMBER, Identity
from publisher.sources.luids import LuidAssigner, MemoryLuids

MAC, OTHER_MAC = bytes.fromhex("b827eb123456"), bytes.fromhex("b827ebabcdef")
LOCAL, OTHER_LOCAL = bytes.fromhex("d20000000101"), bytes.fromhex("ae0000000202")
VM, OTHER_VM = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")


def nic(name: str, address: bytes = MAC, port: str = "") -> Identity:
    return Identity(6, "", name.encode(), address, port)


def wifi(name: str, address: bytes = MAC) -> Identity:
    return Identity(71, "", name.encode(), address)


def veth(name: str) -> Identity:
    return Identity(53, "veth", name.encode())


@pytest.fixture
def store() -> MemoryLuids:
    return MemoryLuids()


def boot(store: MemoryLuids) -> LuidAssigner:
    return LuidAssigner(store)


def after_boot(store: MemoryLuids, identities: dict[int, Identity]) -> dict[int, str]:
    """Boots, and stores what was assigned."""
    assigner = boot(store)
    luids = assigner.assign_all(identities)
    assigner.flush()
    return luids


# The number


def test_the_number_is_of_the_identity_whatever_else_is_there_and_in_whatever_order(store: MemoryLuids) -> None:
    there = {1: nic("eth0"), 2: veth("v0"), 3: veth("v1"), 4: Identity(131, "wireguard", b"wg0")}
    luids = boot(store).assign_all(there)
    alone = [boot(MemoryLuids()).assign(9, identity) for identity in there.values()]
    assert alone == list(luids.values())
    assert [luid_parts(luid).if_type for luid in alone] == [6, 53, 53, 131]
    assert all(FIRST_NUMBER <= luid_parts(luid).net_luid_index <= LAST_NUMBER for luid in alone)


def test_the_number_never_changes_with_the_program() -> None:
    """Automations know interfaces by it: these values hold for ever."""
    assert boot(MemoryLuids()).assign(1, nic("eth0")) == "0006a1aca9000000"
    assert boot(MemoryLuids()).assign(1, veth("v0")) == "003595e434000000"


def test_the_number_of_hardware_does_not_depend_on_its_name() -> None:
    assert boot(MemoryLuids()).assign(1, nic("eth0")) == boot(MemoryLuids()).assign(1, nic("enp3s0"))


def test_the_number_of_a_phone_that_makes_up_addresses_depends_on_its_name() -> None:
    phone = Identity(6, "", b"usb0", LOCAL, lasting=False)
    assert boot(MemoryLuids()).assign(1, phone) == boot(MemoryLuids()).assign(1, phone._replace(address=OTHER_LOCAL))


def test_on_a_clash_the_next_number_is_used(store: MemoryLuids) -> None:
    v0 = boot(store).assign(1, veth("v0"))
    store.save_luids([LuidAssignment(v0, "veth", b"other", b"other")])
    assigned = boot(store).assign(1, veth("v0"))
    assert luid_parts(assigned).net_luid_index == luid_parts(v0).net_luid_index + 1


def test_after_the_last_number_comes_the_first(store: MemoryLuids, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "number_by_name", lambda _: LAST_NUMBER)
    assigner = boot(store)
    numbers = [luid_parts(assigner.assign(index, veth(f"v{index}"))).net_luid_index for index in range(2)]
    assert numbers == [LAST_NUMBER, FIRST_NUMBER]


# Software


def test_a_rename_keeps_the_luid(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(1, veth("v0"))
    assert assigner.assign(1, veth("new")) == before
    assigner.flush()
    assert boot(store).assign(9, veth("new")) == before
    assert boot(store).assign(9, veth("v0")) != before


def test_made_anew_by_the_same_name_has_the_luid_again(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(1, veth("v0"))
    assigner.release(1)
    assert assigner.assign(2, veth("v0")) == before


def test_names_of_any_bytes_are_not_mixed_up(store: MemoryLuids) -> None:
    raw, escaped = (Identity(53, "veth", name) for name in (b"a\xff", b"a\\xff"))
    luids = after_boot(store, {1: raw, 2: escaped})
    assert len(set(luids.values())) == 2
    assert boot(store).assign_all({1: escaped, 2: raw}) == {1: luids[2], 2: luids[1]}


def test_renamed_onto_the_name_of_one_that_is_gone_it_keeps_its_luid_over_a_restart(store: MemoryLuids) -> None:
    assigner = boot(store)
    mine = assigner.assign(1, veth("tun1"))
    gone = assigner.assign(2, veth("tun-home"))
    assigner.release(2)
    assert assigner.assign(1, veth("tun-home")) == mine
    assigner.flush()
    assert boot(store).assign(1, veth("tun-home")) == mine
    assert gone not in {assignment.luid for assignment in store.load_luids()}


def test_names_that_are_swapped_while_watched_are_followed(store: MemoryLuids) -> None:
    assigner = boot(store)
    a, b = assigner.assign(1, veth("a")), assigner.assign(2, veth("b"))
    for name, index in (("tmp", 1), ("a", 2), ("b", 1)):
        assigner.assign(index, veth(name))
    assigner.flush()
    assert boot(store).assign_all({7: veth("a"), 8: veth("b")}) == {7: b, 8: a}


def test_names_that_were_swapped_in_one_read_are_followed(store: MemoryLuids) -> None:
    assigner = boot(store)
    luids = assigner.assign_all({1: veth("a"), 2: veth("b"), 3: veth("c")})
    assert assigner.assign_all({1: veth("b"), 2: veth("c"), 3: veth("a")}) == luids
    assigner.flush()
    assert boot(store).assign_all({1: veth("b"), 2: veth("c"), 3: veth("a")}) == luids


def test_another_device_under_the_same_index_is_another(store: MemoryLuids) -> None:
    assigner = boot(store)
    luids = [assigner.assign(1, device) for device in (veth("v0"), Identity(209, "bridge", b"v0"), nic("v0"))]
    luids += [assigner.assign(1, nic("v0", OTHER_MAC))]
    assert len(set(luids)) == 4


# Hardware


def test_hardware_is_known_by_its_address_after_a_reboot_under_another_name(store: MemoryLuids) -> None:
    before = after_boot(store, {2: nic("eth0")})
    assert boot(store).assign(7, nic("enp3s0")) == before[2]


def test_hardware_whose_names_were_swapped_at_boot(store: MemoryLuids) -> None:
    before = after_boot(
        store, {2: nic("eth1"), 3: nic("eth2", OTHER_MAC), 4: nic("eth3", VM), 5: nic("eth4", OTHER_VM)}
    )
    swapped = {2: nic("eth2"), 3: nic("eth1", OTHER_MAC), 4: nic("eth4", VM), 5: nic("eth3", OTHER_VM)}
    assert boot(store).assign_all(swapped) == before


def test_unplugged_and_plugged_again(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(5, nic("usb0"))
    assigner.release(5)
    assert assigner.assign(6, nic("usb1")) == before


def test_the_card_that_takes_the_place_of_another_is_another(store: MemoryLuids) -> None:
    before = after_boot(store, {2: nic("eth0")})
    assert boot(store).assign(2, nic("eth0", OTHER_MAC)) != before[2]


# Hardware that shares an address


def test_two_live_interfaces_never_share_one(store: MemoryLuids) -> None:
    luids = boot(store).assign_all({1: nic("a"), 2: nic("b"), 3: nic("c")})
    assert len(set(luids.values())) == 3


def test_where_addresses_clash_the_name_decides_whatever_the_order(store: MemoryLuids) -> None:
    first = boot(store)
    a, b = (first.assign(index, nic(name)) for index, name in ((1, "a"), (2, "b")))
    first.flush()
    assert boot(store).assign_all({5: nic("b"), 6: nic("a")}) == {5: b, 6: a}
    assert boot(store).assign_all({5: nic("new"), 6: nic("a"), 7: nic("b")})[6] == a


def test_of_one_radio_another_role_does_not_get_the_luid_of_one_that_is_gone(store: MemoryLuids) -> None:
    assigner = boot(store)
    _, uap0 = assigner.assign(3, wifi("wlan0")), assigner.assign(4, wifi("uap0"))
    assigner.release(4)
    mon0 = assigner.assign(5, wifi("mon0"))
    assert mon0 != uap0
    assert assigner.assign(6, wifi("uap0")) == uap0


def test_what_was_shared_once_is_never_guessed_again(store: MemoryLuids) -> None:
    known = after_boot(store, {1: wifi("wlan0"), 2: wifi("uap0")})
    assert after_boot(store, {1: wifi("wlan0")}) == {1: known[1]}
    assert after_boot(store, {1: wifi("strange")})[1] not in known.values()
    assert after_boot(store, {1: wifi("uap0"), 2: wifi("wlan0")}) == {1: known[2], 2: known[1]}


def test_a_radio_that_udev_renames_at_each_boot_has_one_luid(store: MemoryLuids) -> None:
    seen = set()
    for _ in range(4):
        assigner = boot(store)
        seen.add(assigner.assign(3, wifi("wlan0")))
        seen.add(assigner.assign(3, wifi("wlp1s0")))
        assigner.assign(4, wifi("uap0"))
        assigner.flush()
    assert len(seen) == 1


def test_hardware_without_a_reported_address_that_udev_renames_at_each_boot_has_one_luid(store: MemoryLuids) -> None:
    seen = set()
    for _ in range(4):
        assigner = boot(store)
        seen.add(assigner.assign(3, nic("eth0", b"")))
        seen.add(assigner.assign(3, nic("enp3s0", b"")))
        assigner.flush()
    assert len(seen) == 1


def test_ports_of_one_card_with_one_address_are_known_by_port_when_names_swap(store: MemoryLuids) -> None:
    known = after_boot(store, {1: nic("eth0", port="0000:01:00.0/"), 2: nic("eth1", port="0000:01:00.0/1")})
    swapped = {1: nic("eth1", port="0000:01:00.0/"), 2: nic("eth0", port="0000:01:00.0/1")}
    assert after_boot(store, swapped) == known
    without_ports = {1: nic("eth0"), 2: nic("eth1")}
    assert boot(store).assign_all(without_ports) == {1: known[2], 2: known[1]}


def test_roles_at_one_port_are_known_by_name(store: MemoryLuids) -> None:
    radio = "0000:02:00.0/"
    known = after_boot(store, {1: nic("wlan0", port=radio), 2: nic("uap0", port=radio)})
    assert boot(store).assign(5, nic("mon0", port=radio)) not in known.values()
    assert boot(store).assign(5, nic("uap0", port=radio)) == known[2]


def test_the_pair_of_a_virtual_machine_keeps_its_luids_in_any_order(store: MemoryLuids) -> None:
    """Hyper-V's synthetic device and the virtual function beside it, or net_failover's three, have one address."""
    known = after_boot(store, {2: nic("eth0", port="vmbus/"), 3: nic("enP1s1", port="pci/")})
    assert after_boot(store, {2: nic("enP1s1", port="pci/"), 3: nic("eth0", port="vmbus/")}) == {
        2: known[3],
        3: known[2],
    }
    assert after_boot(store, {2: nic("enP2s2", port="pci/")}) == {2: known[3]}


def test_a_shared_address_without_a_store_gives_the_first_the_number_of_the_address() -> None:
    """The first to come has the lower index: what `watch()` finds beside a service is what the service assigned."""
    service = boot(MemoryLuids())
    assigned = {3: service.assign(3, wifi("wlan0")), 4: service.assign(4, wifi("uap0"))}
    assert boot(MemoryLuids()).assign_all({4: wifi("uap0"), 3: wifi("wlan0")}) == assigned


# Kernels that report no address, and addresses that are made up


def test_a_kernel_that_begins_to_report_addresses_changes_no_luid_and_neither_does_a_downgrade(
    store: MemoryLuids,
) -> None:
    old = {2: nic("eth0", b""), 3: Identity(71, "", b"wlan0"), 4: veth("v0")}
    new = {2: nic("eth0"), 3: wifi("wlan0", OTHER_MAC), 4: veth("v0")}
    known = after_boot(store, old)
    assert after_boot(store, new) == known
    assert after_boot(store, old) == known
    assert after_boot(store, new) == known
    assert after_boot(store, {2: nic("enp3s0"), 3: wifi("wlp4s0", OTHER_MAC), 4: veth("v0")}) == known
    renamed = {2: nic("enp3s0", b""), 3: Identity(71, "", b"wlp4s0"), 4: veth("v0")}
    assert after_boot(store, renamed) == known


def test_a_kernel_that_begins_to_report_a_shared_address_changes_no_luid(store: MemoryLuids) -> None:
    known = after_boot(store, {2: Identity(71, "", b"wlan0"), 3: Identity(71, "", b"uap0")})
    assert after_boot(store, {2: wifi("wlan0"), 3: wifi("uap0")}) == known
    assert after_boot(store, {2: Identity(71, "", b"wlan0"), 3: Identity(71, "", b"uap0")}) == known


def test_where_addresses_are_reported_one_without_is_not_the_hardware_that_had_its_name(store: MemoryLuids) -> None:
    known = after_boot(store, {2: nic("eth0"), 3: nic("eth1", OTHER_MAC)})
    assert after_boot(store, {2: nic("eth0"), 3: nic("eth1", b"")})[3] != known[3]


def test_a_phone_that_makes_up_an_address_at_each_plug_has_one_luid(store: MemoryLuids) -> None:
    addresses = (LOCAL, OTHER_LOCAL, bytes.fromhex("e20000000303"))
    assert len({after_boot(store, {3: nic("usb0", address)})[3] for address in addresses}) == 1


def test_a_phone_that_is_plugged_again_while_watched_has_one_luid(store: MemoryLuids) -> None:
    assigner = boot(store)
    before = assigner.assign(3, nic("usb0", LOCAL))
    assigner.release(3)
    assert assigner.assign(4, nic("usb0", OTHER_LOCAL)) == before


def test_two_phones_at_once_are_two(store: MemoryLuids) -> None:
    known = after_boot(store, {3: nic("usb0", LOCAL), 4: nic("usb1", OTHER_LOCAL)})
    assert len(set(known.values())) == 2
    third = bytes.fromhex("e20000000303")
    assert after_boot(store, {3: nic("usb0", OTHER_LOCAL), 4: nic("usb1", third)})[3] == known[4]


def test_a_virtual_machine_is_known_by_address_before_name(store: MemoryLuids) -> None:
    known = after_boot(store, {2: nic("eth0", VM), 3: nic("eth1", OTHER_VM)})
    new = bytes.fromhex("525400777777")
    assert after_boot(store, {2: nic("eth1", VM), 3: nic("eth0", new)})[2] == known[2]
    assert boot(store).assign(3, nic("eth1", OTHER_VM)) == known[3]


def test_a_made_up_address_does_not_continue_hardware_with_an_address_of_its_maker(store: MemoryLuids) -> None:
    known = after_boot(store, {2: nic("eth1", MAC)})
    assert boot(store).assign(2, nic("eth1", LOCAL)) != known[2]


# History


def test_luids_of_an_older_publisher_are_kept(store: MemoryLuids) -> None:
    store.save_luids([LuidAssignment(make_luid(6, 0x8002), "", b"eth0", b"eth0", MAC)])
    assert boot(store).assign(2, nic("enp3s0")) == make_luid(6, 0x8002)


def test_several_of_one_address_in_the_store_were_shared(store: MemoryLuids) -> None:
    store.save_luids(LuidAssignment(make_luid(6, n), "", b"e%d" % n, b"e%d" % n, MAC) for n in (0x8000, 0x8001))
    assert boot(store).assign(2, nic("e9")) not in (make_luid(6, 0x8000), make_luid(6, 0x8001))


def test_nothing_is_stored_twice_and_a_failure_is_tried_again() -> None:
    class Store(MemoryLuids):
        fails = True
        saved: list[str] = []  # noqa: RUF012 - one store

        def save_luids(self, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()) -> None:
            assert not removed
            if self.fails:
                raise JournalError("the disk is full")
            self.saved += [assignment.luid for assignment in assignments]

    store = Store()
    assigner = LuidAssigner(store)
    luid = assigner.assign(1, veth("v0"))
    with pytest.raises(JournalError):
        assigner.flush()
    store.fails = False
    assigner.flush()
    assigner.flush()
    assigner.assign(1, veth("v0"))
    assigner.flush()
    assert store.saved == [luid]


def test_the_number_of_what_is_gone_is_bounded_and_what_went_first_is_forgotten(
    store: MemoryLuids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "MOST_NAMED", 3)
    monkeypatch.setattr(assignments, "MOST_HARDWARE", 2)
    assigner = boot(store)
    assigner.assign_all({1: veth("stays"), 2: nic("eth0")})
    for n in range(9):
        assigner.assign(10 + n, veth(f"v{n}"))
        assigner.assign(30 + n, nic(f"e{n}", bytes([0, 1, 2, 3, 4, n])))
    for n in range(9):
        assigner.release(10 + n)
        assigner.release(30 + n)
    assigner.flush()
    assert {found.name for found in store.load_luids()} == {b"stays", b"eth0", b"v6", b"v7", b"v8", b"e7", b"e8"}


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_the_order_in_which_interfaces_went_is_kept_over_restarts(
    store: MemoryLuids, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    together = {index: veth(f"v{index}") for index in order}
    for present in (together, {8: veth("v8")}, {9: veth("v9")}):
        assigner = boot(store)
        assigner.assign_all(present)
        if 9 in present:
            monkeypatch.setattr(assignments, "MOST_NAMED", 3)
        for index in present:
            assigner.release(index)
        assigner.flush()
    assert {found.name for found in store.load_luids()} == {b"v%d" % order[-1], b"v8", b"v9"}


def test_an_interface_that_comes_and_goes_costs_the_same_however_many_were_there(tmp_path: Path) -> None:
    def cost(count: int) -> float:
        with_many = Journal.open(tmp_path / f"{count}.sqlite3", node="ci")
        with_many.luids.save_luids(
            LuidAssignment(make_luid(53, FIRST_NUMBER + n), "veth", b"veth%06x" % n, b"veth%06x" % n, seen=n)
            for n in range(count)
        )
        assigner, spent = LuidAssigner(with_many.luids), []
        for n in range(50):
            begin = time.perf_counter()
            assigner.assign(1000 + n, veth(f"vethnew{n}"))
            assigner.flush()
            assigner.release(1000 + n)
            assigner.flush()
            spent.append(time.perf_counter() - begin)
        with_many.close()
        return min(spent)

    assert cost(100_000) < 3 * cost(1_000)


def test_a_table_of_100_000_is_pruned_on_the_disk_at_opening(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite3", node="ci")
    journal.luids.save_luids(
        LuidAssignment(make_luid(53, FIRST_NUMBER + n), "veth", b"v%06x" % n, b"v%06x" % n, seen=n)
        for n in range(100_000)
    )
    kept = journal.luids.load_luids()
    assert len(kept) == assignments.MOST_NAMED
    assert min(found.seen for found in kept) == 100_000 - assignments.MOST_NAMED
    journal.close()


# Any history


NAMES = ("a", "b", "c")
ADDRESSES = (b"", MAC, LOCAL, OTHER_LOCAL)


class Histories(RuleBasedStateMachine):
    """Interfaces come, go and are renamed, and the publisher restarts; the test knows which is which."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryLuids()
        self.assigner = LuidAssigner(self.store)
        self.live: dict[int, Identity] = {}
        self.luids: dict[int, str] = {}
        self.index = 0

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(["", "veth"]), address=st.sampled_from(ADDRESSES))
    def appear(self, name: str, kind: str, address: bytes) -> None:
        if name.encode() not in {identity.name for identity in self.live.values()}:
            self.index += 1
            identity = Identity(6, kind, name.encode(), b"" if kind else address)
            self.live[self.index] = identity
            self.luids[self.index] = self.assigner.assign(self.index, identity)

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        if self.live:
            index = data.draw(st.sampled_from(sorted(self.live)))
            del self.live[index], self.luids[index]
            self.assigner.release(index)

    @rule(data=st.data(), name=st.sampled_from([*NAMES, "d"]))
    def rename(self, data: st.DataObject, name: str) -> None:
        if self.live and name.encode() not in {identity.name for identity in self.live.values()}:
            index = data.draw(st.sampled_from(sorted(self.live)))
            self.live[index] = self.live[index]._replace(name=name.encode())
            assert self.assigner.assign(index, self.live[index]) == self.luids[index]

    @rule(orders=st.randoms(use_true_random=False))
    def restart(self, orders: Random) -> None:
        self.assigner.flush()
        self.assigner = LuidAssigner(self.store)
        indexes = sorted(self.live)
        orders.shuffle(indexes)
        renumbered = {100 * self.index + n: self.live[index] for n, index in enumerate(indexes)}
        expected = {100 * self.index + n: self.luids[index] for n, index in enumerate(indexes)}
        assert self.assigner.assign_all(renumbered) == expected
        self.live, self.luids, self.index = renumbered, expected, 100 * self.index + len(indexes)

    @invariant()
    def no_two_share_one(self) -> None:
        assert len(set(self.luids.values())) == len(self.luids)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=100, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
