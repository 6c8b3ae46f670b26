"""Every kind of link: its type, and a LUID that stays when it is made again and over reboots in another order.

The first boot watches how the links are made, removed and made again; in the second they are there before the
publisher starts; in the third it starts before them. Indexes, order, slots and names of cards differ each time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from publisher.events import Event, Interface, luid_parts
from tests.vm.conftest import Boot
from tests.vm.guest import Machine
from tests.vm.links import BASES, CARDS, E1000, ETHERNET, LINKS, USB, VIRTIO, Card, LinkSpec
from tests.vm.service import GuestService, alias, changed_members, is_of_instance

# Another boot has other indexes, other names of cards, and new random addresses of software's links.
DIFFER = {"row.interface_index", "row.zone_indices", "interface.alias", "interface.physical_address", "addresses"}
every_link = pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)


class Seen(NamedTuple):
    """What one boot showed: events by step, the LUIDs at the end of each step, interfaces and indexes by name."""

    steps: dict[str, Sequence[Event]]
    luids: dict[str, dict[str, str]]
    interfaces: dict[str, Interface]
    indexes: dict[str, int]
    complaints: list[str]


class Watched:
    """A boot with its publisher, and what it showed so far."""

    def __init__(self, boot: Boot, cards: dict[Card, str], fillers: int) -> None:
        self._guest = boot(Machine(["qemu-xhci,addr=0x10", *(card.plugged(place) for card, place in cards.items())]))
        # The order of the drivers is that of the names eth0, eth1 and eth2.
        for card in cards:
            self._guest.run(f"modprobe -a {card.drivers}")
            self._guest.run(f"until grep -q {card.address} /sys/class/net/*/address; do sleep 0.1; done")
        # The links have other indexes than in a boot with another number of these.
        self._guest.ip(*(f"link add filler{number} type dummy" for number in range(fillers)))
        self.service = GuestService(self._guest)
        self._links = list(LINKS)
        random.Random(fillers).shuffle(self._links)
        self._steps: dict[str, Sequence[Event]] = {}
        self._luids: dict[str, dict[str, str]] = {}

    def make(self) -> None:
        """Makes every link, in this boot's order as far as one does not stand on another."""
        links = sorted(self._links, key=lambda link: len(link.stands_on))
        self._guest.ip(*(command for link in links for command in link.commands))

    def make_bases(self) -> None:
        self._guest.ip(*BASES)

    def remove(self) -> None:
        self._guest.ip(*(f"link del {link.name}" for link in self._links))

    def step(self, name: str, events: Sequence[Event]) -> None:
        """Keeps what was seen in a step."""
        self._steps[name] = events
        self._luids[name] = self.service.luids()

    def seen(self) -> Seen:
        """Ends the boot and returns what it showed."""
        self.service.stop()
        interfaces = {interface.alias: interface for interface in self.service.present().values()}
        indexes = {name: link["ifindex"] for name, link in self._guest.links().items()}
        seen = Seen(self._steps, self._luids, interfaces, indexes, self.service.complaints())
        self._guest.shut_down()
        return seen


@pytest.fixture(scope="module")
def first(boot: Boot) -> Seen:
    watched = Watched(boot, {VIRTIO: "addr=0x8", E1000: "addr=0x5", USB: "port=1"}, 0)
    watched.step("start", watched.service.start())
    watched.make_bases()
    watched.make()
    watched.step("made", watched.service.settle())
    watched.remove()
    watched.step("removed", watched.service.settle())
    watched.make()
    watched.step("made again", watched.service.settle())
    return watched.seen()


@pytest.fixture(scope="module")
def second(first: Seen, boot: Boot) -> Seen:  # noqa: ARG001 - the boot before
    watched = Watched(boot, {E1000: "addr=0x6", USB: "port=2", VIRTIO: "addr=0x7"}, 3)
    watched.make_bases()
    watched.make()
    watched.step("start", watched.service.start())
    return watched.seen()


@pytest.fixture(scope="module")
def third(second: Seen, boot: Boot) -> Seen:  # noqa: ARG001 - as above
    watched = Watched(boot, {USB: "port=3", VIRTIO: "addr=0x5", E1000: "addr=0x8"}, 5)
    watched.step("start", watched.service.start())
    watched.make_bases()
    watched.make()
    watched.step("made", watched.service.settle())
    return watched.seen()


def _card(seen: Seen, card: Card) -> Interface:
    [found] = [found for found in seen.interfaces.values() if found.permanent_physical_address == card.address]
    return found


@pytest.mark.short
@every_link
def test_link_appears_with_its_type_and_kind(first: Seen, link: LinkSpec) -> None:
    interface = first.interfaces[link.name]
    assert (interface.type, interface.kind) == (link.type, link.kind)
    assert luid_parts(first.luids["made"][link.name]).if_type == link.type


