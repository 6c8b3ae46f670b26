"""The rows against what `ip` and /proc/sys say of the same interfaces, member by member."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from publisher.events import Address, Family, IpInterface, IpInterfaceRow
from publisher.sources import Resync, SourceContext, open_source
from publisher.sources.linux.rows import ABSENT, PathMtuTimes, Raw, Times, row_values
from publisher.sources.luids import MemoryLuids
from tests.fixtures.netlink_records import a_link
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.random_links import make_random_links
from tests.fixtures.still_links import is_up

FOR_EVER = 0xFFFF_FFFF
IANA_TYPE = {"bridge": 209, "vlan": 135, "vxlan": 131}  # by kind; the other virtual ones are 53


def read_rows(**options: Any) -> Sequence[IpInterface]:
    """One read, as `publisher snapshot` does it."""
    source = open_source("linux", SourceContext(logging.getLogger("publisher"), MemoryLuids(), **options), {})
    with closing(source):
        [first] = next(source.updates())
    assert isinstance(first, Resync)
    return first.rows


@pytest.fixture
def zoo(netns: NetNs) -> NetNs:
    """A namespace with links of many kinds, odd settings and addresses of many sorts; no timer changes any of them."""
    netns.sysctl("net/ipv6/conf/default/accept_dad", 0)
    netns.veth()
    netns.ip(
        "link set lo up",
        "link add br0 type bridge",
        "link add mv0 link v1 type macvlan",
        "link add vx0 type vxlan id 5 dstport 4789 dev v1",
        "link add ifb7 type ifb",
        "link set v0 master br0",
        "link set br0 up",
        "link set v1 alias the+uplink/#1",
        "link set ifb7 arp off",
        "link set mv0 mtu 1300",
        "addr add 192.0.2.1/24 dev v1",
        "addr add 192.0.2.9/32 peer 192.0.2.10/32 dev v1",
        "addr add 198.51.100.1/24 dev v1 valid_lft 900 preferred_lft 800",
        "addr add fd00::1/64 dev v1 nodad",
        "addr add fd00::2/64 dev v1 nodad valid_lft 500 preferred_lft 0",
        "addr add fd00::3/64 dev ifb7",
    )
    for name, value in {
        "net/ipv4/conf/v1/forwarding": 1,
        "net/ipv6/conf/v1/accept_ra": 2,
        "net/ipv6/conf/v1/dad_transmits": 3,
        "net/ipv6/conf/v1/accept_ra_defrtr": 0,
        "net/ipv6/conf/v1/mtu": 1350,
        "net/ipv6/conf/br0/addr_gen_mode": 1,
        "net/ipv6/conf/br0/forwarding": 1,
        "net/ipv6/conf/vx0/disable_ipv6": 1,
        "net/ipv4/neigh/v1/base_reachable_time_ms": 31000,
        "net/ipv6/neigh/v1/retrans_time_ms": 1500,
    }.items():
        netns.sysctl(name, value)
    # The kernel gives link-local addresses with the carriers, and reports those up to a second later (linkwatch).
    wait_for(lambda: all(is_up(netns, name) for name in ("v0", "v1", "br0")), what="the carriers")
    wait_for(lambda: has_link_local_addresses(netns, "v0", "v1"), what="addresses that may be used")
    return netns


def has_link_local_addresses(netns: NetNs, *names: str) -> bool:
    """Returns whether each of these links has one that may be used."""
    shown = [netns.run(f"ip -6 addr show {name}") for name in names]
    return all("fe80:" in one and "tentative" not in one for one in shown)


def test_the_rows_agree_with_ip_and_proc(zoo: NetNs) -> None:
    read, shown_by_ip = wait_for(lambda: read_beside_ip(zoo), what="two equal answers of ip around a reading")
    rows = {(row.interface.alias, row.family): row for row in read}
    without_inet6 = {"vx0"}
    families: tuple[Family, ...] = ("inet", "inet6")
    assert rows.keys() == {(name, f) for name in shown_by_ip for f in families if (name, f) != ("vx0", "inet6")}
    assert {row.family for row in rows.values() if row.interface.alias in without_inet6} == {"inet"}
    luids = {shown_by_ip[row.interface.alias]["ifname"]: row.luid for row in rows.values()}
    assert len(set(luids.values())) == len(shown_by_ip)
    for (name, family), row in rows.items():
        interface_agrees(row, shown_by_ip[name], luids, shown_by_ip)
        row_agrees(zoo, row.row, shown_by_ip[name])
        assert [shown(address) for address in row.addresses] == sorted(
            (as_shown(entry) for entry in shown_by_ip[name]["addr_info"] if entry["family"] == family),
            key=lambda entry: (entry["address"], entry["prefix_length"]),
        )


@pytest.mark.parametrize("seed", range(6))
def test_no_member_contradicts_the_addresses_or_ip(netns: NetNs, seed: int) -> None:
    """Random links in random states; a failure is repeated with the same seed."""
    make_random_links(netns, seed)
    rows, shown_by_ip = wait_for(lambda: read_beside_ip(netns), what="two equal answers of ip around a reading")
    families = {"inet": "ipv4", "inet6": "ipv6"}
    assert {(row.interface.alias, row.family) for row in rows} == {
        (name, family) for name in shown_by_ip for family in families if has_settings(netns, families[family], name)
    }
    luids = {row.interface.alias: row.luid for row in rows}
    for row in rows:
        link = shown_by_ip[row.interface.alias]
        assert contradictions(row) == []
        if link["ifname"] in luids:
            interface_agrees(row, link, luids, shown_by_ip)
        row_agrees(netns, row.row, link)
        assert [shown(address) for address in row.addresses] == sorted(
            (as_shown(entry) for entry in link["addr_info"] if entry["family"] == row.family),
            key=lambda entry: (entry["address"], entry["prefix_length"]),
        )


def read_beside_ip(netns: NetNs) -> tuple[Sequence[IpInterface], dict[str, dict[str, Any]]] | None:
    """Returns the rows and what `ip` shows, None when that changed meanwhile: detection of duplicates takes a while."""
    before, rows, after = links_shown(netns), netns.call(read_rows), links_shown(netns)
    return (rows, after) if before == after else None


def links_shown(netns: NetNs) -> dict[str, dict[str, Any]]:
    """Returns what `ip` shows of each link, without its clocks: a bridge's timers, the seconds that an address has."""
    found = {link["ifname"]: link for link in json.loads(netns.run("ip -j -d addr"))}
    for link in found.values():
        for details in ("info_data", "info_slave_data"):
            link.get("linkinfo", {}).pop(details, None)
        for address in link["addr_info"]:
            for lifetime in ("valid_life_time", "preferred_life_time"):
                address[lifetime] = FOR_EVER if address[lifetime] == FOR_EVER else 0
    return found


