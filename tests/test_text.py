"""Lines for people: the same wherever they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from publisher import Address, Change, Event, IpInterface
from publisher.events import LostEvents, Moment, Settled, SnapshotEvents
from publisher.testing import HOSTILE_ALIAS, make_address, make_event, make_row, make_snapshot
from publisher.text import joined, speed_text, text_of

Members = dict[str, tuple[Any, Any]]
GATEWAY = {"next_hop": "192.0.2.1", "metric": 100, "protocol": "dhcp"}
TENTATIVE = make_address("fe80::1/64", dad_state="tentative").model_dump(mode="json")
DOWN = make_row(connected=False, interface={"oper_status": "down", "last_link_speed": 10**9})
UP = make_row(interface={"transmit_link_speed": 10**8, "last_link_speed": 10**8})


def change(row: IpInterface, seq: int = 1, *, changed: Members, **more: Any) -> Event:
    made = {name: Change(before=before, after=after) for name, (before, after) in changed.items()}
    return make_event(seq, row=row, changed=made, **more)


DOWN_CHANGES = {
    "row.connected": (True, False),
    "interface.oper_status": ("up", "down"),
    "interface.admin_status": ("up", "down"),
    "interface.transmit_link_speed": (10**9, None),
    "interface.receive_link_speed": (10**9, None),
}
UP_CHANGES = {
    "row.connected": (False, True),
    "interface.last_link_speed": (10**9, 10**8),
    "interface.transmit_link_speed": (None, 10**8),
}
# A veth whose peer is off: its kernel reports a speed without a link.
SWITCHED_ON = {
    "interface.admin_status": ("down", "up"),
    "interface.oper_status": ("down", "lower_layer_down"),
    "interface.media_connect_state": ("unknown", "connected"),
    "interface.transmit_link_speed": (None, 10**10),
}
SWITCHED_OFF = {"interface.admin_status": ("up", "down"), "interface.oper_status": ("lower_layer_down", "down")}

TEXTS: list[tuple[IpInterface, Members, str]] = [
    (DOWN, DOWN_CHANGES, "eth0 down, was 1 Gbit/s"),
    (make_row(connected=False), {"row.connected": (True, False)}, "eth0 down"),
    (make_row(connected=None), {"row.connected": (True, None)}, "eth0 IPv4 connected unknown, was on"),
    (UP, UP_CHANGES, "eth0 up, 100 Mbit/s, was 1 Gbit/s"),
    (make_row(connected=False), SWITCHED_ON, "eth0 switched on"),
    (make_row(connected=False, interface={"admin_status": "down"}), SWITCHED_OFF, "eth0 switched off"),
    (UP, {"row.connected": (False, True), "interface.transmit_link_speed": (None, 10**8)}, "eth0 up, 100 Mbit/s"),
    (
        UP,
        {"interface.transmit_link_speed": (10**9, 10**8), "interface.last_link_speed": (10**9, 10**8)},
        "eth0 100 Mbit/s, was 1 Gbit/s",
    ),
    (UP, {"interface.carrier_transitions": (3, 5)}, "eth0 flapped once"),
    (UP, {"interface.carrier_transitions": (3, 4)}, "eth0 carrier_transitions 4, was 3"),
    (UP, {"interface.carrier_transitions": (3, 17)}, "eth0 flapped 7 times"),
    (
        DOWN,
        {"interface.carrier_transitions": (3, 8), "row.connected": (True, False)},
        "eth0 down, was 1 Gbit/s; flapped 2 times",
    ),
    (make_row("lan0"), {"interface.alias": ("eth0", "lan0")}, "lan0 renamed, was eth0"),
    (make_row(), {"addresses.192.0.2.1/24": (None, {})}, "eth0 new address 192.0.2.1/24"),
    (make_row(), {"addresses.192.0.2.1/24": ({}, None)}, "eth0 lost address 192.0.2.1/24"),
    (
        make_row(),
        {"addresses.192.0.2.1/24": ({}, None), "addresses.192.0.2.2/24": (None, {})},
        "eth0 address 192.0.2.2/24, was 192.0.2.1/24",
    ),
    (
        make_row(),
        {f"addresses.192.0.2.{n}/24": (None, {}) for n in range(10, 30)},
        "eth0 new address 192.0.2.10/24, 192.0.2.11/24, 192.0.2.12/24 and 17 more",
    ),
    (
        make_row(),
        {"addresses.fe80::1/64": (TENTATIVE, TENTATIVE | {"dad_state": "preferred"})},
        "eth0 address fe80::1/64 dad_state preferred, was tentative",
    ),
    (
        make_row(),
        {"addresses.fe80::1/64": (TENTATIVE | {"valid_until": "2026-11-22T21:00:00Z"}, TENTATIVE)},
        "eth0 address fe80::1/64 valid_until never, was 2026-11-22T21:00:00Z",
    ),
    (make_row(), {"default_routes.192.0.2.1": (None, GATEWAY)}, "eth0 new default route via 192.0.2.1"),
    (make_row(), {"default_routes.on-link": ({"metric": 0}, None)}, "eth0 IPv4 lost default route on-link"),
    (
        make_row(),
        {"default_routes.192.0.2.1": (GATEWAY, None), "default_routes.192.0.2.9": (None, GATEWAY)},
        "eth0 default route via 192.0.2.9, was via 192.0.2.1",
    ),
    (
        make_row(),
        {"default_routes.192.0.2.1": (GATEWAY, GATEWAY | {"metric": 200})},
        "eth0 default route via 192.0.2.1 metric 200, was 100",
    ),
    (make_row(), {"row.nl_mtu": (1500, 1400), "interface.mtu": (1500, 1400)}, "eth0 mtu 1400, was 1500"),
    (make_row(), {"row.forwarding_enabled": (False, True)}, "eth0 IPv4 forwarding on, was off"),
    (make_row(), {"interface.description": (None, "uplink")}, "eth0 description uplink"),
    (make_row(), {"interface.description": ("uplink", None)}, "eth0 description unknown, was uplink"),
    (make_row(), {"interface.lower": (["00"], ["11", "22"])}, "eth0 lower +11, +22 -00"),
    (
        make_row(),
        {"row.metric": (5, 10), "interface.oper_status": ("unknown", "up")},
        "eth0 IPv4 metric 10, was 5; oper_status up, was unknown",
    ),
    (make_row(), {}, "eth0 as before"),
]


@pytest.mark.parametrize(("row", "changed", "text"), TEXTS, ids=[text for *_, text in TEXTS])
def test_a_change_in_words(row: IpInterface, changed: Members, text: str) -> None:
    assert change(row, changed=changed).text() == text


def test_an_interface_in_words() -> None:
    row = make_row(
        addresses=["192.0.2.10/24"],
        default_routes=["192.0.2.1"],
        interface={"transmit_link_speed": 2_500_000_000},
    )
    whole = "up, 2.5 Gbit/s, IPv4 mtu 1500, 192.0.2.10/24, default route via 192.0.2.1"
    assert make_event(1, "add_instance", row).text() == f"eth0 IPv4 added, {whole}"
    assert make_event(1, "delete_instance", row).text() == "eth0 IPv4 removed"
    heading, listed = make_snapshot([row], cause="overrun")
    assert heading.text() == "testnode has 1 IP interface (after messages were lost)"
    assert listed.text() == f"eth0 {whole}"


@pytest.mark.parametrize(
    ("lost", "text"), [(LostEvents(first=12, last=40), "lost events 12 to 40"), (None, "lost changes")]
)
def test_the_mark_of_a_loss_does_not_say_that_there_are_no_interfaces(lost: LostEvents | None, text: str) -> None:
    [mark] = SnapshotEvents(Moment("nas", "0" * 16, 40, datetime.now(UTC)), "overrun", (), lambda row: row, lost)
    assert mark.text() == f"nas {text} (after messages were lost)"


def families(changed: Members, changed6: Members, **more: Any) -> list[Event]:
    rows = make_row(connected=False), make_row(family="inet6", connected=False)
    return [change(rows[0], 1, changed=changed, **more), change(rows[1], 2, changed=changed6, **more)]


def test_both_families_of_one_change_are_one_line() -> None:
    lost: Members = {"addresses.fe80::1/64": ({}, None)}
    [together] = joined(families(DOWN_CHANGES, DOWN_CHANGES | lost))
    assert text_of(together) == "eth0 down; lost address fe80::1/64"
    [together] = joined(families({"row.nl_mtu": (1500, 1400)}, {"row.nl_mtu": (1500, 1400)}))
    assert text_of(together) == "eth0 mtu 1400, was 1500"
    both = {"interface.mtu": (1500, 1200)}
    [together] = joined(families(both | {"row.forwarding_enabled": (False, True)}, both | {"row.metric": (1, 2)}))
    assert text_of(together) == "eth0 mtu 1200, was 1500; IPv4 forwarding on, was off; IPv6 metric 2, was 1"


@pytest.mark.parametrize("notification_type", ["add_instance", "delete_instance"])
def test_an_interface_with_two_families_is_one_line(notification_type: Any) -> None:
    rows: list[Address | str] = ["fe80::1/64"]
    events = [
        make_event(1, notification_type, make_row(addresses=["192.0.2.10/24"])),
        make_event(2, notification_type, make_row(family="inet6", addresses=rows)),
    ]
    [together] = joined(events)
    added = "eth0 added, up, mtu 1500, 192.0.2.10/24, fe80::1/64"
    assert text_of(together) == (added if notification_type == "add_instance" else "eth0 removed")


def test_changes_that_have_nothing_in_common_are_apart() -> None:
    address: Members = {"addresses.192.0.2.1/24": (None, {})}
    address6: Members = {"addresses.fe80::1/64": (None, {})}
    assert len(joined(families(address, address6))) == 2
    flap = families(DOWN_CHANGES, DOWN_CHANGES) * 3
    assert [len(together) for together in joined(flap)] == [2, 2, 2]
    assert [event for together in joined(flap) for event in together] == flap
    other = make_event(3, row=make_row("eth1", index=3), changed={})
    assert [len(together) for together in joined([flap[0], other, flap[1]])] == [1, 1, 1]
    assert [len(together) for together in joined(make_snapshot())] == [1, 1, 1, 1]


def test_a_line_tells_for_how_many_changes_it_stands_and_why_it_comes_late() -> None:
    event = change(DOWN, changed=DOWN_CHANGES, cause="startup")
    settled = event.replaced({"settled": Settled(first=3, count=14)})
    assert settled.text() == "eth0 down, was 1 Gbit/s (14 changes, while publisher was away)"
    flapped = change(UP, changed={}).replaced(
        {"settled": Settled(first=3, count=14), "kinds": ("link_up", "link_down")}
    )
    assert flapped.text() == "eth0 flapped (14 changes)"


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0, "0 bit/s"),
        (9_600, "9.6 kbit/s"),
        (10**7, "10 Mbit/s"),
        (866_700_000, "866.7 Mbit/s"),
        (10**9, "1 Gbit/s"),
        (2_500_000_000, "2.5 Gbit/s"),
        (10**11, "100 Gbit/s"),
        (999_999_999, "1000 Mbit/s"),
        (16 * 10**14, "1600 Tbit/s"),
    ],
)
def test_speeds_in_words(speed: int, text: str) -> None:
    assert speed_text(speed) == text


def test_text_of_others_is_harmless() -> None:
    row = make_row(HOSTILE_ALIAS)
    changed: Members = {
        "interface.alias": (HOSTILE_ALIAS, "x"),
        "interface.description": ("\x1b[2J", HOSTILE_ALIAS),
        "addresses.\x1b[2J": (None, {}),
        "default_routes.\u202e": ({}, {"metric": "\x1b"}),
    }
    events = [*make_snapshot([row], node="\x1b[2J"), change(row, changed=changed), make_event(1, "add_instance", row)]
    assert all(event.text().isprintable() for event in events)
