"""The cache of links: from messages, and the reads made after them, to updates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest

from publisher.errors import JournalError
from publisher.events import Family, IpInterface
from publisher.sources import Families, Remove, Update, Upsert
from publisher.sources.assignments import LuidAssignment
from publisher.sources.linux.cache import LinkCache
from publisher.sources.linux.parts import Dump
from publisher.sources.linux.rows import PathMtuTimes, Times, offloads_of
from publisher.sources.linux.rtnetlink import (
    AF_BRIDGE,
    AF_INET,
    AF_INET6,
    IFLA_EVENT_FEATURES,
    AddressMessage,
    Link,
    Message,
    NeighbourParameters,
)
from publisher.sources.luids import LuidAssigner, LuidStore, MemoryLuids
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_records import (
    Details,
    a_link,
    an_address,
    del_address,
    del_link,
    new_address,
    new_link,
)

NO_TIMES = PathMtuTimes()


class Cache:
    """A LinkCache with what it stands on."""

    def __init__(self, *links: Link, families: Families = "unspec", store: LuidStore | None = None) -> None:
        self.now = 1000.0
        self.details = Details()
        self.log = CapturedLog()
        self.cache = LinkCache(self.log, LuidAssigner(store or MemoryLuids()), self.details, families, lambda: self.now)
        self.resync(*links)

    def resync(
        self,
        *links: Link,
        addresses: Iterable[AddressMessage] = (),
        neighbours: Iterable[NeighbourParameters] = (),
        path_mtu: PathMtuTimes = NO_TIMES,
        waiting: Iterable[Message] = (),
    ) -> list[Message]:
        """Takes a dump; returns the messages that are left."""
        dump = Dump(list(links), list(addresses), list(neighbours), path_mtu)
        rows, left = self.cache.resync(dump, list(waiting))
        self.rows = {(row.interface.alias, row.family): row for row in rows}
        return left

    def apply(self, *messages: Message, reads: Iterable[Link] | None = ()) -> list[tuple[Any, ...]]:
        """Applies messages; returns the updates, short."""
        by_index = None if reads is None else {link.ifindex: link for link in reads}
        return [short(update) for update in self.cache.apply(list(messages), by_index)]

    def complete(self, *reads: Link) -> list[tuple[Any, ...]]:
        """Takes what was read whole of the links of which messages carried a part; returns the updates, short."""
        return [short(update) for update in self.cache.complete({link.ifindex: link for link in reads})]


def short(update: Update) -> tuple[Any, ...]:
    match update:
        case Upsert(row):
            return "+", row.interface.alias, row.family
        case Remove(_, family):
            return "-", family
        case _:
            raise AssertionError(update)


def mtus(updates: Iterable[Update], family: Family = "inet") -> list[tuple[int | None, int | None]]:
    """The mtu of the interface and of the family, for each update of a family."""
    rows = [update.row for update in updates if isinstance(update, Upsert) and update.row.family == family]
    return [(row.interface.mtu, row.row.nl_mtu) for row in rows]


BOTH = [("+", "eth0", "inet"), ("+", "eth0", "inet6")]
GONE = [("-", "inet"), ("-", "inet6")]


# Received states


def test_each_received_state_is_an_update_in_the_order_received() -> None:
    cache = Cache(a_link(mtu=1500)).cache
    updates = cache.apply([new_link(mtu=mtu) for mtu in (1400, 1300, 1400)], None)
    assert mtus(updates) == [(1400, 1400), (1300, 1300), (1400, 1400)]


def test_the_same_state_again_is_no_update() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_link(), new_link(carrier_downs=1), reads=[a_link()]) == []


def test_the_newest_state_is_one_update_together_with_the_settings_that_were_read() -> None:
    cache = Cache(a_link(mtu=1500, mtu6=1500)).cache
    read = a_link(mtu=1400, mtu6=1400)
    updates = cache.apply([new_link(mtu=1450, mtu6=1500), new_link(mtu=1400, mtu6=1500)], {2: read})
    assert mtus(updates, "inet6") == [(1450, 1500), (1400, 1400)]


def test_the_settings_in_a_message_are_never_used_for_a_known_link() -> None:
    cache = Cache(a_link(forwarding=0, dad_transmits=1))
    assert cache.apply(new_link(forwarding=1, dad_transmits=9, has_inet6=None), reads=None) == []
    assert cache.apply(new_link(mtu=1400, forwarding=1, dad_transmits=9, has_inet6=None), reads=None) == BOTH
    assert (
        cache.apply(new_link(mtu=1300, forwarding=1), reads=[a_link(mtu=1300, forwarding=0, dad_transmits=1)]) == BOTH
    )


def test_a_read_gives_settings_only_since_messages_about_the_link_itself_may_wait() -> None:
    cache = Cache(a_link(mtu=1500, dad_transmits=1)).cache
    newer = a_link(mtu=1200, name="later", operstate=2, dad_transmits=3)
    updates = cache.apply([new_link(mtu=1400)], {2: newer})
    assert mtus(updates) == [(1400, 1400)]
    [row] = [update.row for update in updates if isinstance(update, Upsert) and update.row.family == "inet6"]
    assert (row.interface.alias, row.interface.oper_status, row.row.dad_transmits) == ("eth0", "up", 3)


def test_losses_of_the_carrier_are_counted_between_received_states() -> None:
    cache = Cache(a_link(carrier_downs=1))
    cache.apply(new_link(carrier_downs=1, mtu=1400), reads=[a_link(carrier_downs=4, mtu=1400)])
    assert cache.log.lines("carrier") == []
    cache.apply(new_link(carrier_downs=4, mtu=1300))
    [line] = cache.log.lines("carrier")
    assert line == "eth0: the carrier was lost and came back 3 times without a message"


def test_a_link_that_no_message_reported_yet_is_not_taken_from_a_read() -> None:
    cache = Cache()
    assert cache.apply(new_address("192.0.2.1"), reads=[a_link()]) == []
    assert cache.apply(new_link(), reads=[a_link()]) == BOTH


def test_a_message_without_the_state_changes_nothing() -> None:
    cache = Cache(a_link())
    scan = new_link(mtu=None, operstate=None, flags=0, carrier=None)
    assert cache.apply(scan, reads=[a_link()]) == []
    assert Cache().apply(scan, reads=[a_link()]) == []


def test_messages_of_a_bridge_change_nothing() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_link(family=AF_BRIDGE, mtu=1), del_link(family=AF_BRIDGE), reads=[a_link()]) == []


def test_a_removed_link_is_removed_and_its_going_down_is_no_update() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_link(flags=0), del_address("192.0.2.1"), del_link()) == GONE
    assert cache.apply(del_link()) == []
    assert cache.cache.name(2) is None


def test_a_link_that_came_and_went_is_both() -> None:
    assert Cache().apply(new_link(), new_link(mtu=1400), new_link(flags=0), del_link()) == [*BOTH, *BOTH, *GONE]


def test_made_again_with_the_same_index_is_a_removal_and_an_addition() -> None:
    cache = Cache(a_link())
    cache.apply(new_address("192.0.2.1"))
    assert cache.apply(del_link(), new_link(), reads=[a_link(dad_transmits=2)]) == [*GONE, *BOTH]
    cache.apply(new_address("192.0.2.2"))
    assert addresses(cache) == ["192.0.2.2"]


def test_the_read_of_a_new_link_is_not_mixed_with_the_one_before_it() -> None:
    cache = Cache(a_link()).cache
    messages = [new_link(mtu=1400), del_link(), new_link(name="other", mtu=1300)]
    updates = cache.apply(messages, {2: a_link(name="other", mtu=1300, mtu6=1299)})
    assert mtus(updates, "inet6") == [(1400, 1500), (1300, 1299)]


@pytest.mark.parametrize(("families", "expected"), [("inet", BOTH[:1]), ("inet6", BOTH[1:])])
def test_one_family_only(families: Families, expected: list[Any]) -> None:
    assert Cache(families=families).apply(new_link()) == expected


# What is put off until nothing more waits


def test_addresses_that_change_together_are_one_update() -> None:
    cache = Cache(a_link())
    added = [new_address(f"192.0.2.{number}") for number in range(1, 100)]
    assert cache.apply(*added[:50], reads=None) == []
    assert cache.apply(*added[50:], del_address("192.0.2.7")) == BOTH[:1]
    assert len(addresses(cache)) == 98


def test_addresses_that_came_and_went_together_are_no_update() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_address("192.0.2.1"), del_address("192.0.2.1")) == []


def test_a_refreshed_lifetime_is_reported_once() -> None:
    cache = Cache(a_link())
    cache.apply(new_address("192.0.2.1", valid=900))
    assert cache.apply(*(new_address("192.0.2.1", valid=valid) for valid in (1000, 999, 998))) == BOTH[:1]


def test_a_row_with_thousands_of_addresses_is_reported_after_a_pause_and_at_once_when_it_rested() -> None:
    many = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
    cache = Cache()
    cache.resync(a_link(), addresses=map(an_address, many))
    cache.now += 60
    assert cache.apply(new_address("192.0.2.1")) == BOTH[:1]
    assert cache.apply(new_address("192.0.2.2")) == []
    assert cache.cache.put_off_until == pytest.approx(cache.now + 0.02, abs=0.001)
    cache.now += 0.01
    assert cache.apply(new_address("192.0.2.3")) == []
    cache.now += 0.02
    assert cache.apply() == BOTH[:1]
    assert cache.cache.put_off_until == math.inf
    assert len(addresses(cache)) == 1003
    assert cache.apply(new_address("192.0.2.4")) == []
    assert [short(update) for update in cache.cache.flush()] == BOTH[:1]
    assert cache.apply(new_address("192.0.2.5"), new_link(mtu=1400)) == BOTH, "a state of the link is never put off"
    assert len(addresses(cache)) == 1005


def test_a_bridge_with_hundreds_of_ports_is_reported_after_a_pause() -> None:
    ports = [a_link(index, f"p{index}", master=1) for index in range(10, 300)]
    cache = Cache(a_link(1, "br0", kind=b"bridge\0"), a_link(2, "p2"), a_link(3, "p3"), *ports)
    bridge = [("+", "br0", "inet"), ("+", "br0", "inet6")]
    cache.now += 60
    assert cache.apply(new_link(2, "p2", master=1))[-2:] == bridge
    assert [update[1] for update in cache.apply(new_link(3, "p3", master=1))] == ["p3", "p3"]
    cache.now += 60
    assert cache.apply() == bridge


def test_the_cost_of_thousands_of_addresses_does_not_grow_with_their_square() -> None:
    cache = Cache(a_link())
    entries = 0
    for number in range(5000):
        cache.now += 1 / 16_000  # as fast as `ip -batch` adds them
        updates = cache.cache.apply([new_address(f"10.{number // 62500}.{number // 250 % 250}.{number % 250}")], {})
        entries += sum(len(update.row.addresses) for update in updates if isinstance(update, Upsert))
    assert entries < 10 * 5000


def test_ports_that_are_added_together_are_one_update_of_their_bridge() -> None:
    cache = Cache(a_link(1, "br0", kind=b"bridge\0"), *(a_link(index, f"p{index}") for index in range(2, 50)))
    updates = cache.apply(*(new_link(index, f"p{index}", master=1) for index in range(2, 50)))
    assert updates.count(("+", "br0", "inet")) == 1
    assert updates[-2:] == [("+", "br0", "inet"), ("+", "br0", "inet6")]
    free = [new_link(index, f"p{index}") for index in range(2, 50)]
    assert cache.apply(*free, reads=None) == []
    updates = cache.complete(*(a_link(index, f"p{index}") for index in range(2, 50)))
    assert updates.count(("+", "br0", "inet")) == updates.count(("+", "br0", "inet6")) == 1


def test_a_state_of_the_link_carries_what_was_put_off_before_it() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_address("192.0.2.1"), new_link(mtu=1400), reads=None) == BOTH
    assert addresses(cache) == ["192.0.2.1"]
    assert cache.apply() == []


def test_the_speed_of_what_is_on_top_is_asked_for_again_when_the_stack_changes() -> None:
    cache = Cache(a_link(1, "bond0", kind=b"bond\0"), a_link(2))
    cache.details.speeds[b"bond0"] = 1_000_000_000
    cache.details.asked.clear()
    cache.apply(new_link(2, mtu=1400))
    assert cache.details.asked == []
    assert ("+", "bond0", "inet") in cache.apply(new_link(2, mtu=1400, master=1))
    assert cache.details.asked == [b"bond0"]
    cache.apply(new_link(2, mtu=1400, master=1, carrier=0))
    assert cache.details.asked == [b"bond0", b"eth0"]


# Settings beside rtnetlink


def large_sends(cache: Cache) -> list[bool | None]:
    """What the rows of both families say of large sends."""
    offloads = [row(cache, family).row.transmit_offload for family in ("inet", "inet6")]
    return [None if offload is None else offload.tl_large_send_offload_supported for offload in offloads]


def test_offloads_are_read_again_when_the_kernel_says_so_and_at_no_other_change() -> None:
    cache = Cache(a_link())
    cache.details.features[b"eth0"] = offloads_of(["tx-tcp6-segmentation"])
    assert cache.apply(new_link(mtu=1400), new_link(mtu=1400, event=5), new_address("192.0.2.1")) == [*BOTH, BOTH[0]]
    assert large_sends(cache) == [None, None]
    assert cache.apply(new_link(mtu=1400, event=IFLA_EVENT_FEATURES)) == BOTH
    assert large_sends(cache) == [False, True]
    assert cache.apply(new_link(mtu=1400, event=IFLA_EVENT_FEATURES)) == []


def test_wi_fi_that_is_renamed_at_once_is_wi_fi_and_stays_it_under_each_name() -> None:
    cache = Cache()
    cache.details.wireless = {b"wlan1"}
    cache.details.ports = {b"wlan1": 3}
    link: dict[str, Any] = {
        "permanent_address": bytes.fromhex("02a0c9000001"),
        "parent_name": b"1-1\0",
        "parent_bus": b"usb\0",
    }
    cache.apply(new_link(**link), new_link(name="wlan1", **link))
    luid = row(cache).luid
    assert (row(cache).interface.type, luid[:4], cache.cache._links[2].dev_port) == (71, "0047", 3)
    cache.apply(new_link(name="wlan2", **link))
    assert (row(cache).interface.type, row(cache).luid, cache.cache._links[2].dev_port) == (71, luid, 3)


def test_offloads_are_read_again_after_a_rename_and_kept_until_its_message_comes() -> None:
    """A driver is asked by name: a link that udev renamed at once has no answer by the name of its first message."""
    cache = Cache()
    cache.details.features[b"enp1s0"] = offloads_of(["tx-tcp-segmentation"])
    cache.apply(new_link(), new_link(name="enp1s0"))
    assert large_sends(cache) == [True, False]
    del cache.details.features[b"enp1s0"]
    cache.apply(new_link(name="enp1s0", event=IFLA_EVENT_FEATURES))
    assert large_sends(cache) == [True, False]


def test_offloads_are_read_again_with_everything() -> None:
    cache = Cache(a_link())
    cache.details.features[b"eth0"] = offloads_of(["tx-tcp-segmentation"])
    cache.resync(a_link())
    assert large_sends(cache) == [True, False]


def test_a_link_local_address_that_a_program_adds_is_one_update_with_its_behavior() -> None:
    cache = Cache(a_link(addr_gen_mode=1))
    for message, expected in ((new_address("fe80::1"), "always_on"), (del_address("fe80::1"), None)):
        assert cache.apply(message, reads=[a_link(addr_gen_mode=1)]) == BOTH[1:]
        assert row(cache, "inet6").row.link_local_address_behavior == expected
    assert cache.apply(new_address("fec0::1"), new_address("169.254.7.1")) == BOTH
    assert row(cache, "inet6").row.link_local_address_behavior is None


def test_what_can_wake_the_host_is_the_parent_of_the_link() -> None:
    cache = Cache()
    cache.details.wakes = {(b"pci", b"0000:00:03.0"): True}
    cache.resync(a_link(2, parent_bus=b"pci\0", parent_name=b"0000:00:03.0\0"), a_link(3, "eth1"))
    wakes = [cache.rows[name, "inet"].row.supports_wake_up_patterns for name in ("eth0", "eth1")]
    assert wakes == [True, None]


def test_neighbour_times_that_were_reported_for_ipv6_are_read_again() -> None:
    cache = Cache(a_link())
    cache.details.neighbour_times = Times(99_000, 1_000)
    assert cache.apply(new_link(family=AF_INET6)) == BOTH[1:]
    assert row(cache, "inet6").row.base_reachable_time == 99_000


def test_written_settings_are_read_again() -> None:
    cache = Cache(a_link())
    cache.details.neighbour_times = Times(99_000, 2_000)
    cache.cache.read_times([2, 99])
    assert cache.apply() == BOTH
    assert row(cache).row.retransmit_time == 2_000


def test_the_times_of_one_family_that_a_dump_leaves_out_are_read_although_it_shows_the_other() -> None:
    cache = Cache()
    cache.details.neighbour_times = Times(30_000, 2_000)
    cache.resync(a_link(), neighbours=[NeighbourParameters(AF_INET6, 2, 29_000, 30_000, 1_000)])
    assert [cache.rows["eth0", family].row.retransmit_time for family in ("inet", "inet6")] == [2_000, 1_000]


def test_the_reachable_time_stays_while_its_base_is_the_same() -> None:
    cache = Cache()
    parameters = [NeighbourParameters(AF_INET, 2, 29_000, 30_000, 1_000), NeighbourParameters(AF_INET, None, 1, 1, 1)]
    cache.resync(a_link(), neighbours=parameters)
    assert cache.rows["eth0", "inet"].row.reachable_time == 29_000
    cache.details.neighbour_times = Times(30_000, 2_000)
    cache.cache.read_times([2])
    cache.apply()
    assert (row(cache).row.retransmit_time, row(cache).row.reachable_time) == (2_000, 29_000)
    cache.details.neighbour_times = Times(60_000, 2_000)
    cache.cache.read_times([2])
    cache.apply()
    assert (row(cache).row.base_reachable_time, row(cache).row.reachable_time) == (60_000, None)


def test_another_reachable_time_alone_is_no_update_and_comes_with_the_next_one() -> None:
    cache = Cache(a_link(reachable_time6=29_000))
    assert cache.apply(new_link(reachable_time6=28_000), reads=[a_link(reachable_time6=27_000)]) == []
    assert cache.apply(new_link(mtu=1400, reachable_time6=26_000), reads=None) == BOTH
    assert row(cache, "inet6").row.reachable_time == 27_000
    cache.resync(a_link(mtu=1400, reachable_time6=25_000))
    assert cache.rows["eth0", "inet6"].row.reachable_time == 25_000


def test_the_path_mtu_times_are_those_of_the_newest_dump() -> None:
    cache = Cache(a_link())
    for time in (600_000, 700_000):
        cache.resync(a_link(), path_mtu=PathMtuTimes(time, time + 1))
        rows = [cache.rows["eth0", family].row.path_mtu_discovery_timeout for family in ("inet", "inet6")]
        assert rows == [time, time + 1]


def test_wi_fi_is_what_the_details_report() -> None:
    cache = Cache()
    cache.details.wireless = {b"wlan0"}
    cache.resync(a_link(2, "wlan0"), a_link(3, "eth0"))
    assert [cache.rows[name, "inet"].interface.type for name in ("wlan0", "eth0")] == [71, 6]


# A dump while messages wait


def test_a_dump_brings_what_no_message_reported() -> None:
    cache = Cache(a_link(mtu=1500), a_link(3, "eth1"))
    assert cache.resync(a_link(mtu=1400), a_link(4, "eth2"), addresses=[an_address("192.0.2.1")]) == []
    assert {name for name, _ in cache.rows} == {"eth0", "eth2"}
    assert cache.rows["eth0", "inet"].interface.mtu == 1400
    assert [entry.address for entry in cache.rows["eth0", "inet"].addresses] == ["192.0.2.1"]
    assert cache.apply() == []


def test_a_link_that_waiting_messages_report_keeps_the_state_before_them() -> None:
    cache = Cache(a_link(mtu=1300))
    waiting = [new_link(mtu=1400), new_link(mtu=1500)]
    left = cache.resync(a_link(mtu=1500, dad_transmits=5), waiting=waiting)
    assert cache.rows["eth0", "inet"].interface.mtu == 1300
    assert cache.rows["eth0", "inet6"].row.dad_transmits == 5
    assert mtus(cache.cache.apply(left, None)) == [(1400, 1400), (1500, 1500)]


def test_a_new_link_begins_with_the_first_state_that_waits() -> None:
    cache = Cache()
    waiting = [new_link(mtu=1400), new_link(mtu=1500)]
    left = cache.resync(a_link(mtu=1500), addresses=[an_address("192.0.2.1")], waiting=waiting)
    assert cache.rows["eth0", "inet"].interface.mtu == 1400
    assert len(cache.rows["eth0", "inet"].addresses) == 1
    assert mtus(cache.cache.apply(left, None)) == [(1500, 1500)]


def test_a_link_whose_removal_waits_keeps_its_rows_until_then() -> None:
    cache = Cache()
    cache.resync(a_link(), addresses=[an_address("192.0.2.1")])
    waiting = [new_link(flags=0), del_address("192.0.2.1"), del_link()]
    left = cache.resync(waiting=waiting)
    assert left == waiting
    assert [entry.address for entry in cache.rows["eth0", "inet"].addresses] == ["192.0.2.1"]
    assert cache.apply(*left) == GONE


def test_hardware_that_was_plugged_again_while_everything_was_read_keeps_its_luid() -> None:
    """Both are in view at that moment, and are one: the address is not shared."""
    burned: dict[str, Any] = {"permanent_address": b"\0\1\2\3\4\5"}
    store = MemoryLuids()
    cache = Cache(a_link(2, **burned), store=store)
    before = row(cache).luid
    left = cache.resync(
        a_link(3, **burned), waiting=[del_link(2), new_link(3, "eth0", **burned), new_address("192.0.2.1", 3)]
    )
    assert cache.rows["eth0", "inet"].row.interface_index == 2
    updates = cache.cache.apply(left, {3: a_link(3, **burned)})
    assert [short(update) for update in updates] == [*GONE, *BOTH, ("+", "eth0", "inet")]
    assert {update.row.luid for update in updates if isinstance(update, Upsert)} == {before}
    assert [assignment.shared for assignment in store.load_luids()] == [False]


def test_a_link_that_was_made_again_meanwhile_has_the_addresses_of_the_new_one() -> None:
    cache = Cache()
    cache.resync(a_link(), addresses=[an_address("192.0.2.1")])
    waiting = [del_address("192.0.2.1"), del_link(), new_link(mtu=1400), new_address("192.0.2.2")]
    left = cache.resync(a_link(mtu=1400), addresses=[an_address("192.0.2.2")], waiting=waiting)
    assert cache.rows["eth0", "inet"].interface.mtu == 1500
    assert cache.apply(*left) == [*GONE, *BOTH, ("+", "eth0", "inet")]
    assert addresses(cache) == ["192.0.2.2"]


def test_a_link_that_came_and_went_meanwhile_is_left_to_its_messages() -> None:
    cache = Cache()
    waiting = [new_link(), del_link()]
    assert cache.resync(a_link(), waiting=waiting) == waiting
    assert cache.rows == {}
    assert cache.apply(*waiting) == [*BOTH, *GONE]


def test_waiting_addresses_are_in_the_rows_at_once_and_never_step_back() -> None:
    cache = Cache(a_link())
    waiting = [
        new_address("192.0.2.1"),
        del_address("192.0.2.1"),
        new_address("192.0.2.2"),
        del_address("192.0.2.3"),
        new_address("192.0.2.4", index=9),
    ]
    dump = [an_address("192.0.2.2"), an_address("192.0.2.3"), an_address("192.0.2.5")]
    assert cache.resync(a_link(), addresses=dump, waiting=waiting) == waiting[-1:]
    assert [entry.address for entry in cache.rows["eth0", "inet"].addresses] == ["192.0.2.2", "192.0.2.5"]


def test_what_did_not_change_stays_the_same_object() -> None:
    cache = Cache()
    cache.resync(a_link(), addresses=[an_address("192.0.2.1")])
    before = cache.rows
    cache.resync(a_link(), addresses=[an_address("192.0.2.1")])
    assert all(cache.rows[key] is row for key, row in before.items())


def test_a_link_that_left_unreported_leaves_its_stack() -> None:
    cache = Cache(a_link(1, "br0", kind=b"bridge\0"), a_link(2, master=1))
    assert list(cache.rows["br0", "inet"].interface.lower) == [cache.rows["eth0", "inet"].luid]
    cache.resync(a_link(1, "br0", kind=b"bridge\0"))
    assert list(cache.rows["br0", "inet"].interface.lower) == []


# Failures


def test_luids_that_cannot_be_stored_are_kept_and_stored_later() -> None:
    class Store(MemoryLuids):
        full = True

        def save_luids(self, assignments: Iterable[LuidAssignment], removed: Iterable[str] = ()) -> None:
            if self.full:
                raise JournalError("the disk is full")
            super().save_luids(assignments, removed)

    store = Store()
    cache = Cache(a_link(), store=store)
    assert cache.apply(new_link(3, "eth1"))
    assert [record.levelname for record in cache.log.records] == ["WARNING"], "one line for each trouble"
    store.full = False
    cache.apply()
    assert [record.levelname for record in cache.log.records] == ["WARNING", "INFO"]
    assert {assignment.name for assignment in store.load_luids()} == {b"eth0", b"eth1"}


def test_a_record_that_our_models_do_not_accept_leaves_the_others_alone() -> None:
    cache = Cache(a_link())
    assert cache.apply(new_address("192.0.2.1", prefix_length=200), new_link(3, "eth1"), new_link(mtu=-1)) == [
        ("+", "eth1", "inet"),
        ("+", "eth1", "inet6"),
    ]
    assert cache.cache.validator.invalid == 2
    assert cache.apply(new_link(mtu=1400)) == BOTH


def row(cache: Cache, family: Family = "inet") -> IpInterface:
    return cache.cache._links[2].rows[family]


def addresses(cache: Cache) -> list[str]:
    return [entry.address for entry in row(cache).addresses]