def has_settings(netns: NetNs, ip: str, name: str) -> bool:
    try:
        return ip == "ipv4" or netns.sysctl(f"net/{ip}/conf/{name}/disable_ipv6") == "0"
    except FileNotFoundError:
        return False  # the mtu is too small for IPv6


def contradictions(entry: IpInterface) -> list[str]:
    """Returns the members of a row that its own addresses or other members deny."""
    row, addresses = entry.row, entry.addresses
    link_local = any(address.scope == "link" for address in addresses)
    found = []
    if entry.family == "inet6":
        if link_local and row.link_local_address_behavior != "always_on":
            found.append("a link-local address, and link_local_address_behavior is not always_on")
        if row.link_local_address_behavior == "always_on" and row.connected and not link_local:
            found.append("always_on, and there is no link-local address")
        if row.router_discovery_behavior == "enabled" and not row.supports_router_discovery:
            found.append("router discovery is enabled, and not supported")
    for address in addresses:
        zones = {"interface": 1, "link": 2, "global": 14}
        if address.scope_id and row.zone_indices and row.zone_indices[zones[address.scope]] != address.scope_id:
            found.append(f"another zone of {address}")
        if address.prefix_origin == "router_advertisement" and row.router_discovery_behavior == "disabled":
            found.append(f"{address} by a discovery that is disabled")
    if row.connected and entry.interface.oper_status not in ("up", "unknown"):
        found.append("connected, and not up")
    return found


