"""Reads of default routes: bounded however many routes there are, in slices, and again after an error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest

from publisher.events import Family
from publisher.sources.linux.routes import FamilyRoutes, RouteDecoder, RoutePart
from publisher.sources.linux.rtnetlink import RTM_NEWROUTE, Decoder, RouteChange
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netns import NetNs

if sys.platform == "linux":
    from publisher.sources.linux import default_routes
    from publisher.sources.linux.default_routes import DueReads, RouteSocket, read_default_routes
    from publisher.sources.linux.netlink import InterruptedDumpError
    from publisher.sources.linux.notifications import NotificationSocket
    from publisher.sources.linux.reader import LinuxReader
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"

MANY = 5000
NOTHING = FamilyRoutes({}, names_objects=False)


@pytest.fixture
def router(netns: NetNs) -> NetNs:
    """A namespace with many routes of each family beside the default ones."""
    netns.veth()
    netns.ip(
        "addr add 10.0.0.2/24 dev v0",
        "addr add fd00::2/64 dev v0 nodad",
        "route add 0.0.0.0/0 via 10.0.0.1 metric 100 proto dhcp",
        "route add 0.0.0.0/0 via 10.0.0.3 metric 200",
        "route add ::/0 via fd00::1 dev v0",
        *(f"route add 172.{16 + number // 250}.{number % 250}.0/24 via 10.0.0.1" for number in range(MANY)),
        *(f"route add 2001:db8:{number:x}::/48 via fd00::1 dev v0" for number in range(MANY)),
    )
    return netns


def read(family: Family, clock: Any = lambda: 0.0) -> list[FamilyRoutes | None]:
    return list(read_default_routes(RouteDecoder(), family, clock))


def next_hops(listed: FamilyRoutes | None) -> list[str | None]:
    assert listed is not None
    return [route.next_hop for routes in listed.by_link.values() for route in routes]


def test_of_many_ipv4_routes_the_first_datagram_is_read(router: NetNs) -> None:
    def parts() -> int:
        with closing(RouteSocket(RouteDecoder())) as requests:
            return len(list(requests.parts(2)))

    assert router.call(parts) == 1
    [listed] = router.call(read, "inet")
    assert next_hops(listed) == ["10.0.0.1", "10.0.0.3"]


def test_many_ipv6_routes_are_read_in_slices(router: NetNs) -> None:
    ticks = iter(range(1_000_000))
    *slices, listed = router.call(read, "inet6", lambda: next(ticks))
    assert slices == [None] * len(slices)
    assert len(slices) > 10
    assert next_hops(listed) == ["fd00::1"]


def test_a_short_list_is_one_slice_however_slow_the_host_is(netns: NetNs) -> None:
    netns.veth()
    netns.ip("addr add 10.0.0.2/24 dev v0", "route add 0.0.0.0/0 via 10.0.0.1", "route add ::/0 dev v0")
    ticks = iter(range(1_000_000))
    for family in ("inet", "inet6"):
        [listed] = netns.call(read, family, lambda: next(ticks))
        assert len(next_hops(listed)) == 1


def test_a_namespace_without_any_route_has_no_table_and_no_default_route(netns: NetNs) -> None:
    assert [netns.call(read, family) for family in ("inet", "inet6")] == [[NOTHING], [NOTHING]]


def test_default_routes_of_many_hops_and_metrics_are_all_read(netns: NetNs) -> None:
    netns.veth()
    netns.ip(
        "addr add 10.0.0.2/16 dev v0",
        "addr add fd00::2/64 dev v0 nodad",
        *(f"route add 0.0.0.0/0 via 10.0.1.1 metric {number}" for number in range(1, 501)),
        *(f"route add ::/0 via fd00::1 dev v0 metric {number}" for number in range(1, 501)),
    )
    for family in ("inet", "inet6"):
        [listed] = netns.call(read, family)
        assert len(next_hops(listed)) == 500


def test_a_default_route_that_the_kernel_leaves_out_is_noticed(router: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed routes make the kernel skip as many at the end of its list, where the default routes are."""
    part = RouteDecoder.part
    monkeypatch.setattr(RouteDecoder, "part", lambda *arguments: part(*arguments)._replace(routes=[]))
    with pytest.raises(InterruptedDumpError, match="removed while"):
        router.call(read, "inet6")
    router.ip("route del ::/0")
    assert router.call(read, "inet6") == [NOTHING]


