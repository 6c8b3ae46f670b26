"""Changes of interfaces in a real kernel, and exactly the events that they lead to."""

from __future__ import annotations

import itertools
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from publisher.events import Event, Key
from publisher.sources import Remove, Resync, SourceContext, Update, Upsert, open_source
from publisher.sources.luids import MemoryLuids
from tests.fixtures.features import set_feature
from tests.fixtures.linux_source import Following, summary
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.still_links import add_still_pair

if sys.platform == "linux":
    from publisher.sources.linux.reader import LinuxReader
    from publisher.sources.linux.reconcile import Reconcile
    from publisher.sources.linux.rtnetlink import Link

assert sys.platform == "linux"


@pytest.fixture
def pair(netns: NetNs) -> NetNs:
    """A namespace with a connected pair, v0 and v1, which changes by no timer of the kernel."""
    add_still_pair(netns)
    return netns


@pytest.fixture
def following(pair: NetNs) -> Iterator[Following]:
    with Following(pair) as following:
        yield following


def both(kind: str, alias: str, *members: str) -> list[tuple[str, str, str | None, set[str]]]:
    return [(kind, alias, "inet", set(members)), (kind, alias, "inet6", set(members))]


def about(events: list[Event], alias: str) -> list[tuple[str, str, str | None, set[str]]]:
    return [summary(event) for event in events if event.interface and event.interface.alias == alias]


def test_an_mtu_is_one_event_per_family(pair: NetNs, following: Following) -> None:
    pair.ip("link set v0 mtu 1400")
    events = following.settled()
    assert [summary(event) for event in events] == both("parameter_notification", "v0", "row.nl_mtu", "interface.mtu")
    assert {(c.before, c.after) for event in events for c in event.changed.values()} == {(1500, 1400)}
    assert {event.cause for event in events} == {"notification"}


def test_offloads_that_are_switched_are_events_at_once(pair: NetNs, following: Following) -> None:
    """No message shows them: the kernel reports that some feature changed (IFLA_EVENT)."""
    pair.call(set_feature, "v0", "tx-tcp6-segmentation", on=False)
    [event] = following.until(lambda event: "row.transmit_offload" in event.changed)
    assert (summary(event), event.cause) == (
        ("parameter_notification", "v0", "inet6", {"row.transmit_offload"}),
        "notification",
    )
    assert event.row is not None
    assert event.row.transmit_offload is not None
    assert event.row.transmit_offload.tl_large_send_offload_supported is False
    with following.paused():
        pair.call(set_feature, "v0", "tx-tcp6-segmentation", on=True)
        pair.call(set_feature, "v0", "rx-checksum", on=False)
    events = following.settled()
    assert [summary(event)[2:] for event in events] == [
        ("inet", {"row.receive_offload"}),
        ("inet6", {"row.transmit_offload", "row.receive_offload"}),
    ]


def test_down_and_up_at_once_are_both_events(pair: NetNs, following: Following) -> None:
    for _ in range(5):
        pair.ip("link set v0 down", "link set v0 up")
        states = [
            event.changed["interface.admin_status"].after
            for event in following.settled()
            if event.family == "inet" and "interface.admin_status" in event.changed and event.interface
        ]
        assert states == ["down", "up"]


def test_a_lost_carrier_is_seen_on_the_other_end(pair: NetNs, following: Following) -> None:
    pair.ip("link set v1 down")
    events = following.until(
        lambda e: e.interface is not None and e.interface.alias == "v0" and "row.connected" in e.changed
    )
    changed = events[-1].changed
    assert (changed["row.connected"].before, changed["row.connected"].after) == (True, False)
    assert changed["interface.oper_status"].after == "lower_layer_down"


def test_a_rename_keeps_the_luid(pair: NetNs, following: Following) -> None:
    [before] = {row.luid for row in following.table.rows if row.interface.alias == "v0"}
    pair.ip("link set v0 name renamed")
    events = following.settled()
    assert about(events, "renamed") == both("parameter_notification", "renamed", "interface.alias")
    pair.ip("link set renamed mtu 1400")
    assert {event.luid for event in events + following.settled()} == {before}