def interface_agrees(
    row: IpInterface, link: dict[str, Any], luids: dict[str, str], shown_by_ip: dict[str, Any]
) -> None:
    interface, flags = row.interface, link["flags"]
    kind = link.get("linkinfo", {}).get("info_kind")
    above = [luids[link["master"]]] if "master" in link else []
    above += [luids[other["ifname"]] for other in shown_by_ip.values() if below(other) == link["ifname"]]
    beneath = [luids[name] for name in [below(link)] if name]
    beneath += [luids[other["ifname"]] for other in shown_by_ip.values() if other.get("master") == link["ifname"]]
    address = link.get("address") if link.get("address") != "00:00:00:00:00:00" else None
    # `ip` shows neither speeds nor a count of transitions; the last change is known from events only.
    others = (
        "transmit_link_speed",
        "receive_link_speed",
        "last_link_speed",
        "best_link_speed",
        "last_change",
        "media_connect_state",
        "carrier_transitions",
    )
    assert interface.last_change is None
    assert {name: value for name, value in interface if name not in others} == {
        "alias": link["ifname"],
        "description": link.get("ifalias"),
        "type": iana_type(link, kind),
        "kind": kind,
        "physical_address": address,
        "permanent_physical_address": link.get("permaddr"),
        "link_netnsid": link.get("link_netnsid"),
        "mtu": link["mtu"],
        "admin_status": "up" if "UP" in flags else "down",
        "oper_status": link["operstate"].lower().replace("lowerlayerdown", "lower_layer_down"),
        "higher": tuple(sorted(above)),
        "lower": tuple(sorted(beneath)),
    }
    up = {False: "unknown", True: "connected" if "LOWER_UP" in flags else "disconnected"}["UP" in flags]
    assert interface.media_connect_state == up


def iana_type(link: dict[str, Any], kind: str | None) -> int:
    if kind is None:
        return 24  # of this namespace only the loopback is of no kind
    return 131 if link["link_type"] == "none" else IANA_TYPE.get(kind, 53)


def below(link: dict[str, Any]) -> str | None:
    return None if link.get("linkinfo", {}).get("info_kind") == "veth" else link.get("link")


def row_agrees(netns: NetNs, row: IpInterfaceRow, link: dict[str, Any]) -> None:
    name, flags = link["ifname"], link["flags"]
    ip = "ipv4" if row.family == "inet" else "ipv6"
    arp = "NOARP" not in flags
    expected: dict[str, Any] = dict.fromkeys(IpInterfaceRow.model_fields)
    expected |= {
        "family": row.family,
        "interface_luid": row.interface_luid,
        "interface_index": link["ifindex"],
        "forwarding_enabled": netns.sysctl(f"net/{ip}/conf/{name}/forwarding") == "1",
        "nl_mtu": link["mtu"] if ip == "ipv4" else int(netns.sysctl(f"net/ipv6/conf/{name}/mtu")),
        "connected": link["operstate"] == "UP" or (link["operstate"] == "UNKNOWN" and "LOWER_UP" in flags),
        "weak_host_send": True,
        "weak_host_receive": True,
        "use_neighbor_unreachability_detection": arp,
        "supports_neighbor_discovery": arp,
        "base_reachable_time": int(netns.sysctl(f"net/{ip}/neigh/{name}/base_reachable_time_ms")),
        "retransmit_time": int(netns.sysctl(f"net/{ip}/neigh/{name}/retrans_time_ms")),
        "path_mtu_discovery_timeout": mtu_expires(netns, ip),
        "transmit_offload": row.transmit_offload,  # tests/sources/linux/test_ethtool.py
        "receive_offload": row.receive_offload,
        "reachable_time": row.reachable_time,  # picked at random by the kernel: within these bounds (RFC 4861, 6.3.2)
    }
    assert row.reachable_time is not None
    assert 0.5 <= row.reachable_time / expected["base_reachable_time"] <= 1.5
    if ip == "ipv6":
        conf = {
            key: int(netns.sysctl(f"net/ipv6/conf/{name}/{key}"))
            for key in ("accept_ra", "forwarding", "dad_transmits", "accept_ra_defrtr", "addr_gen_mode")
        }
        may_solicit = "MULTICAST" in flags and "LOOPBACK" not in flags
        listens = conf["accept_ra"] == 2 or (conf["accept_ra"] == 1 and not conf["forwarding"])
        expected |= {
            # No router advertisement was received.
            "managed_address_configuration_supported": None,
            "other_stateful_configuration_supported": None,
            "router_discovery_behavior": (
                ("enabled" if listens and may_solicit else "disabled") if conf["accept_ra"] else None
            ),
            "supports_router_discovery": may_solicit,
            "dad_transmits": conf["dad_transmits"] & 0xFFFF_FFFF,
            "link_local_address_behavior": "always_on"
            if has_link_local(link) or (conf["addr_gen_mode"] != 1 and "LOOPBACK" not in flags)
            else None,
            "zone_indices": (0, link["ifindex"], link["ifindex"], *[0] * 13),
            "disable_default_routes": conf["accept_ra_defrtr"] == 0,
        }
    assert dict(row) == expected


