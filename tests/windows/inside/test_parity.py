"""The life of an interface on Windows, with the stand-in reporting what a network card's driver would change."""

from __future__ import annotations

from collections.abc import Callable

from publisher.sources import SourceContext
from publisher.sources.luids import MemoryLuids
from publisher.sources.windows.source import WindowsSource
from publisher.table import Table
from tests.fixtures.logs import CapturedLog
from tests.windows.inside.standin import ADDED, CHANGED, DELETED, StandIn
from tests.windows.parity import LIFE, expected, in_short

FAMILIES = ("inet", "inet6")


class Card:
    """A network card that lives in the stand-in."""

    def __init__(self, standin: StandIn, source: WindowsSource) -> None:
        self.standin = standin
        self.source = source

    def steps(self) -> dict[str, Callable[[], None]]:
        return {
            "add": lambda: self.create(),
            "up": lambda: self.switch(up=True),
            "rename": self.rename,
            "mtu": self.change_mtu,
            "address added": lambda: self.standin.add_address("net7", "192.0.2.10/24", report=True),
            "default route added": lambda: self.set_route("192.0.2.1", ADDED, Protocol=10006),
            "its protocol changed": lambda: self.set_route("192.0.2.1", CHANGED, Protocol=19),
            "another gateway": self.change_gateway,
            "an on-link route besides": lambda: self.set_route("0.0.0.0", ADDED),
            "another route": lambda: self.standin.report_route("net7", "192.0.2.1", ADDED, prefix_length=24),
            "default route removed": self.remove_default_route,
            "on-link route removed": self.remove_on_link_route,
            "address removed": self.remove_address,
            "down": lambda: self.switch(up=False),
            "up again": lambda: self.switch(up=True),
            "metric": lambda: self.set("inet", "inet6", Metric=10),
            "forwarding": lambda: self.set("inet", ForwardingEnabled=1),
            "delete": lambda: self.standin.remove("net7", report=True),
            "re-create": self.create,
        }

    def create(self) -> None:
        self.standin.add("net7", [])
        self.standin.change_interface("net7", AdminStatus=2, OperStatus=2, MediaConnectState=2)
        for family in FAMILIES:
            self.standin.add_family("net7", family, report=True, Connected=0)

    def switch(self, *, up: bool) -> None:
        state = 1 if up else 2
        self.standin.change_interface("net7", AdminStatus=state, OperStatus=state, MediaConnectState=state)
        self.set("inet", "inet6", Connected=int(up))

    def rename(self) -> None:
        alias = self.standin.rows["net7"].Alias
        alias[0] = ord("l")
        self.standin.change_interface("net7", Alias=alias)
        self.source.resync()

    def change_mtu(self) -> None:
        self.standin.change_interface("net7", Mtu=1400)
        self.set("inet", "inet6", NlMtu=1400)

    def set_route(self, next_hop: str, kind: int, **members: int) -> None:
        self.standin.set_route("net7", next_hop, report=True, kind=kind, Metric=100, **members)

    def change_gateway(self) -> None:
        self.standin.clear_routes("net7", "inet")
        self.standin.set_route("net7", "192.0.2.254", Metric=100, Protocol=19)
        self.standin.report_route("net7", "192.0.2.1", DELETED)
        self.standin.report_route("net7", "192.0.2.254", ADDED)

    def remove_default_route(self) -> None:
        self.standin.clear_routes("net7", "inet")
        self.standin.set_route("net7", "0.0.0.0", Metric=100)
        self.standin.report_route("net7", "192.0.2.254", DELETED)

    def remove_on_link_route(self) -> None:
        self.standin.clear_routes("net7", "inet")
        self.standin.report_route("net7", "0.0.0.0", DELETED)

    def remove_address(self) -> None:
        self.standin.clear_addresses("net7")
        self.standin.report_address("net7", "192.0.2.10/24", DELETED)

    def set(self, *families: str, **members: int) -> None:
        for family in families:
            self.standin.change("net7", family, report=True, **members)


def test_the_life_of_an_interface_on_windows(standin: StandIn) -> None:
    source = WindowsSource(SourceContext(CapturedLog(), MemoryLuids()))
    table, updates = Table(), source.updates()
    for update in next(updates):
        table.apply(update)
    steps = Card(standin, source).steps()
    told = {}
    for step in LIFE:
        steps[step]()
        source.wake()
        events = [event for update in next(updates) for event in table.apply(update)]
        told[step] = in_short(events, standin.luid("net7"))
    source.close()
    assert list(updates) == []
    assert told == expected("windows")
