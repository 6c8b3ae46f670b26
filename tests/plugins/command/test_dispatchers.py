"""An event in the words of three dispatchers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from publisher import Change, Event, IpInterface
from publisher.events import DefaultRoute, Family
from publisher.sources import Remove, Resync, Upsert
from publisher.table import Table
from publisher.testing import make_address, make_event, make_row, make_stamp
from publisher_command.dispatchers import Style, arguments, link_beat, networkmanager_action, transition
from publisher_command.variables import MOST_ADDRESSES, surroundings, variables

OFF = {"admin_status": "down", "oper_status": "down"}
NO_CARRIER = {"oper_status": "down"}


def row(family: Family = "inet", *addresses: Any, interface: Mapping[str, Any] | None = None) -> IpInterface:
    return make_row("eth0", family, addresses=addresses, interface=interface)


def change(before: IpInterface, after: IpInterface) -> Event:
    """Returns the event of this change."""
    table = Table([before], make_stamp())
    [event] = table.apply(Upsert(after, "notification"))
    return event


LINK_LOCAL = make_address("fe80::1/64")
TENTATIVE = make_address("2001:db8::1/64", dad_state="tentative")
GLOBAL = make_address("2001:db8::1/64")
STATES = [
    (row(interface=OFF), "off"),
    (row("inet", "192.0.2.1/24", interface=OFF), "off"),
    (row("inet", "192.0.2.1/24", interface=NO_CARRIER), "no-carrier"),
    (row(interface={"oper_status": "lower_layer_down"}), "no-carrier"),
    (row("inet", "192.0.2.1/24", interface={"oper_status": "dormant"}), "dormant"),
    (row(), "carrier"),
    (row(interface={"oper_status": "unknown"}), "carrier"),
    (row("inet6", TENTATIVE), "carrier"),
    (row("inet6", LINK_LOCAL), "degraded"),
    (row("inet6", LINK_LOCAL, TENTATIVE), "degraded"),
    (row("inet6", LINK_LOCAL, GLOBAL), "routable"),
    (row("inet", "192.0.2.1/24"), "routable"),
]


@pytest.mark.parametrize(("after", "state"), STATES, ids=[state for _, state in STATES])
def test_the_state_is_networkds(after: IpInterface, state: str) -> None:
    assert transition(make_event(1, "add_instance", after)) == (None, state)
    assert transition(make_event(1, "delete_instance", after)) == (state, "missing")


@pytest.mark.parametrize("before", [row for row, _ in STATES])
@pytest.mark.parametrize("after", [row for row, _ in STATES])
def test_the_state_before_is_that_of_the_event_before(before: IpInterface, after: IpInterface) -> None:
    if before == after or before.family != after.family:
        return
    states = {id(row): state for row, state in STATES}
    assert transition(change(before, after)) == (states[id(before)], states[id(after)])


UP4, DOWN4 = row("inet", "192.0.2.1/24"), row("inet", "192.0.2.1/24", interface=NO_CARRIER)
MORE4 = row("inet", "192.0.2.1/24", "198.51.100.1/24")
MTU4 = make_row("eth0", addresses=["192.0.2.1/24"], nl_mtu=1400)
LATER6 = row("inet6", make_address("2001:db8::2/64"))
# Before, after; and the arguments for networkd-dispatcher, NetworkManager's dispatcher and ifplugd.
CALLS: list[tuple[IpInterface | None, IpInterface | None, object, object, object]] = [
    (UP4, DOWN4, (), ("eth0", "down"), ("eth0", "down")),
    (DOWN4, UP4, (), ("eth0", "up"), ("eth0", "up")),
    (row(), UP4, (), ("eth0", "up"), None),
    (UP4, row(), (), ("eth0", "down"), None),
    (UP4, MORE4, None, ("eth0", "dhcp4-change"), None),
    (row("inet6", GLOBAL), LATER6, None, ("eth0", "dhcp6-change"), None),
    (row("inet6", LINK_LOCAL), row("inet6", LINK_LOCAL, GLOBAL), (), ("eth0", "up"), None),
    (row("inet6"), row("inet6", LINK_LOCAL), (), None, None),
    (row(interface=OFF), row(interface=NO_CARRIER), (), None, None),
    (UP4, MTU4, None, None, None),
    (None, UP4, (), ("eth0", "up"), ("eth0", "up")),
    (None, DOWN4, (), None, None),
    (UP4, None, (), ("eth0", "down"), ("eth0", "down")),
    (DOWN4, None, (), None, None),
]


@pytest.mark.parametrize(("before", "after", "networkd", "networkmanager", "ifplugd"), CALLS)
def test_a_script_runs_when_its_dispatcher_would_run_it(
    before: IpInterface | None, after: IpInterface | None, networkd: object, networkmanager: object, ifplugd: object
) -> None:
    event = event_of(before, after)
    found = {style: arguments(style, event) for style in STYLES}
    assert found == {
        "event": (), "networkd-dispatcher": networkd, "networkmanager": networkmanager, "ifplugd": ifplugd
    }  # fmt: skip


STYLES: tuple[Style, ...] = ("event", "networkd-dispatcher", "networkmanager", "ifplugd")


def event_of(before: IpInterface | None, after: IpInterface | None) -> Event:
    table = Table([before] if before else [], make_stamp())
    if after:
        [event] = table.apply(Upsert(after, "notification"))
    else:
        assert before
        [event] = table.apply(Remove(before.luid, before.family, "notification"))
    return event


def test_rows_of_a_snapshot_run_as_at_the_start_of_a_dispatcher() -> None:
    table = Table()
    table.apply(Resync((UP4,), "startup"))
    [_, up] = table.snapshot()
    assert [arguments(style, up) for style in STYLES] == [(), (), ("eth0", "up"), ("eth0", "up")]


def test_ifplugds_status_before_the_first_is_disabled() -> None:
    assert link_beat(event_of(None, UP4)) == ("disabled", "up")
    assert link_beat(event_of(UP4, DOWN4)) == ("up", "down")


def test_the_variables_of_an_ipv4_event() -> None:
    after = UP4.model_copy(update={"default_routes": (DefaultRoute(next_hop="192.0.2.254", metric=100),)})
    event = event_of(DOWN4, after)
    found = variables(event)
    assert json.loads(found.pop("json")) == {
        "Type": "ether", "OperationalState": "routable", "AdministrativeState": "", "State": "routable",
        "Address": ["192.0.2.1"], "Gateway": ["192.0.2.254"],
    }  # fmt: skip
    own = {name: found.pop(name) for name in list(found) if name.startswith("EVENT_")}
    assert own == {
        "EVENT_ID": event.id, "EVENT_SEQ": "1", "EVENT_TYPE": "parameter_notification", "EVENT_CAUSE": "notification",
        "EVENT_KINDS": " ".join(event.kinds), "EVENT_TEXT": event.text(), "EVENT_NODE": "testnode",
        "EVENT_LUID": event.luid, "EVENT_FAMILY": "inet",
    }  # fmt: skip
    assert found == {
        "IFACE": "eth0", "STATE": "routable", "OperationalState": "routable", "AdministrativeState": "", "ESSID": "",
        "ADDR": "192.0.2.1", "IP_ADDRS": "192.0.2.1",
        "DEVICE_IFACE": "eth0", "DEVICE_IP_IFACE": "eth0", "NM_DISPATCHER_ACTION": "up",
        "IP4_NUM_ADDRESSES": "1", "IP4_GATEWAY": "192.0.2.254", "IP4_ADDRESS_0": "192.0.2.1/24 192.0.2.254",
        "IFPLUGD_PREVIOUS": "down", "IFPLUGD_CURRENT": "up",
    }  # fmt: skip


def test_an_interface_that_was_removed_has_no_addresses() -> None:
    after = UP4.model_copy(update={"default_routes": (DefaultRoute(next_hop="192.0.2.254", metric=100),)})
    found = variables(event_of(after, None))
    assert (found["STATE"], found["ADDR"], found["IP_ADDRS"]) == ("missing", "", "")
    assert (found["IP4_NUM_ADDRESSES"], found["IP4_GATEWAY"]) == ("0", "0.0.0.0")
    assert "IP4_ADDRESS_0" not in found


def test_the_variables_of_an_ipv6_event() -> None:
    found = variables(event_of(row("inet6"), row("inet6", LINK_LOCAL, GLOBAL)))
    assert (found["IP6_ADDRS"], found["IP6_NUM_ADDRESSES"], found["IP6_GATEWAY"]) == ("2001:db8::1", "2", "::")
    assert found["IP6_ADDRESS_0"] == "2001:db8::1/64 ::"
    assert not {"IP_ADDRS", "IP4_NUM_ADDRESSES", "IP4_GATEWAY"} & found.keys()


def test_an_event_that_is_no_action_of_networkmanager_has_none() -> None:
    event = make_event(changed={"row.nl_mtu": Change(before=1500, after=1400)})
    assert networkmanager_action(event) is None
    assert "NM_DISPATCHER_ACTION" not in variables(event)


def test_variables_are_small_with_any_number_of_addresses() -> None:
    after = make_row(addresses=[make_address(f"10.{n // 250}.{n % 250}.1/24") for n in range(5000)])
    found = variables(make_event(1, "add_instance", after))
    assert found["IP4_NUM_ADDRESSES"] == str(MOST_ADDRESSES)
    assert sum(len(name) + len(value) for name, value in found.items()) < 20_000


def test_few_variables_of_publisher_are_kept() -> None:
    kept = {"PATH": "/bin", "LC_ALL": "C", "HOME": "/root"}
    others = {"PUBLISHER_SINKS__HOME__PASSWORD": "1", "AWS_SECRET_ACCESS_KEY": "1", "LD_PRELOAD": "1", "path": "1"}
    assert surroundings(kept | others, "/usr/bin", windows=False) == kept
    assert surroundings({"SYSTEMROOT": "C:"}, "p", windows=True) == {"PATH": "p", "SYSTEMROOT": "C:"}
    assert surroundings({"SYSTEMROOT": "C:"}, "p", windows=False) == {"PATH": "p"}