def has_link_local(link: dict[str, Any]) -> bool:
    return any(entry["family"] == "inet6" and entry["scope"] == "link" for entry in link["addr_info"])


def mtu_expires(netns: NetNs, ip: str) -> int | None:
    """In ms; None in an ordinary user's namespace, where Linux shows no net.ipv6.route (net/ipv6/route.c)."""
    try:
        return int(netns.sysctl(f"net/{ip}/route/mtu_expires")) * 1000
    except FileNotFoundError:
        return None


def as_shown(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns an address as `ip` shows it."""
    scope = {"host": "interface"}.get(entry["scope"], entry["scope"])
    state = "deprecated" if entry.get("deprecated") else "tentative" if entry.get("tentative") else "preferred"
    return {
        "address": entry["local"],
        "prefix_length": entry["prefixlen"],
        "scope": scope,
        "dad_state": state,
        "for_ever": entry["valid_life_time"] == FOR_EVER,
        "preferred_for_ever": entry["preferred_life_time"] == FOR_EVER,
    }


def shown(address: Address) -> dict[str, Any]:
    return {
        "address": address.address,
        "prefix_length": address.prefix_length,
        "scope": address.scope,
        "dad_state": address.dad_state,
        "for_ever": address.valid_until is None,
        "preferred_for_ever": address.preferred_until is None,
    }


def test_the_origin_of_an_address_is_the_one_that_the_kernel_reports(zoo: NetNs) -> None:
    rows = {(row.interface.alias, row.family): row for row in zoo.call(read_rows)}
    origins = {
        address.address[:4]: (address.prefix_origin, address.suffix_origin)
        for key in [("v1", "inet6"), ("v1", "inet"), ("lo", "inet"), ("lo", "inet6")]
        for address in rows[key[0], "inet" if key[1] == "inet" else "inet6"].addresses
    }
    assert origins["fe80"] == ("well_known", "link_layer_address")
    assert origins["fd00"][0] in ("manual", "other")
    assert origins["192."] == ("manual", "manual")
    assert origins["198."] == ("other", "other")  # with a lifetime: DHCP, or a script
    assert origins["127."] == origins["::1"] == ("well_known", "well_known")


def test_every_member_is_given_or_known_to_be_absent() -> None:
    raw = Raw(a_link(), Times(), Times(), PathMtuTimes())
    given = row_values("inet", "", raw).keys() | row_values("inet6", "", raw).keys()
    assert sorted([*given, *ABSENT]) == sorted(IpInterfaceRow.model_fields)


def test_one_read_is_what_following_begins_with(zoo: NetNs) -> None:
    luids = MemoryLuids()

    def first() -> Resync:
        source = open_source("linux", SourceContext(logging.getLogger("publisher"), luids), {})
        updates = source.updates()
        [update] = next(iter(updates))
        source.close()
        assert list(updates) == []
        assert isinstance(update, Resync)
        return update

    unstable: Any = {"row": {"reachable_time"}, "addresses": {"__all__": {"valid_until", "preferred_until"}}}
    followed = [row.model_dump(exclude=unstable) for row in zoo.call(first).rows]
    assert [row.model_dump(exclude=unstable) for row in zoo.call(read_rows)] == followed


def test_a_stored_row_has_the_moment_at_which_a_lifetime_ends(netns: NetNs) -> None:
    """A snapshot from the journal had the seconds that were left at the row's last event."""
    netns.veth()
    netns.ip("addr add 198.51.100.7/24 dev v0 valid_lft 1000 preferred_lft 500")
    [row] = [row for row in netns.call(read_rows) if row.interface.alias == "v0" and row.family == "inet"]
    [stored] = IpInterface.model_validate_json(row.model_dump_json()).addresses
    before = datetime.now(UTC)
    [link] = json.loads(netns.run("ip -j addr show dev v0"))
    after = datetime.now(UTC)
    [left] = [entry["valid_life_time"] for entry in link["addr_info"] if entry["local"] == "198.51.100.7"]
    assert isinstance(stored.valid_until, datetime)
    most, least = ((stored.valid_until - moment).total_seconds() for moment in (before, after))
    assert least - 2 <= left <= most + 2, "both are in whole seconds"
