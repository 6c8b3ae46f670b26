"""The calls on Windows over a library of the test's own, on every system: what is passed on and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.events import IpInterfaceRow, make_luid
from publisher.netioapi.windows import WindowsSystem
from publisher.sources.windows.calls import Notification, OnNotification
from publisher.sources.windows.iphlpapi import AF_INET, AF_INET6, AF_UNSPEC, MibIpInterfaceRow, NetLuid

LUID = make_luid(6, 0x8001)
NUMBER = int(LUID, 16)


class OneLibrary:
    """Rows and a registration, as `Iphlpapi` gives them."""

    def __init__(self) -> None:
        self.rows: list[MibIpInterfaceRow] = []
        self.registered: list[tuple[int, bool]] = []
        self.cancelled = 0
        self.on_notification: OnNotification | None = None

    def notify_ip_interface_change(self, family: int, on_notification: OnNotification, *, initial: bool) -> OneLibrary:
        self.registered.append((family, initial))
        self.on_notification = on_notification
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def ip_interfaces(self, _family: int) -> list[MibIpInterfaceRow]:
        return self.rows


def key(family: Any) -> IpInterfaceRow:
    return IpInterfaceRow(family=family, interface_luid=LUID, interface_index=7)


@pytest.mark.parametrize(
    ("notification", "received"),
    [
        (None, [(None, "initial_notification")]),
        (Notification(NUMBER, 7, AF_INET, 0), [(key("inet"), "parameter_notification")]),
        (Notification(NUMBER, 7, AF_INET6, 1), [(key("inet6"), "add_instance")]),
        (Notification(NUMBER, 7, AF_INET, 2), [(key("inet"), "delete_instance")]),
        (Notification(NUMBER, 7, AF_UNSPEC, 0), []),
        (Notification(NUMBER, 7, 99, 0), []),
        (Notification(NUMBER, 7, AF_INET, 4), []),
        (Notification(NUMBER, 7, AF_INET, -1), []),
    ],
)
def test_a_notification_of_no_name_is_left_out(notification: Notification | None, received: list[Any]) -> None:
    library: Any = OneLibrary()
    passed_on: list[Any] = []
    WindowsSystem(library).subscribe("unspec", lambda *call: passed_on.append(call), False)
    library.on_notification(notification)
    assert passed_on == received


@pytest.mark.parametrize(("family", "number"), [("unspec", AF_UNSPEC), ("inet", AF_INET), ("inet6", AF_INET6)])
@pytest.mark.parametrize("initial", [True, False])
def test_a_registration_has_the_systems_number_of_the_family(family: Any, number: int, initial: bool) -> None:
    library: Any = OneLibrary()
    unsubscribe = WindowsSystem(library).subscribe(family, lambda *_: None, initial)
    assert library.registered == [(number, initial)]
    unsubscribe()
    assert library.cancelled == 1


def test_rows_of_a_family_without_a_name_are_left_out() -> None:
    library: Any = OneLibrary()
    library.rows = [
        MibIpInterfaceRow(Family=family, InterfaceLuid=NetLuid(NUMBER), InterfaceIndex=7)
        for family in (AF_INET, 99, AF_INET6)
    ]
    assert [row.family for row in WindowsSystem(library).ip_interfaces("unspec")] == ["inet", "inet6"]
