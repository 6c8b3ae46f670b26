"""The filter of a sink: what each event is to a sink that knows some rows only."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from publisher.delivery.filtering import seen_through
from publisher.events import Event
from publisher.filters import EventFilter
from publisher.sources import Remove, Upsert
from publisher.table import Stamp, Table
from publisher.testing import make_event, make_row, make_snapshot

WAN = EventFilter(interfaces=("wan*",))


def renamed(before: str, after: str, **members: Any) -> Event:
    """Returns the event of a row that is renamed."""
    table = Table([make_row(before)], Stamp("nas", seq=6))
    [event] = table.apply(Upsert(make_row(after, **members)))
    return event


@pytest.mark.parametrize(
    ("only", "alias", "family", "passes"),
    [
        ({}, "eth0", "inet", True),
        ({"interfaces": ["wan*"]}, "wan0", "inet6", True),
        ({"interfaces": ["wan*"]}, "WAN0", "inet", False),
        ({"interfaces": ["wan*", "eth?"]}, "eth0", "inet", True),
        ({"interfaces": ["wan*"], "exclude": ["wan1"]}, "wan1", "inet", False),
        ({"exclude": ["veth*"]}, "veth1", "inet", False),
        ({"exclude": ["veth*"]}, "eth0", "inet", True),
        ({"families": ["inet"]}, "eth0", "inet6", False),
        ({"interfaces": ["0006008002000000"]}, "eth0", "inet", True),
        ({"interfaces": ["0006008003000000"]}, "eth0", "inet", False),
        ({"exclude": ["0006008002000000"]}, "eth0", "inet", False),
        ({"interfaces": ["0006*"]}, "eth0", "inet", False),
        ({"exclude": [], "causes": []}, "eth0", "inet", True),
    ],
)
def test_rows_pass_by_alias_luid_and_family(only: dict[str, Any], alias: str, family: Any, passes: bool) -> None:
    assert EventFilter.model_validate(only).keeps(make_row(alias, family)) is passes


def test_a_row_that_is_renamed_out_of_the_filter_is_deleted_under_its_old_name() -> None:
    event = renamed("wan0", "lan0", nl_mtu=1400)
    seen = seen_through(WAN, event)
    assert seen is not None
    assert (seen.notification_type, seen.kinds, dict(seen.changed)) == ("delete_instance", ("removed",), {})
    assert seen.interface
    assert (seen.id, seen.seq, seen.interface.alias) == (event.id, 7, "wan0")


def test_a_row_that_is_renamed_into_the_filter_is_added() -> None:
    seen = seen_through(WAN, renamed("lan0", "wan0", nl_mtu=1400))
    assert seen is not None
    assert (seen.notification_type, seen.kinds, dict(seen.changed)) == ("add_instance", ("added",), {})
    assert seen.row
    assert seen.row.nl_mtu == 1400
    assert Event.from_json(seen.json_bytes) == seen


def test_a_row_that_passes_under_both_names_is_renamed_and_another_stays_unknown() -> None:
    event = renamed("wan0", "wan1")
    assert seen_through(WAN, event) is event
    assert seen_through(WAN, renamed("lan0", "lan1")) is None


def test_what_comes_goes_and_changes_passes_as_it_is() -> None:
    table = Table([], Stamp("nas"))
    updates = [Upsert(make_row("wan0")), Upsert(make_row("wan0", nl_mtu=9000))]
    events = [event for update in updates for event in table.apply(update)]
    events += table.apply(Remove(*make_row("wan0").key))
    assert [seen_through(WAN, event) for event in events] == events
    assert [seen_through(EventFilter(exclude=("wan*",)), event) for event in events] == [None] * 3


def test_the_beginning_of_a_snapshot_passes_any_filter() -> None:
    marker = make_snapshot()[0]
    assert seen_through(WAN, marker) is marker


def test_kinds_and_causes_choose_events() -> None:
    event = make_event(cause="startup")
    assert event.kinds == ("mtu_changed",)
    assert EventFilter(kinds=("mtu_changed", "link_down")).takes(event)
    assert not EventFilter(kinds=("link_down",)).takes(event)
    assert EventFilter(causes=("startup",)).takes(event)
    assert not EventFilter(kinds=("mtu_changed",), causes=("notification",)).takes(event)


@pytest.mark.parametrize(
    "exclude",
    [
        {"exclude": ["*"]},
        {"exclude": ["**"]},
        {"interfaces": ["wan0"], "exclude": ["wan*"]},
        {"interfaces": ["wan*", "lan1"], "exclude": ["lan*", "wan*"]},
        {"interfaces": ["wan[01]"], "exclude": ["w*"]},
        {"interfaces": ["0006008002000000"], "exclude": ["*"]},
        {"interfaces": ["0006008002000000"], "exclude": ["0006008002000000"]},
    ],
)
def test_a_filter_that_nothing_can_pass_is_an_error(exclude: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="nothing passes"):
        EventFilter.model_validate(exclude)


@pytest.mark.parametrize(
    "only",
    [
        {"interfaces": ["w*n"], "exclude": ["w?n"]},
        {"interfaces": ["wan*", "lan*"], "exclude": ["wan*"]},
        {"interfaces": ["0006008002000000"], "exclude": ["0006*"]},
        {"exclude": ["?*"], "interfaces": ["[a]*"]},
    ],
)
def test_a_filter_that_something_may_pass_is_none(only: dict[str, Any]) -> None:
    assert EventFilter.model_validate(only)
