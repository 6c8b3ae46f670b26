"""The default routes of links as last read: what differs, and which messages make a read due."""

from __future__ import annotations

import pytest

from publisher.events import DefaultRoute, Family
from publisher.sources.linux.known_routes import DefaultRoutes
from publisher.sources.linux.routes import FamilyRoutes, Routes
from publisher.sources.linux.rtnetlink import (
    RTM_DELROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    Message,
    RouteChange,
)
from tests.fixtures.netlink_records import del_address, del_link, new_address, new_link
from tests.fixtures.netlink_records import message as notification

INET, INET6 = 2, 10


def a_route(next_hop: str | None = "192.0.2.1", metric: int = 0) -> DefaultRoute:
    return DefaultRoute(next_hop=next_hop, metric=metric, protocol="dhcp")


def a_read(*links: int, naming: bool = False) -> Routes:
    return {"inet": FamilyRoutes(dict.fromkeys(links, (a_route(),)), naming)}


def test_a_reported_route_makes_its_family_due() -> None:
    known = DefaultRoutes()
    assert known.changed_by([notification(RTM_NEWROUTE, RouteChange(INET))]) == {"inet"}
    assert known.changed_by([notification(RTM_DELROUTE, RouteChange(INET6))]) == {"inet6"}


def test_a_nexthop_object_makes_those_families_due_that_name_one() -> None:
    known = DefaultRoutes()
    changes = [notification(RTM_NEWNEXTHOP, RouteChange(0))]
    known.take_all(a_read(2))
    assert known.changed_by(changes) == set()
    known.take_all(a_read(2, naming=True))
    assert known.changed_by(changes) == {"inet"}
    known.take_all(a_read(2))
    assert known.changed_by(changes) == set()


def test_a_link_makes_due_what_goes_through_it_and_an_address_of_ipv4_all_of_ipv4() -> None:
    known = DefaultRoutes()
    down = new_link(2, flags=0)
    messages = [[down], [del_link(2)], [new_link(3)], [del_address("10.0.0.1", 3)], [del_address("fd00::1", 2)]]
    assert [known.changed_by(each) for each in messages] == [set()] * 5
    known.take_all(a_read(2))
    assert [known.changed_by(each) for each in messages] == [{"inet"}, {"inet"}, set(), {"inet"}, set()]
    assert known.changed_by([new_address("10.0.0.1", 2)]) == set()
    known.drop(2)
    assert [known.changed_by(each) for each in messages] == [set()] * 5


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (new_link(2, mtu=1280), set()),
        (new_link(2, mtu=None), set()),
        (new_link(2, mtu=1279), {"inet6"}),
        (new_link(2, mtu=67), {"inet", "inet6"}),
        (new_link(2, flags=0x1000), {"inet", "inet6"}),
        (new_link(2, family=INET6), {"inet", "inet6"}),
    ],
)
def test_a_link_that_is_up_with_an_mtu_for_the_family_has_taken_no_routes(link: Message, expected: set[Family]) -> None:
    known = DefaultRoutes()
    known.take_all({**a_read(2), "inet6": a_read(2)["inet"]})
    assert known.changed_by([link]) == expected
    known.take_all({**a_read(2, naming=True), "inet6": a_read(2)["inet"]})
    assert known.changed_by([link]) == expected | {"inet"}, "a lost carrier takes routes that name a nexthop object"


def test_a_read_changes_the_links_that_have_or_had_other_routes() -> None:
    known = DefaultRoutes()
    assert known.take_all(a_read(2, 3)) == {2, 3}
    before = known.of(2)
    assert known.take_all(a_read(2, 4)) == {3, 4}
    assert known.of(2).inet is before.inet, "equal stays identical: it is compared again and again"
    assert known.take_all({"inet6": FamilyRoutes({}, names_objects=False)}) == set()
    assert known.take(4, a_read())
    assert known.of(4).inet == ()


def test_links_that_a_waiting_message_reports_stay_as_known() -> None:
    known = DefaultRoutes()
    known.take_all(a_read(2, 3))
    assert known.take_all(known.kept(a_read(4), {3, 4})) == {2}
    assert known.of(3).inet == (a_route(),)
