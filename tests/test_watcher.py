"""From updates to events: the filter, the snapshot, and a second one after an overrun."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

import publisher
from publisher.errors import ConfigurationError, SourceError
from publisher.events import Cause, IpInterface
from publisher.nodes import node_from
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Table
from publisher.testing import ScriptedSource, make_row
from publisher.watcher import InterfaceFilter, Step, _OpenSource, awatch, batches, step, watch
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


@pytest.mark.parametrize("interfaces", ["eth0", ["eth0"], ("et*",), InterfaceFilter(exclude=("v*",))])
def test_watch_takes_names_too(interfaces: Any) -> None:
    rows = (named("eth0"), named("veth1", ETH1))
    with watch(interfaces=interfaces, source=Scripted([Resync(rows, "startup")])) as events:
        assert [event.interface.alias for event in events if event.interface] == ["eth0"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"family": "ipv4"}, "family 'ipv4': expected 'inet', 'inet6', or 'unspec'"),
        ({"stop": True}, "stop True: expected an event"),
        ({"source": "linux"}, "source 'linux': expected a Source"),
        ({"interfaces": 5}, "interfaces 5: expected names"),
        ({"interfaces": [5]}, "interfaces .*: expected names"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_told_at_the_call(argument: dict[str, Any], words: str) -> None:
    for call in (watch, awatch):
        with pytest.raises(ConfigurationError, match=words):
            call(**argument)


def test_the_node_is_this_host() -> None:
    with watch(source=Scripted([Resync((named("eth0"),), "startup")])) as events:
        assert {event.node for event in events} == {node_from(socket.gethostname())}


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


class Silent:
    """A source that has one row, and then waits for its end or for what the test puts."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Sequence[Update] | None] = SimpleQueue()
        self.closed = threading.Event()

    def updates(self) -> Iterator[Sequence[Update]]:
        yield [Resync((named("eth0"),), "startup")]
        while (updates := self.queue.get(timeout=20)) is not None:
            yield updates

    def wake(self) -> None:
        self.queue.put([])

    def resync(self, cause: Cause = "reconcile") -> None:
        self.queue.put([Resync((named("eth0"),), cause)])

    def close(self) -> None:
        self.closed.set()
        self.queue.put(None)


def test_without_a_snapshot_the_changes_come_alone_and_a_loss_is_marked() -> None:
    source = Scripted(
        [Resync((named("eth0"),), "startup"), Upsert(named("eth0", nl_mtu=1400))],
        [Resync((named("eth0", nl_mtu=1300),), "overrun")],
    )
    events = list(watch(source=source, snapshot=False))
    assert [(event.notification_type, event.cause) for event in events] == [
        ("parameter_notification", "notification"),
        ("parameter_notification", "overrun"),
        ("initial_notification", "overrun"),
    ]
    assert events[-1].snapshot is not None
    assert events[-1].snapshot.count == 0


def test_a_close_from_another_thread_ends_the_iteration() -> None:
    source = Silent()
    watched = watch(source=source)
    assert [next(watched).seq for _ in range(2)] == [0, 0]
    threading.Timer(0.1, watched.close).start()
    assert list(watched) == []
    assert watched.closed
    watched.close()


def test_a_stop_event_ends_the_iteration() -> None:
    stop = threading.Event()
    source = Silent()
    watched = watch(source=source, stop=stop)
    assert [next(watched).seq for _ in range(2)] == [0, 0]
    threading.Timer(0.1, stop.set).start()
    assert list(watched) == []
    assert source.closed.is_set()


def test_what_nobody_iterates_any_more_is_closed() -> None:
    source = Silent()
    for _event in watch(source=source):
        break
    gc.collect()
    assert source.closed.is_set()
    with watch(source=Silent()) as watched:
        next(watched)
    assert watched.closed


def test_a_watch_that_is_closed_before_it_began_opens_nothing() -> None:
    source = Silent()
    watched = watch(source=source)
    watched.close()
    assert list(watched) == []
    assert not source.closed.is_set()


def test_a_signal_handler_may_close_while_the_source_is_opened() -> None:
    def interrupted() -> Silent:
        signal.raise_signal(signal.SIGINT)
        return source

    source = Silent()
    opened = _OpenSource(interrupted)
    before = signal.signal(signal.SIGINT, lambda *_: opened.close())
    try:
        assert opened.open() is source
    finally:
        signal.signal(signal.SIGINT, before)
    assert source.closed.is_set()


async def ended_at_once(task: asyncio.Task[Any]) -> None:
    """Cancels a task and checks that it ends within some turns of the loop: it waits for no thread and no time."""
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert task.cancelled()


def test_an_async_watch_is_the_same_and_a_cancelled_wait_ends_at_once() -> None:
    async def program(source: Silent) -> list[str]:
        watched = awatch(source=source)
        kinds: list[str] = [(await anext(watched)).notification_type for _ in range(2)]
        task = asyncio.ensure_future(anext(watched))
        await asyncio.sleep(0.05)
        await ended_at_once(task)
        source.queue.put([Upsert(named("eth0", nl_mtu=1400))])
        kinds.append((await anext(watched)).notification_type)
        watched.close()
        return kinds + [event.notification_type async for event in watched]

    source = Silent()
    assert asyncio.run(program(source)) == ["initial_notification"] * 2 + ["parameter_notification"]
    assert source.closed.is_set()


def test_an_async_watch_that_is_cancelled_ends_at_once() -> None:
    async def program() -> None:
        async def follow() -> None:
            async for _event in awatch(source=source):
                pass

        task = asyncio.ensure_future(follow())
        await asyncio.sleep(0.1)
        await ended_at_once(task)

    source = Silent()
    asyncio.run(program())
    gc.collect()
    assert source.closed.wait(30)


def test_an_async_watch_that_never_waits_lets_other_tasks_run() -> None:
    class Endless(Silent):
        def updates(self) -> Iterator[Sequence[Update]]:
            yield [Resync((named("eth0"),), "startup")]
            for mtu in itertools.count():
                if self.closed.is_set() or mtu > 200_000:
                    return
                yield [Upsert(named("eth0", nl_mtu=1000 + mtu % 2))]

    async def program() -> int:
        turns = count = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.ensure_future(others())
        async with awatch(source=Endless()) as watched:
            async for _event in watched:
                count += 1
                # Slower than the source, so that there always is a next event.
                time.sleep(0.0005)
                if count == 100:  # the source is ahead by now
                    turns = 0
                if (count > 100 and turns) or count > 10_000:
                    break
        task.cancel()
        return count

    assert asyncio.run(program()) <= 10_000


def test_an_async_watch_raises_what_the_source_raises() -> None:
    async def program() -> None:
        async for _event in awatch(source=ScriptedSource([make_row()], SourceError("unplugged"))):
            pass

    with pytest.raises(publisher.PublisherError, match="unplugged"):
        asyncio.run(program())


def test_an_async_watch_reads_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher.client.outbox.MOST_WAITING", 10)
    taken: list[int] = []

    class Endless(Silent):
        def updates(self) -> Iterator[Sequence[Update]]:
            yield [Resync((named("eth0"),), "startup")]
            for mtu in range(1000, 1100):
                taken.append(mtu)
                yield [Upsert(named("eth0", nl_mtu=mtu))]

    async def program() -> int:
        watched = awatch(source=Endless())
        await anext(watched)
        await asyncio.sleep(0.2)
        before = len(taken)
        return before + len([event async for event in watched])

    assert asyncio.run(program()) <= 20 + 101
    assert len(taken) == 100