def test_addresses_come_and_go(pair: NetNs, following: Following) -> None:
    commands = ("addr add 192.0.2.1/24 dev v0", "addr del 192.0.2.1/24 dev v0", "addr add fd00::1/64 dev v0 nodad")
    events = []
    for command in commands:
        pair.ip(command)
        events += following.settled()
    first, second, third = events
    assert summary(first) == summary(second) == ("parameter_notification", "v0", "inet", {"addresses.192.0.2.1/24"})
    assert first.changed["addresses.192.0.2.1/24"].before is None
    assert second.changed["addresses.192.0.2.1/24"].after is None
    assert third.changed["addresses.fd00::1/64"].after["dad_state"] == "preferred"
    assert third.family == "inet6"


def test_addresses_that_change_at_once_are_one_event_of_what_remains(pair: NetNs, following: Following) -> None:
    with following.paused():
        pair.ip("addr add 192.0.2.1/24 dev v0", "addr del 192.0.2.1/24 dev v0", "addr add 192.0.2.2/24 dev v0")
    [event] = following.settled()
    assert summary(event) == ("parameter_notification", "v0", "inet", {"addresses.192.0.2.2/24"})


def test_a_setting_that_is_written_for_all_links_is_read_a_few_links_at_a_time(
    pair: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.ip(*(f"link add d{number} type ifb" for number in range(200)))
    read: list[int] = []
    links = LinuxReader.links

    def counted(self: LinuxReader, indexes: Iterable[int]) -> dict[int, Link | None]:
        wanted = list(indexes)
        read.append(len(wanted))
        return links(self, wanted)

    monkeypatch.setattr(LinuxReader, "links", counted)
    with Following(pair) as following:
        names = {row.interface.alias for row in following.table.rows}
        pair.sysctl("net/ipv4/conf/all/forwarding", 1)
        events: list[Event] = []
        while len(events) < len(names):
            events += following.table.apply(following.update())
    assert {event.cause for event in events} == {"notification"}
    assert {event.interface.alias for event in events if event.interface} == names
    assert 0 < max(read) <= 50
    assert "reconcile" not in following.causes


def test_a_link_is_read_in_its_turn_while_others_are_written_again_and_again(pair: NetNs) -> None:
    """Of 100 links that are written at each step 50 are read: none may wait until the writes end."""
    pair.ip(*(f"link add d{number:03} type ifb" for number in range(101)))
    source = open_source("linux", SourceContext(logging.getLogger("publisher"), MemoryLuids()), {})

    def steps_until_the_last_is_read() -> int | None:
        lists = source.updates()
        [resync] = next(lists)
        assert isinstance(resync, Resync)
        indexes = {row.row.interface_index: row.interface.alias for row in resync.rows}
        *others, last = (name for _, name in sorted(indexes.items()) if name.startswith("d"))
        read = None
        for step in range(8):
            for name in others if step else [*others, last]:
                Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding").write_text(str((step + 1) % 2))
            if any(isinstance(update, Upsert) and update.row.interface.alias == last for update in next(lists)):
                read = step
                break
        source.close()
        assert list(lists) == []
        return read

    assert pair.in_thread(steps_until_the_last_is_read) is not None


def _offload_of(event: Event, name: str) -> object:
    ours = event.interface and event.interface.alias == name and event.row
    return ours and ours.transmit_offload


def test_a_link_that_is_renamed_at_once_has_its_offloads(pair: NetNs, following: Following) -> None:
    with following.paused():
        pair.ip("link add x0 type veth peer name x1", "link set x0 name y0")
    offload = next(row.row.transmit_offload for row in following.table.rows if row.interface.alias == "v0")
    assert offload is not None
    following.until(lambda event: _offload_of(event, "y0") == offload)


def test_forwarding_is_reported_for_its_family(pair: NetNs, following: Following) -> None:
    pair.sysctl("net/ipv4/conf/v0/forwarding", 1)
    [event] = following.settled()
    assert summary(event) == ("parameter_notification", "v0", "inet", {"row.forwarding_enabled"})
    assert event.cause == "notification"


def test_a_deleted_interface_is_deleted_and_nothing_else(pair: NetNs, following: Following) -> None:
    pair.ip("addr add 192.0.2.1/24 dev v0")
    following.settled()
    pair.ip("link del v0")
    events = following.settled()
    assert about(events, "v0") == both("delete_instance", "v0")
    assert about(events, "v1")[-2:] == both("delete_instance", "v1")


def test_below_1280_there_is_no_ipv6(pair: NetNs, following: Following) -> None:
    pair.ip("link set v0 mtu 1000")
    events = following.settled()
    assert sorted(kind for kind, *_ in map(summary, events)) == ["delete_instance", "parameter_notification"]
    assert {row.family for row in following.table.rows if row.interface.alias == "v0"} == {"inet"}
    pair.ip("link set v0 mtu 1500")
    assert ("add_instance", "v0", "inet6", set()) in map(summary, following.settled())


def test_disable_ipv6_removes_the_row_although_it_is_not_reported(pair: NetNs, following: Following) -> None:
    pair.ip("addr add fd00::1/64 dev v0 nodad")
    following.settled()
    pair.sysctl("net/ipv6/conf/v0/disable_ipv6", 1)
    assert list(map(summary, following.settled())) == [("delete_instance", "v0", "inet6", set())]
    pair.sysctl("net/ipv6/conf/v0/disable_ipv6", 0)
    assert list(map(summary, following.settled())) == [("add_instance", "v0", "inet6", set())]


def test_a_bridge_port_that_leaves_is_not_removed(pair: NetNs, following: Following) -> None:
    pair.ip("link add br0 type bridge", "link set v0 master br0")
    following.settled()
    luids = {row.interface.alias: row.luid for row in following.table.rows}
    rows = {(row.interface.alias, row.family): row.interface for row in following.table.rows}
    assert rows["v0", "inet"].higher == (luids["br0"],)
    assert rows["br0", "inet"].lower == (luids["v0"],)
    pair.ip("link set v0 nomaster")
    events = following.settled()
    assert {event.notification_type for event in events} == {"parameter_notification"}
    assert {row.interface.higher for row in following.table.rows if row.interface.alias == "v0"} == {()}


def test_made_anew_by_the_same_name_is_a_delete_and_an_add(pair: NetNs, following: Following) -> None:
    luid = next(row.luid for row in following.table.rows if row.interface.alias == "v0")
    pair.ip("link del v0", "link add v0 type veth peer name v1")
    events = [event for event in following.settled() if event.luid == luid]
    kinds = [event.notification_type for event in events if event.family == "inet"]
    assert kinds[:2] == ["delete_instance", "add_instance"]
    assert kinds.count("add_instance") == 1


def test_another_device_with_the_same_index_is_a_delete_and_an_add(netns: NetNs) -> None:
    netns.ip("link add index 77 one type ifb")
    with Following(netns) as following:
        netns.ip("link del one", "link add index 77 two type bridge")
        events = [event for event in following.settled() if event.family == "inet"]
    names = [(event.notification_type, event.interface and event.interface.alias) for event in events]
    assert names[:2] == [("delete_instance", "one"), ("add_instance", "two")]
    assert events[0].luid != events[1].luid


def test_moved_to_another_namespace_and_back(pair: NetNs, following: Following) -> None:
    other = NetNs()
    try:
        pair.run(["ip", "link", "set", "v0", "netns", f"/proc/self/fd/{other.fd}"], pass_fds=[other.fd])
        assert about(following.settled(), "v0")[-2:] == both("delete_instance", "v0")
        other.run(["ip", "link", "set", "v0", "netns", f"/proc/self/fd/{pair.fd}"], pass_fds=[pair.fd])
        assert both("add_instance", "v0") == about(following.settled(), "v0")[:2]
    finally:
        other.close()


def test_a_silent_setting_is_found_by_inotify(pair: NetNs, following: Following) -> None:
    pair.sysctl("net/ipv6/conf/v0/dad_transmits", 5)
    [event] = following.until(lambda e: "row.dad_transmits" in e.changed)
    assert (event.cause, event.changed["row.dad_transmits"].after) == ("notification", 5)
    pair.sysctl("net/ipv4/neigh/v0/retrans_time_ms", 2000)
    [event] = following.until(lambda e: "row.retransmit_time" in e.changed)
    assert event.changed["row.retransmit_time"].after == 2000


def test_inotify_survives_a_rename(pair: NetNs, following: Following) -> None:
    pair.ip("link set v0 name renamed")
    following.settled()
    pair.sysctl("net/ipv6/conf/renamed/dad_transmits", 5)
    [event] = following.until(lambda e: "row.dad_transmits" in e.changed)
    assert event.cause == "notification"


def test_inotify_survives_an_ipv6_that_goes_and_comes_back(pair: NetNs, following: Following) -> None:
    """Its directories are made again under the same name, and the watches on the old ones have ended."""
    for mtu in (1200, 1500):
        pair.ip(f"link set v0 mtu {mtu}")
        following.settled()
    pair.sysctl("net/ipv6/conf/v0/dad_transmits", 5)
    [event] = following.until(lambda e: "row.dad_transmits" in e.changed)
    assert event.cause == "notification"


def test_a_silent_change_by_netlink_is_found_by_the_reconcile(pair: NetNs, following: Following) -> None:
    pair.run("ip ntable change name arp_cache dev v0 base_reachable 33000")
    [event] = following.settled()
    assert event.cause == "reconcile"
    assert event.changed["row.base_reachable_time"].after == 33000


def test_silent_changes_by_netlink_of_many_links_are_found_within_a_minute_and_in_small_parts(netns: NetNs) -> None:
    netns.ip(*(f"link add b{number} type ifb" for number in range(300)))
    with Following(netns, reconcile_seconds=0.5) as following:
        netns.ip(*(f"ntable change name arp_cache dev b{number} base_reachable 33000" for number in range(300)))
        found: dict[str, str] = {}
        while len(found) < 300:
            for event in following.table.apply(following.update()):
                assert event.changed["row.base_reachable_time"].after == 33000
                assert event.interface is not None
                found[event.interface.alias] = event.cause
        sizes = [len(following.lists.get_nowait()) for _ in range(following.lists.qsize())]
    assert set(found.values()) == {"reconcile"}
    assert max(sizes) <= 150, "a part of the list of neighbours"


def test_a_stable_host_has_no_events(pair: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, enough, times = Reconcile.begin, threading.Event(), itertools.count(1)

    def counted(reconcile: Reconcile) -> None:
        begin(reconcile)
        if next(times) == 20:
            enough.set()

    monkeypatch.setattr(Reconcile, "begin", counted)
    with Following(pair, reconcile_seconds=0.02) as following:
        assert enough.wait(20)
        assert following.updates.empty()


def test_a_thousand_refreshes_of_an_address_are_no_event(pair: NetNs, following: Following) -> None:
    refresh = "addr replace 192.0.2.1/24 dev v0 valid_lft 1000 preferred_lft 1000"
    pair.ip(refresh)
    following.settled()
    pair.ip(*[refresh] * 1000)
    assert following.settled() == []


def test_names_of_any_bytes(netns: NetNs) -> None:
    with Following(netns) as following:
        netns.run(["ip", "link", "add", os.fsdecode(b"a\xff+#"), "type", "ifb"])
        event = following.until(lambda e: e.notification_type == "add_instance")[0]
        assert event.interface is not None
        assert event.interface.alias == "a\\xff+#"
        assert rb"a\\xff+#" in event.json_bytes


def test_short_lived_interfaces_leave_nothing_behind(netns: NetNs) -> None:
    with Following(netns) as following:
        for number in range(20):
            netns.ip(f"link add t{number} type ifb", f"link del t{number}", "link add same type ifb", "link del same")
        events = following.settled()
    kinds = [event.notification_type for event in events]
    assert kinds.count("add_instance") == kinds.count("delete_instance")
    assert {row.interface.alias for row in following.table.rows} == {"lo"}


def test_one_family_only(pair: NetNs) -> None:
    with Following(pair, families="inet6") as following:
        pair.ip("link set v0 mtu 1400")
        assert {event.family for event in following.settled()} == {"inet6"}
        assert {row.family for row in following.table.rows} == {"inet6"}


def test_luids_hold_over_a_restart(pair: NetNs) -> None:
    luids = MemoryLuids()
    with Following(pair, luids) as first:
        before = {row.interface.alias: row.luid for row in first.table.rows}
    with Following(pair, luids) as second:
        assert {row.interface.alias: row.luid for row in second.table.rows} == before


def test_close_ends_it_from_any_thread_and_before_it_began(pair: NetNs) -> None:
    with Following(pair) as following:
        following.source.close()
        following.source.close()
        following.source.resync()
    assert list(following.source.updates()) == []


def test_a_wake_yields_an_empty_list_and_a_resync_is_answered_for_each_cause(pair: NetNs) -> None:
    with Following(pair) as following:
        following.source.wake()
        assert following.lists.get(timeout=20) == []
        following.source.resync("overrun")
        following.source.resync()
        causes: list[str] = []
        while "reconcile" not in causes:
            causes += [update.cause for update in following.lists.get(timeout=20) if isinstance(update, Resync)]
        assert causes == ["overrun", "reconcile"]


def test_a_wake_from_inside_the_loop_yields_at_once(pair: NetNs) -> None:
    def lists() -> list[list[Update]]:
        source = open_source("linux", SourceContext(logging.getLogger("publisher"), MemoryLuids()), {})
        updates = source.updates()
        next(updates)
        source.wake()
        woken = list(next(updates))
        source.resync("overrun")
        read = list(next(updates))
        source.close()
        return [woken, read, *map(list, updates)]

    woken, [read] = pair.call(lists)
    assert woken == []
    assert isinstance(read, Resync)
    assert read.cause == "overrun"


def test_an_empty_list_comes_when_the_idle_time_is_over(pair: NetNs) -> None:
    with Following(pair, idle_seconds=0.01) as following:
        assert [following.lists.get(timeout=20) for _ in range(3)] == [[], [], []]
    with Following(pair) as following, pytest.raises(queue.Empty):
        following.lists.get(timeout=0.3)


def test_idle_costs_nothing(following: Following) -> None:
    following.settled()
    assert wait_for(lambda: following.updates.empty())
    thread = following.thread_id
    before = _cpu(thread)
    with pytest.raises(queue.Empty):
        following.update(timeout=2)
    assert _cpu(thread) - before <= 1  # in ticks of 10 ms


def _cpu(thread: int) -> int:
    fields = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_updates_name_rows_that_are_there(pair: NetNs, following: Following) -> None:
    """The same LUID again: its removal comes before its row."""
    pair.ip("link del v0", "link add v0 type veth peer name v1")
    following.source.resync()
    present = {row.key for row in following.table.rows}
    while isinstance(update := following.update(), Upsert | Remove):
        match update:
            case Upsert(row):
                present.add(row.key)
            case Remove(luid, family):
                present.remove(Key(luid, family))
    assert present == {row.key for row in update.rows}


def test_a_setting_that_is_written_before_a_rename_is_read_under_the_new_name(
    pair: NetNs, following: Following
) -> None:
    with following.paused():
        pair.sysctl("net/ipv4/neigh/v0/base_reachable_time_ms", 20_000)
        pair.ip("link set v0 name new")
    events = [event for event in following.settled() if event.family == "inet"]
    times = [change.after for event in events if (change := event.changed.get("row.base_reachable_time"))]
    assert times == [20_000]


def test_settings_that_are_written_before_names_are_swapped_are_those_of_their_links(
    pair: NetNs, following: Following
) -> None:
    with following.paused():
        pair.sysctl("net/ipv4/neigh/v0/base_reachable_time_ms", 20_000)
        pair.sysctl("net/ipv4/neigh/v1/base_reachable_time_ms", 40_000)
        pair.ip("link set v0 name old", "link set v1 name v0", "link set old name v1")
    events = [event for event in following.settled() if event.family == "inet"]
    times = {
        (event.interface.alias, change.after)
        for event in events
        if event.interface and (change := event.changed.get("row.base_reachable_time"))
    }
    assert times == {("v1", 20_000), ("v0", 40_000)}
