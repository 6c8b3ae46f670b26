"""The life of an interface on Linux, and the reasons for each difference in the documentation."""

from __future__ import annotations

import pytest

from publisher.events import Event
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import own_netns
from tests.windows.parity import LIFE, Difference, Told, expected, in_short
from tests.windows.prepare import CHECKOUT

COMMANDS = {
    "add": ["link add net7 type veth peer name net8", "link set net8 up"],
    "up": ["link set net7 up"],
    "rename": ["link set net7 name lan7"],
    "mtu": ["link set lan7 mtu 1400"],
    "address added": ["addr add 192.0.2.10/24 dev lan7"],
    "default route added": ["route add default via 192.0.2.1 dev lan7 metric 100 proto static"],
    "its protocol changed": ["route replace default via 192.0.2.1 dev lan7 metric 100 proto dhcp"],
    "another gateway": ["route replace default via 192.0.2.254 dev lan7 metric 100 proto dhcp"],
    "an on-link route besides": ["route add default dev lan7 metric 200"],
    "another route": ["route add 198.51.100.0/24 via 192.0.2.1 dev lan7"],
    "default route removed": ["route del default via 192.0.2.254 dev lan7"],
    "on-link route removed": ["route del default dev lan7"],
    "address removed": ["addr del 192.0.2.10/24 dev lan7"],
    "down": ["link set lan7 down"],
    "up again": ["link set lan7 up"],
    "delete": ["link del lan7"],
    "re-create": ["link add lan7 type veth peer name net8"],
}


def test_the_life_of_an_interface_on_linux() -> None:
    told: dict[str, list[Told]] = {}
    with own_netns() as netns, Following(netns) as following:
        # No address of the link's own: the stand-in makes none either.
        netns.sysctl("net/ipv6/conf/default/addr_gen_mode", 1)
        for step in LIFE:
            if step == "forwarding":
                netns.sysctl("net/ipv4/conf/lan7/forwarding", 1)
            netns.ip(*COMMANDS.get(step, []))
            events = _events(following, expected("linux")[step])
            if step == "add":
                [luid] = {row.luid for row in following.table.rows if row.interface.alias == "net7"}
            told[step] = in_short(events, luid)
    assert told == expected("linux")


def _events(following: Following, wanted: list[Told]) -> list[Event]:
    """Returns the events of a step: up to the last one that is wanted, since the kernel and the reads take time."""

    def is_last(event: Event) -> bool:
        named = event.interface is not None and event.interface.alias in ("net7", "lan7")
        return named and in_short([event], event.luid) == wanted[-1:]

    return [*(following.until(is_last) if wanted else ()), *following.settled()]


@pytest.mark.parametrize("step", [step for step, told in LIFE.items() if isinstance(told, Difference)])
def test_each_difference_is_documented(step: str) -> None:
    difference = LIFE[step]
    assert isinstance(difference, Difference)
    assert difference.linux != difference.windows
    documented = " ".join((CHECKOUT / "docs/windows.md").read_text().split())
    assert difference.reason in documented
