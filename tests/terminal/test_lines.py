"""Events as lines: readable for people, harmless for terminals."""

from __future__ import annotations

from datetime import UTC

import pytest

from publisher import Change, Event, IpInterface
from publisher.events import Cause, NotificationType
from publisher.terminal.lines import Lines
from publisher.testing import HOSTILE_ALIAS, make_address, make_event, make_row, make_snapshot


def line(event: Event) -> str:
    """Returns the event's line, in UTC and without colour."""
    return Lines(colour=False, zone=UTC).lines([event])[0]


def test_a_change() -> None:
    assert line(make_event()) == "20:04:13  eth0  IPv4 mtu 1400, was 1500"


def test_one_change_in_both_families_is_one_line() -> None:
    down = {"oper_status": "down", "last_link_speed": 10**9}
    changed = {
        "row.connected": Change(before=True, after=False),
        "interface.oper_status": Change(before="up", after="down"),
        "interface.transmit_link_speed": Change(before=10**9, after=None),
    }
    lost = {"addresses.fe80::1/64": Change(before=make_address("fe80::1/64").model_dump(mode="json"), after=None)}
    events = [
        make_event(1, row=make_row(connected=False, interface=down), changed=changed),
        make_event(2, row=make_row(family="inet6", connected=False, interface=down), changed=changed | lost),
    ]
    assert Lines(colour=False, zone=UTC).lines(events) == [
        "20:04:13  eth0  down, was 1 Gbit/s; lost address fe80::1/64"
    ]


def test_an_interface_that_comes_and_goes() -> None:
    row = make_row(addresses=["192.0.2.10/24"])
    assert line(make_event(1, "add_instance", row)) == "20:04:13  eth0  IPv4 added, up, IPv4 mtu 1500, 192.0.2.10/24"
    assert line(make_event(1, "delete_instance", row)) == "20:04:13  eth0  IPv4 removed"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("startup", "(while publisher was away)"),
        ("overrun", "(after messages were lost)"),
        ("reconcile", "(noticed later)"),
    ],
)
def test_a_cause_other_than_the_systems_notification_is_shown(cause: Cause, text: str) -> None:
    assert line(make_event(cause=cause)) == f"20:04:13  eth0  IPv4 mtu 1400, was 1500  {text}"


def test_a_snapshot_is_a_list_with_columns() -> None:
    rows = [
        make_row("lo", index=1, metric=None),
        make_row("wlan0", index=3, addresses=["192.0.2.10/24", "192.0.2.11/24"], default_routes=["192.0.2.1"]),
    ]
    assert Lines(colour=False, zone=UTC).lines(make_snapshot(rows, cause="overrun")) == [
        "20:04:12  testnode has 2 IP interfaces  (after messages were lost)",
        "  lo     inet   up       mtu 1500",
        "  wlan0  inet   up       mtu 1500   metric 100   192.0.2.10/24  192.0.2.11/24  default via 192.0.2.1",
    ]


@pytest.mark.parametrize(("rows", "heading"), [([], "0 IP interfaces"), ([make_row()], "1 IP interface")])
def test_small_snapshots(rows: list[IpInterface], heading: str) -> None:
    assert Lines(colour=False, zone=UTC).lines(make_snapshot(rows))[0] == f"20:04:12  testnode has {heading}"


def test_later_lines_keep_the_columns() -> None:
    lines = Lines(colour=False, zone=UTC)
    lines.lines(make_snapshot([make_row("enp0s31f6"), make_row("a-name-that-is-rather-long", index=3)]))
    assert lines.lines([make_event()]) == ["20:04:13  eth0       IPv4 mtu 1400, was 1500"]


def test_colour_adds_nothing_but_colour() -> None:
    import re

    events = [
        *make_snapshot(),
        make_event(cause="overrun"),
        make_event(2, "add_instance"),
        make_event(3, "delete_instance"),
    ]
    plain = Lines(colour=False, zone=UTC).lines(events)
    coloured = Lines(colour=True, zone=UTC).lines(events)
    assert plain != coloured
    assert [re.sub(r"\x1b\[\d+m", "", text) for text in coloured] == plain


def test_no_text_of_an_event_comes_to_the_terminal_raw() -> None:
    row = make_row(HOSTILE_ALIAS, interface={"description": HOSTILE_ALIAS})
    changed = {
        "interface.alias": Change(before=HOSTILE_ALIAS, after="x"),
        "interface.description": Change(before=["\x1b"], after={"\x1b": "\u202e"}),
        "addresses.\x1b[2J/24": Change(before=None, after={"address": "\x1b"}),
        "default_routes.\x1b[2J": Change(before=None, after={"metric": 0}),
    }
    events = [
        *make_snapshot([row], node="\x1b[2J"),
        make_event(1, "add_instance", row),
        make_event(2, row=row, changed=changed),
        make_event(3, "delete_instance", row),
    ]
    assert all(text.isprintable() for text in Lines(colour=False).lines(events))


@pytest.mark.parametrize(
    ("kind", "code"), [("add_instance", "32"), ("delete_instance", "31"), ("parameter_notification", "33")]
)
def test_the_colour_says_whether_something_came_or_went(kind: NotificationType, code: str) -> None:
    assert f"\x1b[{code}m" in Lines(colour=True, zone=UTC).lines([make_event(1, kind)])[0]
