"""Default routes and their notifications, the same on both systems.

On Linux they are tested with the kernel, in a network namespace; under Windows Python with the stand-in for
iphlpapi.dll.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import pytest

from publisher.events import Family, NotificationType
from publisher.netioapi import (
    CancelInsideCallbackError,
    InvalidHandleError,
    InvalidParameterError,
    IpForwardRow,
    NotificationHandle,
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    convert_interface_luid_to_index,
    get_ip_forward_table2,
    notify_ip_interface_change,
    notify_route_change2,
    notify_unicast_ip_address_change,
)
from tests.fixtures.callbacks import LONG, Call, registration
from tests.fixtures.callbacks import Calls as CallsWith

pytestmark = pytest.mark.usefixtures("world")
FIRST, SECOND, SIXTH = "192.0.2.1", "192.0.2.254", "2001:db8::1"
ON_LINK: dict[Family, str] = {"inet": "0.0.0.0", "inet6": "::"}


class World(Protocol):
    """The interfaces eth7 and eth8 of a host, with addresses, and their routes. Its system reports each change."""

    def set_route(self, alias: str, next_hop: str, metric: int = 100, *, static: bool = False) -> None: ...
    def remove_route(self, alias: str, next_hop: str, metric: int = 100) -> None: ...
    def add_other_route(self, alias: str) -> None: ...
    def set_mtu(self, alias: str, mtu: int) -> None: ...


if sys.platform == "win32":
    from tests.windows.inside.standin import ADDED, CHANGED, DELETED, StandIn, prepared

    class WindowsWorld:
        """The stand-in. The metric of an interface is 25, and what a route has is an offset to it."""

        def __init__(self, standin: StandIn) -> None:
            self.standin = standin
            self.routes: set[tuple[str, str]] = set()
            for alias in ("eth7", "eth8"):
                standin.add(alias, Metric=25)

        def set_route(self, alias: str, next_hop: str, metric: int = 100, *, static: bool = False) -> None:
            kind = CHANGED if (alias, next_hop) in self.routes else ADDED
            self.routes.add((alias, next_hop))
            protocol = 10006 if static else 1
            self.standin.set_route(alias, next_hop, report=True, kind=kind, Metric=metric - 25, Protocol=protocol)

        def remove_route(self, alias: str, next_hop: str, metric: int = 100) -> None:
            self.routes.remove((alias, next_hop))
            for family in ("inet", "inet6"):
                self.standin.clear_routes(alias, family)
            for other_alias, hop in self.routes:
                if other_alias == alias:
                    self.standin.set_route(alias, hop, Metric=metric - 25)
            self.standin.report_route(alias, next_hop, DELETED)

        def add_other_route(self, alias: str) -> None:
            self.standin.fill_routes(10)
            self.standin.report_route(alias, FIRST, ADDED, prefix_length=8)

        def set_mtu(self, alias: str, mtu: int) -> None:
            self.standin.change(alias, "inet", NlMtu=mtu, report=True)

    @pytest.fixture
    def world() -> Iterator[World]:
        with prepared() as standin:
            yield WindowsWorld(standin)

else:
    from tests.fixtures.netns import NetNs

    class LinuxWorld:
        """The kernel, in a network namespace."""

        def __init__(self, netns: NetNs) -> None:
            self.netns = netns
            netns.ip(
                *(
                    f"addr add {address} dev {alias}{' nodad' if ':' in address else ''}"
                    for alias, number in (("eth7", 2), ("eth8", 3))
                    for address in (f"192.0.2.{number}/24", f"2001:db8::{number}/64")
                )
            )

        def set_route(self, alias: str, next_hop: str, metric: int = 100, *, static: bool = False) -> None:
            self._route("replace", alias, next_hop, metric, "static" if static else "boot")

        def remove_route(self, alias: str, next_hop: str, metric: int = 100) -> None:
            self._route("del", alias, next_hop, metric)

        def _route(self, action: str, alias: str, next_hop: str, metric: int, protocol: str = "") -> None:
            family = "-6" if ":" in next_hop else "-4"
            via = "" if next_hop in ON_LINK.values() else f"via {next_hop}"
            proto = protocol and f"proto {protocol}"
            self.netns.run(f"ip {family} route {action} default {via} dev {alias} metric {metric} {proto}")

        def add_other_route(self, alias: str) -> None:
            self.netns.ip(f"route add 198.51.100.0/24 via {FIRST} dev {alias}")

        def set_mtu(self, alias: str, mtu: int) -> None:
            self.netns.ip(f"link set {alias} mtu {mtu}")

    @pytest.fixture
    def world(netns_with_eth7: NetNs) -> World:
        return LinuxWorld(netns_with_eth7)


class Calls(CallsWith[IpForwardRow]):
    """A callback of routes."""

    def next_hop(self) -> tuple[str | None, NotificationType]:
        """Returns the next hop and the kind of the next call."""
        call = self.next()
        assert call.row is not None
        return call.row.next_hop, call.type


registered = partial(registration, notify_route_change2)


def key(alias: str, family: Family, next_hop: str | None) -> IpForwardRow:
    luid = convert_interface_alias_to_luid(alias)
    return IpForwardRow(
        family=family,
        destination_prefix="0.0.0.0/0" if family == "inet" else "::/0",
        next_hop=next_hop,
        interface_luid=luid,
        interface_index=convert_interface_luid_to_index(luid),
    )


# The table


def test_a_host_without_a_default_route_has_an_empty_table(world: World) -> None:
    world.add_other_route("eth7")
    for family in ("unspec", "inet", "inet6"):
        assert get_ip_forward_table2(family) == []


def test_the_table_has_the_default_routes_of_each_interface_best_first(world: World) -> None:
    world.set_route("eth7", SECOND, 300)
    world.set_route("eth8", FIRST, 200, static=True)
    world.set_route("eth7", FIRST, 100)
    world.set_route("eth7", SIXTH, 400)
    world.add_other_route("eth7")
    four, six = get_ip_forward_table2("inet"), get_ip_forward_table2("inet6")
    assert [(row.next_hop, row.metric, row.interface_luid) for row in four] == [
        (FIRST, 100, convert_interface_alias_to_luid("eth7")),
        (FIRST, 200, convert_interface_alias_to_luid("eth8")),
        (SECOND, 300, convert_interface_alias_to_luid("eth7")),
    ]
    assert four[1].protocol == "static"
    [row] = six
    assert (row.family, row.destination_prefix, row.next_hop, row.metric) == ("inet6", "::/0", SIXTH, 400)
    assert row.interface_index == convert_interface_luid_to_index(row.interface_luid)
    assert get_ip_forward_table2() == [*four, *six]
    assert get_ip_forward_table2(socket.AF_INET6) == get_ip_forward_table2(23) == six


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_a_route_without_a_next_hop_is_on_link(world: World, family: Family) -> None:
    world.set_route("eth7", ON_LINK[family])
    [row] = get_ip_forward_table2(family)
    assert row.next_hop is None
    assert "next_hop" not in row.model_dump(mode="json")


def test_the_table_is_read_anew_by_each_call_while_there_is_a_registration(world: World) -> None:
    with registered(Calls()):
        world.set_route("eth7", FIRST)
        assert [row.next_hop for row in get_ip_forward_table2()] == [FIRST]
        world.remove_route("eth7", FIRST)
        assert get_ip_forward_table2() == []


@pytest.mark.parametrize("family", ["", "ipv4", 3, -1, True, None, [], b"inet"])
def test_a_family_other_than_the_three_is_an_invalid_parameter(family: Any) -> None:
    for call in (lambda: notify_route_change2(family, Calls()), lambda: get_ip_forward_table2(family)):
        with pytest.raises(InvalidParameterError) as error:
            call()
        assert error.value.winerror_code == 87


# Notifications


def test_routes_that_come_change_and_go_are_reported_in_order(world: World) -> None:
    calls, context = Calls(), object()
    with registered(calls, context=context, initial=True):
        assert calls.next() == Call(context, None, "initial_notification")
        world.set_route("eth7", FIRST)
        assert calls.next() == Call(context, key("eth7", "inet", FIRST), "add_instance")
        world.set_route("eth7", FIRST, static=True)
        assert calls.next() == Call(context, key("eth7", "inet", FIRST), "parameter_notification")
        world.set_route("eth7", SIXTH)
        assert calls.next() == Call(context, key("eth7", "inet6", SIXTH), "add_instance")
        world.remove_route("eth7", FIRST)
        assert calls.next() == Call(context, key("eth7", "inet", FIRST), "delete_instance")
    assert calls.all.empty()


def test_an_on_link_route_is_reported_without_a_next_hop(world: World) -> None:
    calls = Calls()
    with registered(calls):
        world.set_route("eth8", ON_LINK["inet"])
        assert calls.next() == Call(None, key("eth8", "inet", None), "add_instance")


def test_other_routes_and_other_changes_are_not_reported(world: World) -> None:
    calls = Calls()
    with registered(calls):
        world.add_other_route("eth7")
        world.set_mtu("eth7", 1400)
        world.set_route("eth7", FIRST)
        assert calls.next_hop() == (FIRST, "add_instance")


def test_a_registration_is_called_for_its_family_alone(world: World) -> None:
    four, six = Calls(), Calls()
    with registered(four, "inet"), registered(six, socket.AF_INET6):
        world.set_route("eth7", FIRST)
        world.set_route("eth7", SIXTH)
        assert six.next_hop() == (SIXTH, "add_instance")
        assert four.next_hop() == (FIRST, "add_instance")
        world.remove_route("eth7", FIRST)
        assert four.next_hop() == (FIRST, "delete_instance")
    assert (four.all.empty(), six.all.empty()) == (True, True)


def test_a_change_of_routes_is_no_change_of_interfaces_or_addresses(world: World) -> None:
    interfaces, addresses, routes = Calls(), Calls(), Calls()
    with (
        registration(notify_ip_interface_change, interfaces, "inet"),
        registration(notify_unicast_ip_address_change, addresses, "inet"),
        registered(routes, "inet"),
    ):
        world.set_route("eth7", FIRST)
        assert routes.next_hop() == (FIRST, "add_instance")
        world.set_mtu("eth7", 1400)
        assert interfaces.next().type == "parameter_notification"
    assert (interfaces.all.empty(), addresses.all.empty()) == (True, True)


# Callbacks, as of the other notifications


def test_callbacks_of_a_registration_are_serialized(world: World) -> None:
    running, most, done = [0], [0], Calls()

    def callback(*call: Any) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        # Gives another call every chance to run now.
        threading.Event().wait(0.002)
        running[0] -= 1
        done(*call)

    with registered(callback):
        for _ in range(10):
            world.set_route("eth7", FIRST)
            world.remove_route("eth7", FIRST)
        world.set_route("eth7", SECOND)
        while done.next_hop() != (SECOND, "add_instance"):
            pass
    assert most == [1]


def test_after_a_callback_that_raises_the_next_one_is_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: queue.Queue[threading.ExceptHookArgs] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", reported.put)
    calls = Calls()

    def callback(*call: Any) -> None:
        calls(*call)
        raise ValueError("from the callback")

    with registered(callback):
        world.set_route("eth7", FIRST)
        assert str(reported.get(timeout=LONG).exc_value) == "from the callback"
        world.remove_route("eth7", FIRST)
        assert [calls.next_hop(), calls.next_hop()] == [(FIRST, "add_instance"), (FIRST, "delete_instance")]


def test_cancelling_inside_the_own_callback_raises(world: World) -> None:
    handles: queue.Queue[NotificationHandle] = queue.Queue()
    errors: queue.Queue[BaseException] = queue.Queue()

    def callback(*_call: Any) -> None:
        try:
            cancel_mib_change_notify2(handles.get(timeout=LONG))
        except OSError as error:
            errors.put(error)

    with registered(callback) as handle:
        handles.put(handle)
        world.set_route("eth7", FIRST)
        error = errors.get(timeout=LONG)
    assert isinstance(error, CancelInsideCallbackError)
    assert error.winerror_code == 1131


def test_a_cancelled_registration_is_an_invalid_handle_and_is_called_no_more(world: World) -> None:
    calls, others = Calls(), Calls()
    handle = notify_route_change2("unspec", calls)
    cancel_mib_change_notify2(handle)
    with pytest.raises(InvalidHandleError) as error:
        cancel_mib_change_notify2(handle)
    assert error.value.winerror_code == 6
    with registered(others):
        world.set_route("eth7", FIRST)
        others.next()
    assert calls.all.empty()


async def _coroutine(*_call: Any) -> None:
    """Does nothing, when nobody awaits it."""


@pytest.mark.parametrize("callback", [None, 7, _coroutine])
def test_what_cannot_be_called_is_an_invalid_parameter(callback: Any) -> None:
    with pytest.raises(InvalidParameterError):
        notify_route_change2("unspec", callback)
