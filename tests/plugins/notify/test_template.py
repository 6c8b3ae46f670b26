"""Templates: names of members, nothing else, and every mistake named before a message is sent."""

from __future__ import annotations

import re

import pytest

from publisher.events import Change, DefaultRoute, Event
from publisher.testing import HOSTILE_ALIAS, make_event, make_row, make_snapshot
from publisher_notify.template import LONGEST_MESSAGE, Template, known_names

ROW = make_row(
    "eth0",
    addresses=["192.0.2.10/24", "192.0.2.11/24"],
    interface={"oper_status": "down", "transmit_link_speed": 100_000_000},
).model_copy(update={"default_routes": (DefaultRoute(next_hop="192.0.2.1", metric=100), DefaultRoute(metric=200))})
CHANGED = {
    "interface.oper_status": Change(before="up", after="down"),
    "interface.transmit_link_speed": Change(before=1_000_000_000, after=100_000_000),
}
EVENT = make_event(7, row=ROW, changed=CHANGED)
SIX = make_event(8, row=make_row("eth0", "inet6", nl_mtu=1280, addresses=["fe80::1/64"]), changed=dict(EVENT.changed))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{node}", "testnode"),
        ("{interface.alias} is {interface.oper_status}", "eth0 is down"),
        ("{row.nl_mtu} {row.connected} {row.forwarding_enabled}", "1500 yes no"),
        ("{changed.interface.oper_status.before} -> {changed.interface.oper_status.after}", "up -> down"),
        ("{addresses}", "192.0.2.10/24, 192.0.2.11/24"),
        ("{default_routes}", "192.0.2.1, on-link"),
        ("{seq} {id} {family} {cause} {notification_type}", f"7 {EVENT.id} inet notification parameter_notification"),
        ("{time}", "2026-11-22T20:04:19.123456Z"),
        ("{interface.higher}", "none"),
        ("{interface.transmit_link_speed} {interface.receive_link_speed}", "100 Mbit/s ?"),
        ("{changed.interface.transmit_link_speed.before}", "1 Gbit/s"),
        ("{interface.description}", "?"),
        ("{changed.row.nl_mtu.before}", "?"),
        ("{settled.count} {snapshot.position}", "? ?"),
        ("{{node}} {{{node}}}", "{node} {testnode}"),
        ("{{", "{"),
        ("two\nlines\t{node}", "two\nlines\ttestnode"),
        ("", ""),
    ],
)
def test_names_are_replaced_by_members(text: str, expected: str) -> None:
    assert Template(text).render([EVENT]) == expected


def test_text_is_the_line_of_the_event() -> None:
    assert Template("{text}!").render([EVENT]) == f"{EVENT.text()}!"


def test_values_that_differ_between_the_families_are_all_there() -> None:
    text = "{interface.alias} {family} {row.nl_mtu} {addresses} {default_routes}"
    assert Template(text).render([EVENT, SIX]) == (
        "eth0 inet, inet6 1500, 1280 192.0.2.10/24, 192.0.2.11/24, fe80::1/64 192.0.2.1, on-link"
    )


def test_what_is_null_is_none_and_what_is_missing_a_question_mark() -> None:
    event = make_event(9, changed={"interface.description": Change(before=None, after="uplink")})
    prefix = "changed.interface.description"
    assert Template(f"{{{prefix}.before}} {{{prefix}.after}}").render([event]) == "none uplink"


def test_position_0_of_a_snapshot_has_no_interface() -> None:
    assert Template("{interface.alias} {row.nl_mtu} {addresses} {snapshot.count}").render(make_snapshot()[:1]) == (
        "? ? none 3"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{interface.name}", "unknown name {interface.name}; did you mean {interface.alias}?"),
        ("{state}", "unknown name {state}; did you mean {interface.oper_status}?"),
        ("{speed}", "did you mean {interface.transmit_link_speed}?"),
        ("{colour}", "unknown name {colour}; names are like {text}, {node}"),
        ("{nod}", "unknown name {nod}; did you mean {node}?"),
        ("{alais}", "unknown name {alais}; did you mean {interface.alias}?"),
        ("{oper_status}", "did you mean {interface.oper_status}?"),
        ("{alias}", "unknown name {alias}; did you mean {interface.alias}?"),
        ("{interface.alais}", "did you mean {interface.alias}?"),
        ("{Node}", "did you mean {node}?"),
        ("{changed.after}", "unknown name {changed.after}"),
        ("{ node }", "did you mean {node}?"),
        ("{interface}", "unknown name {interface}"),
        ("{changed}", "unknown name {changed}"),
        ("{changed.interface.oper_status}", "did you mean {changed.interface.oper_status"),
        ("{}", "unknown name {}; names are like {text}"),
        ("{zzzzzzzz}", "unknown name {zzzzzzzz}; names are like {text}"),
        ("{0}", "unknown name {0}"),
        ("{text:>100000000}", "expected a name alone, like {node}, without a format or an index"),
        ("{node!r}", "expected a name alone"),
        ("{addresses[0]}", "expected a name alone"),
        ("{node.__class__}", "unknown name {node.__class__}"),
        ("{__class__.__init__.__globals__}", "unknown name"),
        ("{text.__class__.__mro__[1]}", "expected a name alone"),
        ("{a\x1b[2J}", r"{a\x1b[2J}"),
        ("{node", "the brace { at character 1 has no partner"),
        ("node}", "the brace } at character 5 has no partner"),
        ("{{node}", "the brace } at character 7 has no partner"),
        ("{{{node}}", "the brace } at character 9 has no partner"),
        ("{no{node}de}", "the brace { at character 1 has no partner"),
        ("{" + "x" * 5000 + "}", "unknown name {" + "x" * 60 + "...}"),
    ],
)
def test_a_mistake_is_named(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        Template(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


def test_each_name_that_is_known_can_be_shown() -> None:
    assert {"text", "node", "kinds", "settled.count", "row.transmit_offload.fast_path_compatible"} <= known_names()
    for name in known_names():
        for event in (EVENT, *make_snapshot()[:2], make_event(3, "delete_instance")):
            shown = Template(f"{{{name}}}").render([event])
            assert shown
            assert "\n" not in shown


def test_a_hostile_alias_is_only_data() -> None:
    alias = HOSTILE_ALIAS + "{node}{{}}\r\n{0.__class__}"
    event = make_event(1, "add_instance", make_row(alias))
    shown = Template("<{interface.alias}>").render([event])
    assert shown.isprintable()
    assert "{node}{{}}" in shown
    assert "testnode" not in shown


def many(count: int) -> Event:
    addresses = [f"10.{number >> 8}.{number & 255}.1/32" for number in range(count)]
    return make_event(1, "add_instance", make_row("x" * 10_000, addresses=addresses))


def test_no_value_and_no_message_is_longer_than_its_bound() -> None:
    event = many(2000)
    assert len(Template("{interface.alias}").render([event])) == 500
    assert Template("{addresses}").render([event]).endswith("10.0.106.1/32, and 1990 more")
    bomb = "{interface.alias}" * 500
    assert len(Template(bomb).render([event])) == LONGEST_MESSAGE
