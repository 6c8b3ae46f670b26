"""Linux: the default routes that an event is about, each with the kind of its change."""

from __future__ import annotations

import sys

import pytest

from publisher.events import DefaultRoute, Event, IpInterface
from publisher.netioapi.linux_rows import changed_routes
from publisher.sources import Remove, Upsert
from publisher.table import Table
from publisher.testing import make_row

if sys.platform == "win32":
    pytest.skip("the calls of Linux", allow_module_level=True)


def event_of(before: IpInterface | None, after: IpInterface | None) -> Event:
    table = Table([before] if before else [])
    known = after or before
    assert known
    [event] = table.apply(Upsert(after) if after else Remove(known.luid, known.family))
    return event


def route(next_hop: str | None, metric: int = 100, protocol: str = "static") -> DefaultRoute:
    return DefaultRoute(next_hop=next_hop, metric=metric, protocol=protocol)


A, B, WORSE, OTHER = route("192.0.2.1"), route("192.0.2.2"), route("192.0.2.1", 200), route("192.0.2.1", 100, "dhcp")
ON_LINK = route(None)
ROUTE_CHANGES: dict[str, tuple[list[DefaultRoute], list[DefaultRoute], dict[str | None, str]]] = {
    "one comes": ([], [A], {"192.0.2.1": "add_instance"}),
    "one goes": ([A, B], [B], {"192.0.2.1": "delete_instance"}),
    "one for another": ([A], [B], {"192.0.2.1": "delete_instance", "192.0.2.2": "add_instance"}),
    "an on-link one comes": ([A], [A, ON_LINK], {None: "add_instance"}),
    "an on-link one goes": ([ON_LINK], [], {None: "delete_instance"}),
    "an on-link one for another": ([ON_LINK], [A], {None: "delete_instance", "192.0.2.1": "add_instance"}),
    "another metric": ([A], [WORSE], {"192.0.2.1": "parameter_notification"}),
    "another protocol": ([A, B], [OTHER, B], {"192.0.2.1": "parameter_notification"}),
    "a further metric": ([A], [A, WORSE], {"192.0.2.1": "parameter_notification"}),
    "one of two metrics goes": ([A, WORSE], [WORSE], {"192.0.2.1": "parameter_notification"}),
    "both metrics go": ([A, WORSE], [], {"192.0.2.1": "delete_instance"}),
    "both metrics come": ([], [A, WORSE], {"192.0.2.1": "add_instance"}),
    "none": ([A], [A], {}),
}


@pytest.mark.parametrize("change", ROUTE_CHANGES)
def test_a_next_hop_is_reported_once_and_as_it_is(change: str) -> None:
    before, after, kinds = ROUTE_CHANGES[change]
    event = event_of(make_row(default_routes=before), make_row(default_routes=after, nl_mtu=1400))
    assert changed_routes(event) == kinds


def test_the_routes_of_an_interface_come_and_go_with_it() -> None:
    whole = make_row(default_routes=[A, WORSE, ON_LINK])
    assert changed_routes(event_of(None, whole)) == dict.fromkeys(("192.0.2.1", None), "add_instance")
    assert changed_routes(event_of(whole, None)) == dict.fromkeys(("192.0.2.1", None), "delete_instance")
