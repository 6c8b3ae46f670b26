"""The loop of the source: when touched links are read, when everything is, with a clock and sockets of the test's."""

from __future__ import annotations

import os
import re
import selectors
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

import pytest

from publisher.events import DefaultRoute, Family
from publisher.sources import Remove, Resync, SourceContext, Update, Upsert
from publisher.sources.linux.parts import Dump, ReadPart
from publisher.sources.linux.routes import FamilyRoutes
from publisher.sources.linux.rows import PathMtuTimes
from publisher.sources.linux.rtnetlink import RTM_DELROUTE, RTM_NEWROUTE, Link, Message, RouteChange
from publisher.sources.luids import MemoryLuids
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_records import a_link, del_address, del_link, new_address, new_link

if sys.platform == "linux":
    from publisher.sources.linux import notifications
    from publisher.sources.linux.netlink import InterruptedDumpError, RefusedError
    from publisher.sources.linux.notifications import NotificationSocket, Received
    from publisher.sources.linux.reader import LinuxReader
    from publisher.sources.linux.reconcile import Reconcile
    from publisher.sources.linux.source import LinuxSource
    from publisher.sources.linux.steady import SteadyStream
    from publisher.sources.linux.sysctl import SystemDetails
    from publisher.sources.linux.wakeup import Clocks
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


class Kernel:
    """What the two sockets return, as a test sets it, and a clock that goes on by `tick` at each look."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tick = 0.001
        self.links = {2: a_link()}
        self.path_mtu = PathMtuTimes()
        self.routes: dict[Family, FamilyRoutes] = {"inet": FamilyRoutes({}, False), "inet6": FamilyRoutes({}, False)}
        self.route_reads: list[Family] = []
        self.received: list[Received] = []
        self.reads: list[int] = []
        self.dumps: list[float] = []
        self.passes: list[tuple[float, set[int]]] = []
        self.in_pass = False
        self.before_part: Callable[[], None] = lambda: None
        self.during_dump: Callable[[], None] = lambda: None
        self.log = CapturedLog()

    def clock(self) -> float:
        self.now += self.tick
        return self.now

    def receive(self, _: object) -> Received:
        return self.received.pop(0) if self.received else Received([], lost=False, invalid=[], more=False)

    def dump(self, _: object) -> Dump:
        self.dumps.append(self.now)
        self.during_dump()
        return Dump(list(self.links.values()), [], [], self.path_mtu, dict(self.routes))

    def read(self, _: object, indexes: Iterable[int]) -> dict[int, Link | None]:
        wanted = list(indexes)
        self.reads += wanted
        return {index: self.links.get(index) for index in wanted}

    def read_routes(self, _: object, family: Family) -> Iterator[FamilyRoutes | None]:
        self.route_reads.append(family)
        yield self.routes[family]

    def parts(self, _: object, changed: Set[int]) -> Iterator[ReadPart]:
        self.passes.append((self.now, set(changed)))
        self.in_pass = True
        for index in sorted(self.links):
            part = ReadPart(links=[self.links[index]])
            self.before_part()
            yield part
        self.in_pass = False

    def report(self, *messages: Message, lost: bool = False, more: bool = False) -> None:
        self.received.append(Received(list(messages), lost, [], more))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    reader, writer = os.pipe()
    os.write(writer, b"0")  # readable for ever: a source receives nothing from a socket that is not
    monkeypatch.setattr(NotificationSocket, "fileno", lambda _: reader)
    # As for root: an ordinary user gets no more than net.core.rmem_max.
    monkeypatch.setattr(notifications, "_set_receive_buffer", lambda _, size: 2 * size)
    monkeypatch.setattr(NotificationSocket, "receive", lambda socket: kernel.receive(socket))
    monkeypatch.setattr(LinuxReader, "dump", lambda reader: kernel.dump(reader))
    monkeypatch.setattr(Reconcile, "_all", lambda reconcile, changed: kernel.parts(reconcile, changed))
    monkeypatch.setattr(SystemDetails, "path_mtu_times", lambda _: kernel.path_mtu)
    monkeypatch.setattr(LinuxReader, "links", lambda reader, indexes: kernel.read(reader, indexes))
    monkeypatch.setattr(LinuxReader, "default_routes", lambda reader, family: kernel.read_routes(reader, family))
    yield kernel
    os.close(reader)
    os.close(writer)


@pytest.fixture
def timeouts(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The timeouts of the waits of a source, none of which really waits."""
    found: list[float | None] = []

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            found.append(timeout)
            return super().select(0)

    monkeypatch.setattr(selectors, "DefaultSelector", Selector)
    return found