@pytest.mark.short
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card_appears_with_its_permanent_address(first: Seen, card: Card) -> None:
    interface = _card(first, card)
    assert (interface.type, interface.kind) == (ETHERNET, None)


@pytest.mark.short
def test_every_link_of_the_kernel_is_published_and_no_other(first: Seen) -> None:
    assert first.interfaces.keys() == first.indexes.keys()


@pytest.mark.short
@every_link
def test_link_that_is_made_again_keeps_its_luid(first: Seen, link: LinkSpec) -> None:
    assert first.luids["made again"][link.name] == first.luids["made"][link.name]


@pytest.mark.short
@every_link
def test_link_is_removed_once_and_added_once(first: Seen, link: LinkSpec) -> None:
    def told(step: str) -> list[tuple[str, str | None]]:
        mine = [event for event in first.steps[step] if alias(event) == link.name]
        return [(event.notification_type, event.family) for event in mine if is_of_instance(event)]

    families = {family for _, family in told("made")}
    assert families
    assert Counter(told("removed")) == {("delete_instance", family): 1 for family in families}
    assert Counter(told("made again")) == {("add_instance", family): 1 for family in families}


@pytest.mark.short
def test_peers_are_not_stacked(first: Seen) -> None:
    peers = [first.interfaces[name] for name in ("veth7", "veth8", "vxcan7", "vxcan8")]
    assert [(peer.alias, peer.lower) for peer in peers if peer.lower] == []


@pytest.mark.short
def test_links_that_stay_have_no_event_of_an_instance(first: Seen) -> None:
    stay = set(first.luids["removed"].values())
    events = [event for step in ("removed", "made again") for event in first.steps[step]]
    assert not [alias(event) for event in events if is_of_instance(event) and event.luid in stay]


@pytest.mark.short
def test_nothing_is_logged_as_wrong(first: Seen) -> None:
    assert first.complaints == []


def test_boots_differ(first: Seen, second: Seen, third: Seen) -> None:
    """Shows that these tests test something: few indexes are those of the boot before, no card has its name."""
    for before, after in ((first, second), (second, third)):
        same = [link.name for link in LINKS if before.indexes[link.name] == after.indexes[link.name]]
        assert len(same) < len(LINKS) / 10
        assert not [card.name for card in CARDS if _card(before, card).alias == _card(after, card).alias]


@every_link
def test_link_keeps_its_luid_over_reboots(first: Seen, second: Seen, third: Seen, link: LinkSpec) -> None:
    known = first.luids["made"][link.name]
    assert (second.luids["start"][link.name], third.luids["made"][link.name]) == (known, known)


def test_links_that_the_kernel_makes_keep_their_luids(first: Seen, second: Seen, third: Seen) -> None:
    """Tunnels that a module brings (gre0, ip6tnl0), loopback, peers."""
    own = {link.name for link in LINKS} | {_card(first, card).alias for card in CARDS}
    for name in first.interfaces.keys() - own:
        known = first.luids["made"][name]
        assert (name, second.luids["start"][name], third.luids["made"][name]) == (name, known, known)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card_keeps_its_luid_in_another_slot_by_another_name(
    first: Seen, second: Seen, third: Seen, card: Card
) -> None:
    known = first.luids["start"][_card(first, card).alias]
    assert second.luids["start"][_card(second, card).alias] == known
    assert third.luids["start"][_card(third, card).alias] == known


def test_reboot_removes_and_adds_nothing_that_is_there(second: Seen) -> None:
    """Only the fillers that the first boot did not have are added."""
    events = [event for event in second.steps["start"] if not alias(event).startswith("filler")]
    assert {event.cause for event in events} <= {"startup"}
    assert not [(event.notification_type, alias(event)) for event in events if is_of_instance(event)]


def test_reboot_reports_real_differences_only(second: Seen) -> None:
    changed = [event for event in second.steps["start"] if event.notification_type == "parameter_notification"]
    assert changed
    others = {(alias(event), member) for event in changed for member in changed_members([event]) - DIFFER}
    # The kernel sets the MTU of the tunnels that it makes itself after it has reported them, and does not report that.
    own = {link.name for link in LINKS}
    silent = {
        (name, member) for name, member in others if member in {"interface.mtu", "row.nl_mtu"} and name not in own
    }
    assert sorted(others - silent) == []


def test_third_boot_removes_at_its_start_exactly_what_is_not_there(second: Seen, third: Seen) -> None:
    events = third.steps["start"]
    removed = {event.luid for event in events if event.notification_type == "delete_instance"}
    assert removed == set(second.luids["start"].values()) - set(third.luids["start"].values())
    added = {alias(event) for event in events if event.notification_type == "add_instance"}
    assert added == {"filler3", "filler4"}
