"""Changes in time: each once for both families, how long it lasted, and the sums of an interface."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from publisher.events import Change, Event, Family, NotificationType
from publisher.testing import BEGINNING, make_address, make_row, make_stamp
from publisher.timeline import PastChange, Timeline, together

DOWN = {"row.connected": Change(before=True, after=False)}
UP = {"row.connected": Change(before=False, after=True)}
MTU = {"row.nl_mtu": Change(before=1500, after=1400)}
OTHER = {"row.metric": Change(before=1, after=2)}
FLAPPED = {"interface.carrier_transitions": Change(before=2, after=8)}
ADDRESS = {"addresses.192.0.2.1/24": Change(before=None, after=make_address().model_dump(mode="json"))}
ADDRESS_6 = {"addresses.2001:db8::1/64": Change(before=None, after=make_address().model_dump(mode="json"))}
BOTH: tuple[Family, ...] = ("inet", "inet6")
LUIDS = {name: make_row(name, index=index).luid for name, index in (("eth0", 2), ("eth1", 3))}

Step = tuple[float, str, Sequence[Family], NotificationType | dict[str, Change]]


def at(seconds: float) -> Any:
    return BEGINNING + timedelta(seconds=seconds)


def events_of(*steps: Step, cause: Any = "notification") -> list[Event]:
    """Returns the events of these steps: second, name, families, and the type or the change of a row that is up."""
    stamp = make_stamp()
    events: list[Event] = []
    for second, name, families, what in steps:
        for family in families:
            stamp.clock = partial(at, second)
            changed = what if isinstance(what, dict) else {}
            link = changed.get("row.connected")
            row = make_row(
                name, family, index=int(LUIDS[name][4:10], 16) - 0x8000, connected=link is None or link.after
            )
            kind: NotificationType = "parameter_notification" if isinstance(what, dict) else what
            events.append(stamp.event(kind, cause, row, changed))
    return events


def past_of(events: Sequence[Event], end: float, *, is_now: bool = True) -> tuple[list[PastChange], Timeline]:
    timeline = Timeline(at(end), is_now)
    return [timeline.add(change) for change in together(reversed(events))][::-1], timeline


def lasted(changes: Sequence[PastChange]) -> list[str]:
    """Returns how long each lasted in seconds, with a plus when it still does, and a dash when it is not known."""
    return [
        "-" if change.lasted is None else f"{change.lasted.total_seconds():g}{'+' if change.lasts else ''}"
        for change in changes
    ]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(1, "eth0", BOTH, DOWN), (4, "eth0", BOTH, UP)], ["3", "6+"]),
        ([(1, "eth0", BOTH, DOWN), (2, "eth0", ("inet",), MTU), (4, "eth0", BOTH, UP)], ["3", "8+", "6+"]),
        ([(1, "eth0", BOTH, DOWN), (2, "eth1", BOTH, UP), (4, "eth0", BOTH, UP)], ["3", "8+", "6+"]),
        ([(1, "eth0", BOTH, DOWN), (4, "eth0", BOTH, "delete_instance")], ["3", "6+"]),
        ([(1, "eth0", BOTH, "delete_instance"), (4, "eth0", BOTH, "add_instance")], ["3", "6+"]),
        ([(1, "eth0", BOTH, "add_instance"), (2, "eth0", BOTH, DOWN), (4, "eth0", BOTH, "delete_instance")],
         ["3", "2", "6+"]),
        ([(1, "eth0", ("inet",), ADDRESS), (3, "eth0", ("inet6",), ADDRESS_6), (6, "eth0", ("inet",), ADDRESS)],
         ["5", "7+", "4+"]),
        ([(1, "eth0", ("inet",), OTHER), (2, "eth0", ("inet",), OTHER)], ["-", "-"]),
        ([(8, "eth0", BOTH, DOWN), (2, "eth0", BOTH, UP)], ["0", "8+"]),  # the clock was set back
    ],
)  # fmt: skip
def test_a_change_lasts_until_the_next_change_of_the_same(steps: list[Step], expected: list[str]) -> None:
    changes, _ = past_of(events_of(*steps), 10)
    assert lasted(changes) == expected


def test_what_lasts_is_not_known_when_no_service_runs() -> None:
    changes, _ = past_of(events_of((1, "eth0", BOTH, DOWN), (4, "eth0", BOTH, UP)), 4, is_now=False)
    assert lasted(changes) == ["3", "-"]


def test_the_events_of_one_change_are_together_also_among_those_of_others() -> None:
    mixed = events_of(
        (1, "eth0", ("inet",), DOWN), (1, "eth1", ("inet",), DOWN),
        (1, "eth0", ("inet6",), DOWN), (1, "eth1", ("inet6",), DOWN),
        (20, "eth0", ("inet",), UP), (40, "eth0", ("inet6",), UP),
    )  # fmt: skip
    found = [[event.seq for event in change] for change in together(reversed(mixed))]
    assert found == [[6], [5], [2, 4], [1, 3]]


def test_many_interfaces_that_change_at_once_are_in_order() -> None:
    stamp = make_stamp()
    stamp.clock = lambda: BEGINNING
    events = [
        stamp.event("parameter_notification", "notification", make_row(f"v{n}", "inet", index=n, connected=False), DOWN)
        for n in range(1000)
    ]
    assert [change[0].seq for change in together(reversed(events))] == list(range(1000, 0, -1))


@pytest.mark.parametrize(
    ("steps", "down", "flaps", "changes"),
    [
        ([(2, "eth0", BOTH, DOWN), (5, "eth0", BOTH, UP), (7, "eth0", BOTH, DOWN)], 6, 2, 3),
        ([(4, "eth0", BOTH, UP)], 4, 0, 1),
        ([(3, "eth0", BOTH, MTU)], 0, 0, 1),
        ([(2, "eth0", BOTH, DOWN), (5, "eth0", BOTH, "delete_instance")], 3, 1, 2),
        ([(2, "eth0", BOTH, "add_instance"), (3, "eth0", BOTH, DOWN), (4, "eth0", BOTH, UP)], 1, 1, 3),
        ([(2, "eth0", BOTH, DOWN), (5, "eth0", ("inet6",), "delete_instance"), (6, "eth0", ("inet",), UP)], 4, 1, 3),
        ([(2, "eth0", BOTH, FLAPPED)], 0, 3, 1),
        ([(2, "eth0", BOTH, FLAPPED | DOWN)], 8, 4, 1),
        ([], 0, 0, 0),
    ],
)
def test_sums_count_changes_flaps_and_the_time_without_a_link(
    steps: list[Step], down: float, flaps: int, changes: int
) -> None:
    _, timeline = past_of(events_of(*steps), 10)
    found = timeline.sums(at(0)).get(LUIDS["eth0"])
    assert (found is None) == (not steps)
    if found is not None:
        assert (found.down.total_seconds(), found.flaps, found.changes) == (down, flaps, changes)


def test_the_kinds_of_a_change_are_those_of_its_events_in_their_order() -> None:
    changes, _ = past_of(events_of((1, "eth0", ("inet",), DOWN | MTU), (1, "eth0", ("inet6",), DOWN)), 2)
    assert [change.kinds for change in changes] == [("link_down", "mtu_changed")]