def started(kernel: Kernel, **context: Any) -> tuple[LinuxSource, Iterator[Any]]:
    """A source after its first list; each further list is there at once."""
    arguments = {"idle_seconds": 0.0, "reconcile_seconds": 60.0, "receive_buffer": 4096, **context}
    source = LinuxSource(SourceContext(kernel.log, MemoryLuids(), **arguments), Clocks(kernel.clock, kernel.clock))
    updates = source.updates()
    assert causes(next(updates)) == ["startup"]
    kernel.dumps.clear()
    return source, updates


def causes(updates: Sequence[Update]) -> list[str]:
    return [update.cause for update in updates if isinstance(update, Resync)]


def until_resync(updates: Iterator[Any], most: int = 10_000) -> tuple[list[str], int]:
    """The causes of the next resync, and after how many lists it came."""
    for number in range(most):
        if found := causes(next(updates)):
            return found, number
    raise AssertionError("no resync")


def test_touched_links_are_read_once_when_nothing_more_waits(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400), new_link(mtu=1300), more=True)
    kernel.report(new_link(mtu=1400), more=True)
    kernel.report(new_link(mtu=1300))
    assert [len(next(updates)) > 0 for _ in range(3)] == [True, True, True]
    assert kernel.reads == [2]


def test_a_link_that_is_reported_as_it_is_known_is_not_read(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(), new_link(carrier_downs=7, reachable_time6=25_000))
    assert next(updates) == []
    assert kernel.reads == []
    kernel.report(new_link(carrier_downs=7, dad_transmits=9))
    next(updates)
    assert kernel.reads == [2]
    kernel.report(del_link(), new_link())
    next(updates)
    assert kernel.reads == [2, 2], "another link, although it looks the same"


def test_a_steady_stream_is_recognised_by_the_messages_of_each_turn(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[int] = []
    monkeypatch.setattr(SteadyStream, "turn", lambda _, count: applied.append(count))
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400), new_link(mtu=1300))
    kernel.report(new_link(mtu=1400))
    for _ in range(4):
        next(updates)
    assert applied == [0, 2, 1, 0]


def test_the_source_waits_for_nothing_while_more_waits(kernel: Kernel, timeouts: list[float | None]) -> None:
    source, updates = started(kernel, idle_seconds=None)
    kernel.report(new_link(mtu=1400), more=True)
    kernel.report(new_link(mtu=1300))
    next(updates)
    next(updates)
    kernel.report(new_link(mtu=1400))
    next(updates)
    source.close()
    assert [timeout == 0 for timeout in timeouts] == [False, True, False]


def test_after_a_loss_the_source_does_not_spin_for_a_row_that_was_put_off(
    kernel: Kernel, timeouts: list[float | None]
) -> None:
    kernel.report(*(new_address(f"10.0.{n // 250}.{n % 250}") for n in range(5000)))
    source, updates = started(kernel, idle_seconds=None)
    kernel.report(new_address("192.0.2.1"))
    assert len(next(updates)) == 1
    kernel.report(new_address("192.0.2.2"))
    kernel.report(lost=True)
    timeouts.clear()

    def interrupted() -> None:
        if len(kernel.dumps) < 3:
            raise InterruptedDumpError("again and again")

    kernel.during_dump = interrupted
    assert until_resync(updates)[0] == ["overrun"]
    source.close()
    assert timeouts.count(0) <= 3