def test_a_removed_nexthop_object_is_none_of_a_route(netns: NetNs) -> None:
    def nexthops() -> dict[int, Any]:
        with closing(RouteSocket(RouteDecoder())) as requests:
            return requests.nexthops({1, 2, 3})

    netns.veth()
    netns.ip("nexthop add id 1 via fe80::1 dev v0", "nexthop add id 2 dev v1", "nexthop add id 3 group 1/2")
    assert set(netns.call(nexthops)) == {1, 2, 3}
    netns.ip("nexthop del id 3")
    assert set(netns.call(nexthops)) == {1, 2}


def test_the_kernel_delivers_messages_about_default_routes_alone(router: NetNs) -> None:
    def opened() -> NotificationSocket:
        return NotificationSocket(Decoder(), 1 << 20, logging.getLogger("publisher"))

    with closing(router.call(opened)) as socket:
        router.ip(
            "route add 203.0.113.0/24 via 10.0.0.1",
            "route add 0.0.0.0/0 via 10.0.0.9 table 100",
            "route add 2001:db8:ffff::/48 via fd00::1 dev v0",
            "route flush root 172.16.0.0/12",
            "route add 0.0.0.0/0 via 10.0.0.9 metric 7",
            "route del ::/0",
            "nexthop add id 1 via 10.0.0.1 dev v0",
        )
        found = [message for message in socket.receive().messages if isinstance(message.record, RouteChange)]
    assert [message.record for message in found] == [RouteChange(2), RouteChange(10), RouteChange(0)]
    assert found[0].type == RTM_NEWROUTE


