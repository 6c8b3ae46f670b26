"""From updates to events: the filter, and what an overrun is to those who follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from publisher.events import IpInterface
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Table
from publisher.watcher import InterfaceFilter, Watcher, watch
from tests.fixtures.rows import ETH0, ETH1, kinds, row


class Scripted:
    """A source that says what it was told to say."""

    def __init__(self, *updates: Update) -> None:
        self._updates = updates
        self.closed = False

    def updates(self) -> Iterator[Update]:
        yield from self._updates

    def reconcile(self) -> None:
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
    ],
)
def test_patterns_decide_and_exclude_wins(include: tuple[str, ...], exclude: tuple[str, ...], kept: list[str]) -> None:
    interfaces = InterfaceFilter(include, exclude)
    assert [alias for alias in ("lo", "eth0", "veth1") if interfaces.keeps(named(alias))] == kept


def test_an_unwanted_interface_is_never_there() -> None:
    source = Scripted(Resync((named("lo"), named("eth0", ETH1)), "startup"), Upsert(named("lo", nl_mtu=1)))
    watcher = Watcher(source, Table(), InterfaceFilter(exclude=("lo",)))
    assert [watcher.step(update).events for update in source.updates()] == [[], []]
    assert [entry.interface.alias for entry in watcher.table.rows] == ["eth0"]


def test_renamed_out_of_the_filter_is_removed_and_back_is_added() -> None:
    source = Scripted(Upsert(named("veth1")), Upsert(named("eth0")), Upsert(named("veth1")), Remove(ETH0, "inet"))
    watcher = Watcher(source, Table([named("eth0")]), InterfaceFilter(exclude=("veth*",)))
    events = [kinds(watcher.step(update).events) for update in source.updates()]
    assert events == [[("delete_instance", ETH0, "inet")], [("add_instance", ETH0, "inet")], events[0], []]


def test_an_overrun_is_said_even_when_nothing_differs() -> None:
    source = Scripted(Resync((named("eth0"),), "reconcile"), Resync((named("eth0"),), "overrun"))
    watcher = Watcher(source, Table([named("eth0")]), InterfaceFilter())
    steps = [watcher.step(update) for update in source.updates()]
    assert [(step.events, step.overrun) for step in steps] == [([], False), ([], True)]


def test_watch_is_the_snapshot_and_then_each_change() -> None:
    source = Scripted(Resync((named("eth0"),), "startup"), Upsert(named("eth0", nl_mtu=1400)), Remove(ETH0, "inet"))
    events = list(watch(source=source))
    assert [event.notification_type for event in events] == [
        "initial_notification",
        "initial_notification",
        "parameter_notification",
        "delete_instance",
    ]
    assert source.closed