def test_touched_links_are_read_after_a_while_although_more_and_more_waits(kernel: Kernel) -> None:
    _, updates = started(kernel)
    for number in range(2000):
        kernel.report(new_link(mtu=1400 + number % 2), more=True)
    begin = kernel.now
    lists = 0
    while len(kernel.reads) < 3:
        next(updates)
        lists += 1
    assert 3 <= kernel.now - begin < 3.5
    assert lists > 100


def test_the_removal_of_a_link_that_vanished_while_it_was_read_is_received_with_it(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.links.clear()
    kernel.report(new_link(flags=0))
    kernel.report(del_link())
    assert [type(update).__name__ for update in next(updates)] == ["Remove", "Remove"]


def test_a_removal_of_which_the_rest_still_waits_shows_no_going_down(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400), new_link(mtu=1400, flags=0), del_address("192.0.2.1"), more=True)
    kernel.report(new_link(3, "other"), del_link())
    assert [update.row.interface.mtu for update in next(updates) if update.row.family == "inet"] == [1400]
    assert sum(isinstance(update, Remove) for update in next(updates)) == 2


def test_going_down_before_more_messages_is_reported_with_them_in_order(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400, flags=0), more=True)
    kernel.report(new_link(mtu=1300), more=True)
    kernel.report(new_link(mtu=1200, flags=0), more=True)
    kernel.report(more=True)
    found = [update.row.interface for _ in range(5) for update in next(updates) if update.row.family == "inet"]
    assert [(interface.mtu, interface.admin_status) for interface in found] == [
        (1400, "down"),
        (1300, "up"),
        (1200, "down"),
    ]