def test_a_link_is_asked_for_before_routes_are_listed(netns: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has removed the routes of which a message came when it answers about a link: both need its lock."""
    asked: list[object] = []
    links = LinuxReader.links

    def noted_links(reader: LinuxReader, indexes: Iterable[int]) -> Any:
        asked.append(indexes)
        return links(reader, indexes)

    def noted_parts(_: RouteSocket, family: int) -> Iterator[RoutePart]:
        asked.append(family)
        return iter(())

    monkeypatch.setattr(LinuxReader, "links", noted_links)
    monkeypatch.setattr(RouteSocket, "parts", noted_parts)

    def read_whole() -> list[object]:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            return list(reader.default_routes("inet"))

    assert netns.call(read_whole) == [NOTHING]
    assert asked == [[1], 2]


# When the reads are made


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Kernel:
    """Default routes as a test sets them: the slices of each read, of which each takes a second."""

    def __init__(self, clock: Clock) -> None:
        self.begun: list[Family] = []
        self.slices: list[FamilyRoutes | Exception | None] = [NOTHING]
        self._clock = clock

    def read(self, family: Family) -> Iterator[FamilyRoutes | None]:
        self.begun.append(family)
        for entry in self.slices:
            self._clock.now += 1
            if isinstance(entry, Exception):
                raise entry
            yield entry


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kernel(clock: Clock) -> Kernel:
    return Kernel(clock)


@pytest.fixture
def reads(kernel: Kernel, clock: Clock) -> DueReads:
    return DueReads(kernel.read, ("inet", "inet6"), CapturedLog(), clock, clock)  # type: ignore[arg-type]  # an iterator does


def test_nothing_is_read_before_it_is_marked(reads: DueReads, kernel: Kernel) -> None:
    assert reads.due_at == float("inf")
    assert reads.next() == ({}, {})
    reads.mark({"inet6"}, "notification")
    assert reads.due_at == float("-inf")
    assert reads.next() == ({"inet6": NOTHING}, {})
    assert (kernel.begun, reads.due_at) == (["inet6"], float("inf"))


def test_a_family_that_is_not_wanted_is_not_read(kernel: Kernel, clock: Clock) -> None:
    reads = DueReads(kernel.read, ("inet",), CapturedLog(), clock, clock)  # type: ignore[arg-type]  # an iterator does
    reads.mark({"inet", "inet6"}, "notification")
    assert reads.next().reported.keys() == {"inet"}


def test_the_cause_is_reconcile_only_where_nothing_else_marked_it(reads: DueReads) -> None:
    reads.mark({"inet", "inet6"}, "reconcile")
    assert reads.next() == ({}, {"inet": NOTHING, "inet6": NOTHING})
    reads.mark({"inet", "inet6"}, "reconcile")
    reads.mark({"inet"}, "notification")
    reads.mark({"inet"}, "reconcile")
    assert reads.next() == ({"inet": NOTHING}, {"inet6": NOTHING})


def test_what_is_reported_while_a_reconcile_reads_is_not_found_by_it(reads: DueReads, kernel: Kernel) -> None:
    kernel.slices = [None, NOTHING]
    reads.mark({"inet6"}, "reconcile")
    assert reads.next() == ({}, {})
    reads.mark({"inet6"}, "notification")
    assert reads.next() == ({"inet6": NOTHING}, {})


def test_a_read_that_waited_long_postpones_no_other(kernel: Kernel, clock: Clock) -> None:
    """For the kernel's lock or a processor: the pause bounds the time of a processor that reads take."""
    reads = DueReads(kernel.read, ("inet6",), CapturedLog(), clock, lambda: 0.0)  # type: ignore[arg-type]  # as above
    kernel.slices = [None, NOTHING]
    for _ in range(3):
        reads.mark({"inet6"}, "notification")
        assert [reads.next().reported, reads.next().reported] == [{}, {"inet6": NOTHING}]


def test_a_long_read_goes_on_slice_by_slice_and_what_is_marked_meanwhile_is_read_again_later(
    reads: DueReads, kernel: Kernel, clock: Clock
) -> None:
    kernel.slices = [None, None, NOTHING]
    reads.mark({"inet6"}, "notification")
    assert reads.next() == ({}, {})
    reads.mark({"inet6"}, "notification")
    assert reads.next() == ({}, {})
    assert reads.next().reported == {"inet6": NOTHING}
    assert kernel.begun == ["inet6"]
    assert reads.due_at == clock.now + 30, "a long read takes a tenth of the time at most"
    assert reads.next() == ({}, {})
    clock.now += 30
    kernel.slices = [NOTHING]
    assert reads.next().reported == {"inet6": NOTHING}
    assert kernel.begun == ["inet6", "inet6"]


def test_a_reconcile_reads_long_lists_seldom(reads: DueReads, kernel: Kernel, clock: Clock) -> None:
    kernel.slices = [None, NOTHING]
    reads.mark({"inet", "inet6"}, "notification")
    reads.next()
    reads.next()
    clock.now += 1000
    reads.mark({"inet"}, "reconcile")
    assert reads.due_at == float("inf")
    clock.now += 1000
    reads.mark({"inet"}, "reconcile")
    assert reads.due_at < clock.now


def test_an_error_of_the_moment_is_tried_again(reads: DueReads, kernel: Kernel, clock: Clock) -> None:
    kernel.slices = [InterruptedDumpError("not now")]
    reads.mark({"inet"}, "reconcile")
    assert reads.next() == ({}, {})
    assert reads.due_at == clock.now + 10, "it took a second"
    clock.now += 10
    kernel.slices = [NOTHING]
    assert reads.next() == ({}, {"inet": NOTHING})


def test_errors_one_after_another_are_logged_once(kernel: Kernel, clock: Clock) -> None:
    log = CapturedLog()
    reads = DueReads(kernel.read, ("inet",), log, clock, clock)  # type: ignore[arg-type]  # an iterator does
    for slices in ([InterruptedDumpError("not now")],) * 3 + ([NOTHING], [InterruptedDumpError("again")]):
        kernel.slices = list(slices)
        reads.mark({"inet"}, "notification")
        clock.now += 100
        reads.next()
    levels = [record.levelname for record in log.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "WARNING"]


def test_a_refused_read_is_over(reads: DueReads, kernel: Kernel) -> None:
    kernel.slices = []
    reads.mark({"inet"}, "notification")
    assert reads.next() == ({}, {})
    assert reads.due_at == float("inf")


def test_a_read_of_everything_ends_those_that_go_on(reads: DueReads, kernel: Kernel) -> None:
    kernel.slices = [None, NOTHING]
    reads.mark({"inet", "inet6"}, "notification")
    reads.next()
    reads.forget()
    assert reads.due_at == float("inf")
    assert reads.next() == ({}, {})


def test_a_list_that_takes_too_long_is_left_out_of_a_read_of_everything(
    router: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_routes, "_SLICE", 0)
    monkeypatch.setattr("publisher.sources.linux.reader._ROUTES_SECONDS", 0)

    def dumped() -> set[Family]:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            return set(reader.dump().routes)

    assert "inet6" not in router.call(dumped)


def test_a_list_that_is_interrupted_is_made_again_in_a_read_of_everything(
    router: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start a route that is left out would be an event: that it was removed."""
    interrupted: set[Family] = set()

    def read_once_more(decoder: RouteDecoder, family: Family) -> Iterator[FamilyRoutes | None]:
        if family not in interrupted:
            interrupted.add(family)
            raise InterruptedDumpError("not now")
        yield from read_default_routes(decoder, family)

    monkeypatch.setattr("publisher.sources.linux.reader.read_default_routes", read_once_more)

    def dumped() -> set[Family]:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            return set(reader.dump().routes)

    assert router.call(dumped) == interrupted == {"inet", "inet6"}
