"""From updates to events: the filter, the snapshot, and a second one after an overrun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from publisher.events import Cause, IpInterface
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Table
from publisher.watcher import InterfaceFilter, Step, batches, step, watch
from tests.fixtures.rows import ETH0, ETH1, kinds, row


class Scripted:
    """A source with the lists that the test gives it."""

    def __init__(self, *updates: Sequence[Update]) -> None:
        self._updates = updates
        self.closed = False

    def updates(self) -> Iterator[Sequence[Update]]:
        yield from self._updates

    def wake(self) -> None:
        raise NotImplementedError

    def resync(self, cause: Cause = "reconcile") -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def named(alias: str, luid: str = ETH0, **members: Any) -> IpInterface:
    return row(luid, alias=alias, **members)


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ((), (), ["lo", "eth0", "veth1"]),
        ((), ("lo", "veth*"), ["eth0"]),
        (("eth*",), (), ["eth0"]),
        (("eth*", "lo"), ("lo",), ["eth0"]),
        (("ETH0",), (), []),
        ((named("eth0").luid.upper(),), (), ["lo", "eth0", "veth1"]),  # all have this LUID
        ((), (named("eth0").luid,), []),
    ],
)
def test_patterns_decide_and_exclude_wins(include: tuple[str, ...], exclude: tuple[str, ...], kept: list[str]) -> None:
    interfaces = InterfaceFilter(include, exclude)
    assert [alias for alias in ("lo", "eth0", "veth1") if interfaces.keeps(named(alias))] == kept


def test_an_unwanted_interface_is_never_there() -> None:
    table = Table()
    first: list[Update] = [Resync((named("lo"), named("eth0", ETH1)), "startup")]
    interfaces = InterfaceFilter(exclude=("lo",))
    assert step(first, table, interfaces) == step([Upsert(named("lo", nl_mtu=1))], table, interfaces) == Step([])
    assert [entry.interface.alias for entry in table.rows] == ["eth0"]


def test_renamed_out_of_the_filter_is_removed_and_back_is_added() -> None:
    updates: list[Update] = [
        Upsert(named("veth1")),
        Upsert(named("eth0")),
        Upsert(named("veth1")),
        Remove(ETH0, "inet"),
    ]
    result = step(updates, Table([named("eth0")]), InterfaceFilter(exclude=("veth*",)))
    removed, added = ("delete_instance", ETH0, "inet"), ("add_instance", ETH0, "inet")
    assert kinds(result.events) == [removed, added, removed]


def test_a_list_of_updates_makes_their_events_in_order() -> None:
    updates = [Upsert(named("eth0", nl_mtu=1400)), Upsert(named("eth1", ETH1)), Upsert(named("eth0", nl_mtu=1300))]
    result = step(updates, Table([named("eth0", nl_mtu=1500)]), InterfaceFilter())
    assert [event.row and event.row.nl_mtu for event in result.events] == [1400, None, 1300]
    assert not result.overrun


@pytest.mark.parametrize("causes", [["overrun"], ["overrun", "reconcile"], ["reconcile", "overrun"]])
def test_an_overrun_is_reported_even_when_nothing_differs(causes: list[Cause]) -> None:
    updates = [Resync((named("eth0"),), cause) for cause in causes]
    assert step(updates, Table([named("eth0")]), InterfaceFilter()) == Step([], overrun=True)


def test_after_an_overrun_the_snapshot_comes_again() -> None:
    rows = (named("eth0"),)
    source = Scripted([Resync(rows, "startup")], [Resync(rows, "overrun"), Upsert(named("eth0", nl_mtu=1400))], [])
    lists = batches(source, Table(), InterfaceFilter())
    assert [[event.cause for event in events] for events in lists] == [
        ["notification"] * 2,
        ["notification"],
        ["overrun"] * 2,
    ]


def test_watch_is_the_snapshot_and_then_each_change() -> None:
    source = Scripted(
        [Resync((named("eth0"),), "startup"), Upsert(named("eth0", nl_mtu=1400))], [], [Remove(ETH0, "inet")]
    )
    events = list(watch(source=source))
    assert [event.notification_type for event in events] == [
        "initial_notification",
        "initial_notification",
        "parameter_notification",
        "delete_instance",
    ]
    assert source.closed