def test_what_was_held_back_comes_before_what_was_received_with_a_read_of_everything(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(lost=True, more=True)
    next(updates)
    kernel.tick = 2.0
    kernel.report(new_link(mtu=1400, flags=0), more=True)
    kernel.during_dump = lambda: kernel.report(new_link(mtu=1300))
    kernel.links[2] = a_link(mtu=1300)
    assert causes(next(updates)) == ["overrun"]
    kernel.during_dump = lambda: None
    later = [update.row.interface.mtu for _ in range(3) for update in next(updates) if isinstance(update, Upsert)]
    assert later == [1400, 1400, 1300, 1300]


def scan() -> Message:
    """RTM_NEWLINK with a name and nothing else, as a Wi-Fi scan sends it."""
    left_out: dict[str, Any] = dict.fromkeys(
        ("mtu", "operstate", "carrier", "has_inet", "has_inet6", "mtu6", "disable_ipv6")
    )
    return new_link(**left_out)


def test_a_scan_is_no_event_and_the_link_is_read(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(scan())
    assert next(updates) == []
    assert set(kernel.reads) == {2}
    kernel.reads.clear()
    assert next(updates) == []
    assert kernel.reads == []


def test_a_link_of_which_a_part_was_reported_is_read_whole(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.links[2] = a_link(mtu=1300)
    kernel.report(scan())
    assert {update.row.interface.mtu for update in next(updates)} == {1300}


def test_what_is_read_whole_does_not_come_before_a_message_about_it(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.links[2] = a_link(mtu=1300)
    kernel.report(scan())
    kernel.report(new_link(mtu=1400), new_link(mtu=1300))
    found = [update.row.interface.mtu for _ in range(3) for update in next(updates) if update.row.family == "inet"]
    assert found == [1400, 1300]


def test_messages_that_were_queued_before_a_dump_come_after_it_and_do_not_step_back(kernel: Kernel) -> None:
    source, updates = started(kernel)
    kernel.during_dump = lambda: kernel.report(new_link(mtu=1300), new_link(mtu=1400), new_address("192.0.2.1"))
    kernel.links[2] = a_link(mtu=1400)
    source.resync()
    [resync] = next(updates)
    assert isinstance(resync, Resync)
    assert {row.interface.mtu for row in resync.rows} == {1500}
    assert {len(row.addresses) for row in resync.rows if row.family == "inet"} == {1}
    kernel.during_dump = lambda: None
    assert [update.row.interface.mtu for update in next(updates) if update.row.family == "inet"] == [1300, 1400]


def test_a_resync_comes_after_what_was_queued_when_it_was_requested(kernel: Kernel) -> None:
    source, updates = started(kernel, receive_buffer=1 << 20)
    for mtu in range(1300, 1400):
        kernel.report(new_link(mtu=mtu), more=True)
    kernel.report(new_link(mtu=1400))
    source.resync()
    assert until_resync(updates) == (["reconcile"], 100)


def test_a_resync_is_not_put_off_for_ever_by_a_flood_that_never_ends(kernel: Kernel) -> None:
    source, updates = started(kernel)  # the receive buffer holds three notifications
    for _ in range(500):
        kernel.report(new_link(), more=True)
    source.resync()
    found, lists = until_resync(updates, 50)
    assert found == ["reconcile"]
    assert lists < 10


def until_pass(kernel: Kernel, updates: Iterator[Any], most: int = 10_000) -> list[Any]:
    """The updates until the next reconcile has begun and is over."""
    passes, found = len(kernel.passes), list[Any]()
    for _ in range(most):
        found += next(updates)
        if len(kernel.passes) > passes and not kernel.in_pass:
            return found
    raise AssertionError("no reconcile")


def test_a_reconcile_comes_by_itself_and_not_before_its_time(kernel: Kernel) -> None:
    _, updates = started(kernel, reconcile_seconds=5.0)
    begin = kernel.now
    kernel.links[2] = a_link(dad_transmits=3)
    found = until_pass(kernel, updates)
    assert 5 <= kernel.passes[0][0] - begin < 6
    assert [(type(update).__name__, update.cause) for update in found] == [("Upsert", "reconcile")]
    assert until_pass(kernel, updates) == []
    assert 10 <= kernel.passes[1][0] - begin < 11
    assert kernel.dumps == []


def test_times_of_path_mtus_that_changed_silently_are_found_by_a_reconcile(kernel: Kernel) -> None:
    _, updates = started(kernel, reconcile_seconds=5.0)
    kernel.path_mtu = PathMtuTimes(700_000, 800_000)
    until_pass(kernel, updates)
    resyncs = [update for _ in range(5) for update in next(updates) if isinstance(update, Resync)]
    times = {row.family: row.row.path_mtu_discovery_timeout for resync in resyncs for row in resync.rows}
    assert times == {"inet": 700_000, "inet6": 800_000}


def test_messages_are_received_and_applied_between_two_parts_of_a_reconcile(kernel: Kernel) -> None:
    kernel.links = {index: a_link(index, f"eth{index}", dad_transmits=1) for index in range(2, 12)}
    _, updates = started(kernel, reconcile_seconds=5.0)
    kernel.links = {index: link._replace(dad_transmits=2) for index, link in kernel.links.items()}
    kernel.before_part = lambda: kernel.report(new_link(3, "eth3", mtu=1300 + len(kernel.reads), dad_transmits=1))
    while not kernel.passes:
        found = next(updates)
    alternating = [found, *(next(updates) for _ in range(18))]
    order = [
        update.row.row.interface_index for found in alternating for update in found if update.row.family == "inet6"
    ]
    assert [index for index in order if index != 3] == [2, *range(4, 12)]
    assert order.count(3) >= 8


def test_a_part_of_a_reconcile_never_brings_back_what_a_message_changed_meanwhile(kernel: Kernel) -> None:
    """The bytes of a part may be older than messages that were applied, or newer than those that wait."""
    kernel.links = {2: a_link(), 3: a_link(3, "eth1", mtu=1500)}
    _, updates = started(kernel, reconcile_seconds=5.0)
    kernel.before_part = lambda: kernel.report(new_link(3, "eth1", mtu=1300), new_link(3, "eth1", mtu=1400))
    found = until_pass(kernel, updates)
    kernel.before_part = lambda: None
    found += next(updates)
    mtus = [update.row.interface.mtu for update in found if update.row.family == "inet"]
    assert mtus[:2] == [1300, 1400]
    assert 1500 not in mtus
    kernel.links[3] = a_link(3, "eth1", mtu=1400)
    until_pass(kernel, updates)
    assert 3 in kernel.passes[-1][1], "it is compared in any case the next time"


def test_a_reconcile_waits_while_messages_wait(kernel: Kernel) -> None:
    _, updates = started(kernel, reconcile_seconds=5.0, receive_buffer=32 << 20)
    kernel.links[2] = a_link(mtu=1400)
    kernel.tick = 6.0
    for mtu in range(1300, 1320):
        kernel.report(new_link(mtu=mtu), more=True)
    kernel.report(new_link(mtu=1400))
    found = [update.row.interface.mtu for update in until_pass(kernel, updates) if update.row.family == "inet"]
    assert found == [*range(1300, 1320), 1400]


def test_a_reconcile_is_not_put_off_for_ever_by_a_flood_that_never_ends(kernel: Kernel) -> None:
    _, updates = started(kernel, reconcile_seconds=5.0)  # the receive buffer holds three notifications
    for number in range(20_000):
        kernel.report(new_link(mtu=1400 + number % 2), more=True)
    begin = kernel.now
    assert until_resync(updates)[0] == ["reconcile"]
    assert 5 <= kernel.dumps[0] - begin < 7


def test_a_loss_ends_a_reconcile_and_everything_is_read_at_once(kernel: Kernel) -> None:
    kernel.links = {index: a_link(index, f"eth{index}") for index in range(2, 12)}
    _, updates = started(kernel, reconcile_seconds=5.0)
    while not kernel.passes:
        next(updates)
    kernel.report(lost=True)
    assert until_resync(updates)[0] == ["overrun"]
    assert (len(kernel.dumps), len(kernel.passes)) == (1, 1)


def test_a_reconcile_that_the_kernel_does_not_answer_is_followed_by_a_read_of_everything(kernel: Kernel) -> None:
    _, updates = started(kernel, reconcile_seconds=5.0)

    def refused() -> None:
        raise RefusedError("not in parts")

    kernel.before_part = refused
    assert until_resync(updates)[0] == ["reconcile"]
    assert [record.levelname for record in kernel.log.records if record.levelname == "WARNING"] == ["WARNING"]


def test_after_a_loss_everything_is_read_when_the_flood_is_over(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400), lost=True, more=True)
    for mtu in range(1300, 1310):
        kernel.report(new_link(mtu=mtu), more=True)
    begin = kernel.now
    found, lists = until_resync(updates)
    assert found == ["overrun"]
    assert lists >= 11
    assert 0.05 <= kernel.dumps[0] - begin < 1
    assert kernel.reads == []


def test_after_a_loss_everything_is_read_after_a_while_although_the_flood_goes_on(kernel: Kernel) -> None:
    source, updates = started(kernel)
    kernel.tick = 0.01
    for _ in range(3000):
        kernel.report(new_link(mtu=1400), lost=True, more=True)
    begin = kernel.now
    assert until_resync(updates)[0] == ["overrun"]
    assert 1 <= kernel.dumps[0] - begin < 1.5
    assert source.counts.lost > 10


def test_a_flood_that_goes_on_is_one_warning_and_then_one_a_minute_with_a_count(kernel: Kernel) -> None:
    """It was a line for each read of everything: several a second in a flood."""
    _, updates = started(kernel)
    kernel.tick = 0.01
    for seconds in (0, 20, 45):
        kernel.now += seconds
        for _ in range(3):
            kernel.report(new_link(mtu=1400), lost=True)
            assert until_resync(updates)[0] == ["overrun"]
    lines = [record.getMessage() for record in kernel.log.records if "dropped messages" in record.getMessage()]
    first = "the kernel dropped messages; all interfaces are read when the flood is over"
    assert lines[0] == first
    assert re.fullmatch(re.escape(first) + r" \(6 times in 6\d s\)", lines[1])
    assert len(lines) == 2


def test_before_the_read_after_a_loss_the_socket_is_emptied(kernel: Kernel) -> None:
    """Until it is empty the kernel drops messages without reporting it again."""
    _, updates = started(kernel, receive_buffer=32 << 20)
    kernel.tick = 0.3
    kernel.report(lost=True, more=True)
    for mtu in range(1300, 1320):
        kernel.report(new_link(mtu=mtu), more=True)
    kernel.report(new_link(mtu=1400))
    left: list[int] = []
    kernel.during_dump = lambda: left.append(len(kernel.received))
    assert until_resync(updates)[0] == ["overrun"]
    assert left == [0]


def test_after_an_invalid_message_everything_is_read_once_in_a_while(kernel: Kernel) -> None:
    source, updates = started(kernel)
    for _ in range(5):
        kernel.received.append(Received([], lost=False, invalid=[b"not rtnetlink"], more=False))
    begin = kernel.now
    assert until_resync(updates)[0] == ["reconcile"]
    assert 1 <= kernel.dumps[0] - begin < 1.5
    assert source.counts.invalid_messages == 5
    errors = [record.getMessage() for record in kernel.log.records if record.levelname == "ERROR"]
    assert [b"not rtnetlink".hex() in error for error in errors] == [True] * 5


def test_an_interrupted_dump_is_tried_again_after_a_pause(kernel: Kernel) -> None:
    source, updates = started(kernel)

    def interrupted() -> None:
        if len(kernel.dumps) < 4:
            raise InterruptedDumpError("again and again")

    kernel.during_dump = interrupted
    source.resync("overrun")
    source.resync()
    assert until_resync(updates)[0] == ["overrun", "reconcile"]
    pauses = [after - before for before, after in zip(kernel.dumps, kernel.dumps[1:], strict=False)]
    assert [round(pause) for pause in pauses] == [1, 1, 1]
    [line] = [record.getMessage() for record in kernel.log.records if record.levelname == "WARNING"]
    assert "cannot read the interfaces now: again and again" in line


def test_a_suspend_is_noticed_by_the_clocks_and_everything_read(kernel: Kernel) -> None:
    asleep = [0.0]
    clocks = Clocks(kernel.clock, lambda: kernel.now + asleep[0])
    source = LinuxSource(SourceContext(kernel.log, MemoryLuids(), idle_seconds=0.0), clocks)
    updates = source.updates()
    next(updates)
    asleep[0] = 0.4
    assert next(updates) == []
    asleep[0] = 3600.0
    assert causes(next(updates)) == ["reconcile"]
    assert next(updates) == []


def test_a_reconcile_that_waits_for_a_read_of_everything_does_not_spin(
    kernel: Kernel, timeouts: list[float | None]
) -> None:
    kernel.links = {index: a_link(index, f"eth{index}") for index in range(2, 8)}
    source, updates = started(kernel, reconcile_seconds=5.0, idle_seconds=10.0)
    kernel.links = {index: a_link(index, f"eth{index}", dad_transmits=3) for index in range(2, 8)}
    kernel.now += 5
    assert causes(next(updates)) == []
    assert kernel.in_pass
    kernel.received.append(Received([], lost=False, invalid=[b"\0"], more=False))
    kernel.tick = 0.01
    timeouts.clear()
    assert until_resync(updates)[0] == ["reconcile"]
    source.close()
    assert timeouts.count(0) <= 3


# Default routes


def through(*links: int) -> FamilyRoutes:
    return FamilyRoutes(dict.fromkeys(links, (DefaultRoute(next_hop="192.0.2.1", metric=0, protocol=None),)), False)


def routes_of(updates: Sequence[Update]) -> list[tuple[int | None, int]]:
    """The mtu and the number of default routes of each upserted IPv4 row."""
    return [
        (update.row.interface.mtu, len(update.row.default_routes))
        for update in updates
        if isinstance(update, Upsert) and update.row.family == "inet"
    ]


def test_a_link_takes_its_default_routes_along_in_one_update(kernel: Kernel) -> None:
    kernel.routes["inet"] = through(2)
    _, updates = started(kernel)
    kernel.routes["inet"] = through()
    kernel.report(new_link(mtu=1400), more=True)
    kernel.report(new_link(mtu=1300, flags=0))
    found = [routes_of(next(updates)) for _ in range(2)]
    assert found == [[(1400, 1)], [(1300, 0)]]
    assert kernel.route_reads == ["inet"]


def test_a_link_without_default_routes_costs_no_read_of_them(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.report(new_link(mtu=1400), new_address("192.0.2.9"), del_address("192.0.2.9"))
    next(updates)
    assert kernel.route_reads == []


def test_routes_are_read_when_nothing_more_waits_and_once_for_many_messages(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.routes["inet"] = through(2)
    change = Message(RTM_NEWROUTE, 0, 0, RouteChange(2))
    kernel.report(change, change, more=True)
    kernel.report(change)
    assert [routes_of(next(updates)) for _ in range(2)] == [[], [(1500, 1)]]
    assert kernel.route_reads == ["inet"]


def test_routes_of_a_link_that_a_waiting_message_reports_come_with_its_state(kernel: Kernel) -> None:
    kernel.routes["inet"] = through(2)
    _, updates = started(kernel)
    kernel.routes["inet"] = through()
    kernel.report(Message(RTM_DELROUTE, 0, 0, RouteChange(2)))
    kernel.report(new_link(mtu=1400))  # received after the read
    assert [routes_of(next(updates)) for _ in range(2)] == [[], [(1400, 0)]]
    assert kernel.route_reads == ["inet", "inet"]


def test_a_link_that_went_down_while_everything_was_read_takes_its_routes_along_in_one_update(kernel: Kernel) -> None:
    kernel.routes["inet"] = through(2)
    source, updates = started(kernel)
    kernel.routes["inet"] = through()
    kernel.during_dump = lambda: kernel.report(new_link(flags=0))
    source.resync()
    read: list[Update] = []
    while not causes(read):
        read = list(next(updates))
    kernel.during_dump = lambda: None
    [resync] = [update for update in read if isinstance(update, Resync)]
    assert [len(row.default_routes) for row in resync.rows if row.family == "inet"] == [1]
    [later] = [update for update in next(updates) if isinstance(update, Upsert) and update.row.family == "inet"]
    assert (later.row.interface.admin_status, later.row.default_routes) == ("down", ())


def test_an_address_that_is_removed_after_everything_was_read_has_the_routes_read_again(kernel: Kernel) -> None:
    kernel.routes["inet"] = through(2)
    source, updates = started(kernel)
    kernel.during_dump = lambda: kernel.report(del_address("192.0.2.1"))
    source.resync()
    while not causes(next(updates)):
        pass
    kernel.routes["inet"] = through()
    assert routes_of(next(updates)) == [(1500, 0)]


def test_a_reconcile_finds_no_route_of_which_a_message_waits(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_routes(_: object, family: Family) -> Iterator[FamilyRoutes | None]:
        kernel.report(Message(RTM_NEWROUTE, 0, 0, RouteChange(2)))
        yield kernel.routes[family]

    _, updates = started(kernel)
    kernel.routes["inet"] = through(2)
    monkeypatch.setattr(kernel, "read_routes", read_routes)
    kernel.now += 60
    found = [update for _ in range(6) for update in next(updates)]
    assert routes_of(found) == [(1500, 1)]
    assert {update.cause for update in found} == {"notification"}


def test_a_reconcile_finds_routes_alone_while_messages_report_other_changes(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.routes["inet"] = through(2)
    kernel.now += 60
    while not kernel.passes or kernel.in_pass:
        assert list(next(updates)) == []
    kernel.links[3] = a_link(3, "eth1")
    kernel.report(new_link(3, "eth1"))
    found = [update for _ in range(3) for update in next(updates)]
    assert [(update.row.interface.alias, update.cause) for update in found if isinstance(update, Upsert)] == [
        ("eth1", "notification"),
        ("eth1", "notification"),
        ("eth0", "reconcile"),
    ]


def test_a_reconcile_reads_default_routes_and_says_so(kernel: Kernel) -> None:
    _, updates = started(kernel)
    kernel.routes["inet"] = through(2)
    kernel.now += 60
    found = [update for _ in range(6) for update in next(updates)]
    assert routes_of(found) == [(1500, 1)]
    assert {update.cause for update in found} == {"reconcile"}
    assert kernel.dumps == []
