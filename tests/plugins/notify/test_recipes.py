"""The recipes of docs/recipes.md for this sink: as printed, in a real publisher, with a real server as ntfy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from publisher.events import IpInterface
from publisher.testing import make_row
from tests.fixtures.command import Publisher
from tests.fixtures.netns import NetNs
from tests.fixtures.phone import publishing, resync, taken, upserts
from tests.fixtures.poll import wait_for
from tests.fixtures.webhook_server import Receiver, receiving

RECIPES = Path(__file__).parents[3] / "docs/recipes.md"
GIGABIT = 1_000_000_000


def printed(title: str) -> str:
    """Returns the block of configuration below this heading."""
    [block] = re.findall(rf"^## {title}$.*?^```toml\n(.*?)^```$", RECIPES.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


def ethernet(*, speed: int | None) -> list[IpInterface]:
    """Returns the row of eth0, connected at this speed, or not connected.

    It has one family: the kernel reports both at once, and a recording is played line by line.
    """
    interface = {
        "oper_status": "up" if speed else "down",
        "media_connect_state": "connected" if speed else "disconnected",
        "transmit_link_speed": speed,
        "receive_link_speed": speed,
    }
    return [make_row("eth0", interface=interface, connected=bool(speed))]


def test_a_slower_link(tmp_path: Path) -> None:
    """A veth has no speeds: a recording has what Linux reports while a link is negotiated anew."""
    fast, none, slow = (ethernet(speed=speed) for speed in (GIGABIT, None, 100_000_000))
    changes = enumerate([none, slow, none, fast, none, slow], 1)
    lines = [resync(*fast), *(line for number, rows in changes for line in upserts(0.1 * number, rows))]
    with receiving(always=taken) as receiver:
        recipe = printed("Tell my phone when the NAS links at 100 Mbit/s")
        with publishing(tmp_path, recipe, receiver, None, *lines) as phone:
            phone.wait(2)
        assert phone.messages == [("nas: slow link", "eth0 links at 100 Mbit/s: look at the cable")] * 2
        assert {request.headers["x-priority"] for request in receiver.requests} == {"high"}


def test_a_vpn_that_is_gone(netns: NetNs, tmp_path: Path) -> None:
    netns.ip("link set lo up", "address add 10.9.0.2/32 dev lo")
    netns.veth("wg0", "far")
    recipe = printed("Tell my phone when the VPN is gone")
    receiver = netns.in_thread(lambda: Receiver(always=taken))
    try:
        with publishing(tmp_path, recipe, receiver, netns) as phone:
            netns.ip("link delete wg0")
            [(title, text)] = phone.wait(1)
        assert title == "nas: VPN"
        assert text.startswith("wg0 ")
        assert "removed" in text
        assert len(phone.messages) == 1
    finally:
        receiver.close()


def test_a_fail_over(netns: NetNs, tmp_path: Path) -> None:
    """The kernel removes the route with the link, and reports nothing of it."""
    netns.ip("link set lo up")
    netns.veth("eth0", "router0")
    netns.veth("wwan0", "router1")
    netns.ip(
        "address add 192.0.2.10/24 dev eth0",
        "address add 198.51.100.7/24 dev wwan0",
        "route add default via 192.0.2.1 dev eth0",
    )
    recipe = printed("Tell my phone when the uplink changes")
    receiver = netns.in_thread(lambda: Receiver(always=taken))
    try:
        with publishing(tmp_path, recipe, receiver, netns) as phone:
            netns.ip("link set eth0 down", "route add default via 198.51.100.1 dev wwan0 metric 200")
            phone.wait(2)
        lost, found = sorted(phone.messages)
        assert lost[0] == found[0] == "nas: uplink"
        assert re.search(r"^eth0 .*lost default route via 192\.0\.2\.1.*Default routes of eth0: none$", lost[1])
        assert re.search(
            r"^wwan0 new default route via 198\.51\.100\.1\. Default routes of wwan0: 198\.51\.100\.1$", found[1]
        )
    finally:
        receiver.close()


def test_a_storm_of_flaps(netns: NetNs, tmp_path: Path) -> None:
    netns.ip("link set lo up")
    netns.veth("eth0", "eth1")
    recipe = printed("One message for a storm of flaps")
    receiver = netns.in_thread(lambda: Receiver(always=taken))
    try:
        with publishing(tmp_path, recipe, receiver, netns) as phone:
            # Each end by itself: of a carrier that is lost and back at once the kernel may report nothing.
            netns.ip(*[f"link set {name} {state}" for state in ("down", "up") for name in ("eth0", "eth1")] * 50)
            ends = {"eth0", "eth1"}
            wait_for(
                # Apprise waits 5 s between two messages.
                lambda: ends <= {text.split(" ")[0] for _, text in phone.messages}, timeout=150, what="both ends"
            )  # fmt: skip
        texts = [text for _, text in phone.messages]
        assert len(texts) <= 6, "one for each end of the cable, or a few where the burst took longer than settle"
        assert any(re.search(r"^eth0 as before \(\d+ changes\)$", text) for text in texts), texts
    finally:
        receiver.close()


@pytest.mark.parametrize("title", re.findall(r"^## (.+)$", RECIPES.read_text(), re.MULTILINE))
def test_each_recipe_is_a_configuration(title: str, publisher: Publisher) -> None:
    file = publisher.folder / "recipe.toml"
    file.write_text(printed(title))
    publisher("check", "--offline", "--config", file)
