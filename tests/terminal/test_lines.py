"""Events as lines: readable for people, harmless for terminals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from publisher import Change, Event, IpInterface
from publisher.events import Cause
from publisher.terminal.lines import Lines, difference, value
from publisher.testing import HOSTILE_ALIAS, make_address, make_event, make_row, make_snapshot

NOT_THERE_YET = make_address("fe80::1/64", dad_state="tentative").model_dump(mode="json")
LATER = datetime(2026, 11, 22, 21, 4, 12, tzinfo=UTC)
THERE = make_address("fe80::1/64", valid_until=LATER).model_dump(mode="json")


def line(event: Event) -> str:
    """Returns the event's line, in UTC and without colour."""
    return Lines(colour=False, zone=UTC).lines([event])[0]


def test_a_change() -> None:
    assert line(make_event()) == "20:04:13  eth0  inet   nl_mtu 1500 -> 1400"


def test_several_changes_are_on_one_line() -> None:
    changed = {
        "row.connected": Change(before=True, after=False),
        "interface.oper_status": Change(before="up", after="lower_layer_down"),
        "interface.description": Change(before=None, after="uplink"),
        "interface.lower": Change(before=[], after=["0006008002000000"]),
    }
    assert line(make_event(changed=changed)).endswith(
        "connected yes -> no, oper_status up -> lower_layer_down, description none -> uplink,"
        ' lower [] -> ["0006008002000000"]'
    )


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, THERE, "+fe80::1/64"),
        (THERE, None, "-fe80::1/64"),
        (NOT_THERE_YET, NOT_THERE_YET | {"dad_state": "preferred"}, "fe80::1/64 dad_state tentative -> preferred"),
        (
            THERE,
            THERE | {"valid_until": "2026-11-22T21:05:00Z", "dad_state": "deprecated"},
            "fe80::1/64 dad_state preferred -> deprecated",
        ),
        (THERE, THERE | {"valid_until": None}, "fe80::1/64 valid_until 2026-11-22T21:04:12Z -> none"),
    ],
)
def test_addresses(before: object, after: object, text: str) -> None:
    assert difference("addresses.fe80::1/64", Change(before=before, after=after)) == text


def test_an_interface_that_comes_and_goes() -> None:
    row = make_row(addresses=["192.0.2.10/24"])
    assert (
        line(make_event(1, "add_instance", row))
        == "20:04:13  eth0  inet   added  up  mtu 1500  metric 100  192.0.2.10/24"
    )
    assert line(make_event(1, "delete_instance", row)) == "20:04:13  eth0  inet   deleted"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("startup", "(while publisher was away)"),
        ("overrun", "(after messages were lost)"),
        ("reconcile", "(noticed later)"),
    ],
)
def test_a_cause_other_than_the_systems_notification_is_shown(cause: Cause, text: str) -> None:
    assert line(make_event(cause=cause)) == f"20:04:13  eth0  inet   nl_mtu 1500 -> 1400  {text}"


def test_a_snapshot_is_a_list_with_columns() -> None:
    rows = [
        make_row("lo", index=1, metric=None),
        make_row("wlan0", index=3, addresses=["192.0.2.10/24", "192.0.2.11/24"]),
    ]
    assert Lines(colour=False, zone=UTC).lines(make_snapshot(rows, cause="overrun")) == [
        "20:04:12  testnode has 2 IP interfaces  (after messages were lost)",
        "  lo     inet   up       mtu 1500",
        "  wlan0  inet   up       mtu 1500   metric 100   192.0.2.10/24  192.0.2.11/24",
    ]


@pytest.mark.parametrize(("rows", "heading"), [([], "0 IP interfaces"), ([make_row()], "1 IP interface")])
def test_small_snapshots(rows: list[IpInterface], heading: str) -> None:
    assert Lines(colour=False, zone=UTC).lines(make_snapshot(rows))[0] == f"20:04:12  testnode has {heading}"


def test_later_lines_keep_the_columns() -> None:
    lines = Lines(colour=False, zone=UTC)
    lines.lines(make_snapshot([make_row("enp0s31f6"), make_row("a-name-that-is-rather-long", index=3)]))
    assert lines.lines([make_event()]) == ["20:04:13  eth0       inet   nl_mtu 1500 -> 1400"]


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
        "addresses.\x1b[2J/24": Change(before=None, after=THERE),
    }
    events = [
        *make_snapshot([row], node="\x1b[2J"),
        make_event(1, "add_instance", row),
        make_event(2, row=row, changed=changed),
        make_event(3, "delete_instance", row),
    ]
    assert all(text.isprintable() for text in Lines(colour=False).lines(events))


def test_values() -> None:
    assert [value(member) for member in (None, True, False, 7, "up", [1], {"a": 1})] == [
        "none",
        "yes",
        "no",
        "7",
        "up",
        "[1]",
        '{"a": 1}',
    ]
