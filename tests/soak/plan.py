"""The plan of a soak: each change and each fault with its moment. A pure function of the seed and the length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.fixtures.random_routes import RandomChanges

FAULTS: dict[str, str] = {
    "publisher_killed": "publisher",
    "publisher_killed_again_and_again": "publisher",
    "publisher_stopped": "publisher",
    "publisher_restarted": "publisher",
    "receive_buffer_of_4_KiB": "publisher",
    "broker_gone": "broker",
    "broker_with_an_old_store": "broker",
    "broker_without_its_store": "broker",
    "broker_frozen": "broker",
    "connection_cut": "broker",
    "connection_half_open": "broker",
    "subscriber_slow": "subscriber",
    "receiver_slow": "receiver",
    "receiver_hangs": "receiver",
    "receiver_refuses": "receiver",
    "receiver_gone": "receiver",
    "program_fails": "program",
    "disk_full": "disk",
    "disk_read_only": "disk",
    "clock_ahead": "clock",
    "clock_back": "clock",
    "descriptors_200": "leaking",
    "plugin_hangs": "hanging",
    "plugin_leaks": "leaking",
}
"""Each fault, and what it is a fault of: of these, there is one at a time."""

_CALM_AT_FIRST, _CALM_AT_LAST = 4.0, 3.0
_NAMES = tuple(f"s{number}" for number in range(8))
_SETTINGS = ("forwarding", "accept_ra", "dad_transmits", "disable_ipv6", "mtu", "addr_gen_mode")


@dataclass(frozen=True)
class Change:
    """Lines for `ip -force -batch`. One that begins with `away` is for the other namespace, `sysctl` sets a setting."""

    at: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Flood:
    """So many changes of the MTU of four links, as quickly as possible."""

    at: float
    changes: int


@dataclass(frozen=True)
class Fault:
    """A fault that begins at its moment, and ends after so many seconds; `chance` is for what it does meanwhile."""

    at: float
    name: str
    seconds: float
    chance: float

    @property
    def of(self) -> str:
        """The name of what it is a fault of."""
        return FAULTS[self.name]


Step = Change | Flood | Fault


def plan(seed: int, seconds: float) -> list[Step]:
    """Returns the steps in order; each is over when the time is."""
    steps = [*_changes(Random(f"changes {seed}"), seed, seconds), *_faults(Random(f"faults {seed}"), seconds)]
    return sorted(steps, key=lambda step: step.at)


def _faults(random: Random, seconds: float) -> Iterator[Fault]:
    """Yields faults, one at a time or up to three together, each name once before any comes again."""
    deck = _deck(random)
    at = _CALM_AT_FIRST
    while True:
        together: dict[str, str] = {}
        for name in itertools.islice(deck, random.choice((1, 1, 1, 2, 2, 3))):
            together.setdefault(FAULTS[name], name)
        over = at
        for name in together.values():
            fault = Fault(at + random.uniform(0, 1.5), name, random.uniform(1, 6), random.random())
            over = max(over, fault.at + fault.seconds)
            if fault.at + fault.seconds > seconds - _CALM_AT_LAST:
                return
            yield fault
        at = over + random.uniform(1.5, 4)


def _deck(random: Random) -> Iterator[str]:
    while True:
        yield from random.sample(sorted(FAULTS), len(FAULTS))


def _changes(random: Random, seed: int, seconds: float) -> Iterator[Change | Flood]:
    routes = RandomChanges(seed)
    at = 0.0
    while (at := at + random.expovariate(5)) < seconds:
        chosen = random.random()
        if chosen < 0.01:
            yield Flood(at, random.choice((50, 300, 2000)))
        elif chosen < 0.35:
            yield Change(at, tuple(routes.batch(random.randint(1, 4))))
        else:
            yield Change(at, tuple(_line(random) for _ in range(random.randint(1, 4))))


def _line(random: Random) -> str:
    link, other = random.sample(_NAMES, 2)
    kinds = (_made, _made, _state, _state, _address, _address, _place, _setting)
    return random.choice(kinds)(random, link, other)


def _made(random: Random, link: str, other: str) -> str:
    number = random.randrange(100, 999)
    return random.choice(
        (
            f"link add {link} type veth peer name {link}p",
            f"link add {link} type veth peer name {link}p",
            f"link add {link} type bridge",
            f"link add {link} type dummy",
            f"link add {link} type ifb",
            f"link add {link} link e{number % 4} type macvlan",
            f"link add {link} link {other} type vlan id 7",
            f"link add {link} type vxlan id {number} dstport {number}",
            f"tuntap add {link} mode {random.choice(('tap', 'tun'))}",
            f"link del {link}",
            f"link del {link}",
        )
    )


def _state(random: Random, link: str, other: str) -> str:
    number = random.randrange(16, 256)
    return random.choice(
        (
            f"link set {link} up",
            f"link set {link} up",
            f"link set {link}p up",
            f"link set {link} down",
            f"link set {link}p down",
            f"link set {link} mtu {random.choice((1000, 1280, 1300, 1400, 1500))}",
            f"link set {link} alias of-{number}",
            f"link set {link} arp {random.choice(('on', 'off'))}",
            f"link set {link} multicast {random.choice(('on', 'off'))}",
            f"link set {link} address 02:00:00:00:00:{number:02x}",
            f"link set {link} name {other}",
            f"link set {link} down\nlink set {link} name {other}\nlink set {other} up",
            f"link property add dev {link} altname also-{number}",
        )
    )


def _address(random: Random, link: str, other: str) -> str:
    number = random.randrange(1, 60)
    return "addr " + random.choice(
        (
            f"add 192.0.2.{number}/24 dev {link}",
            f"add 169.254.7.{number}/16 dev {link} scope link",
            f"add 198.51.100.{number}/32 dev {link} valid_lft 20 preferred_lft 5",
            f"add fd00::{number}/64 dev {link}",
            f"add fd00:7::{number}/64 dev {link} nodad",
            f"add fd00:7::{number}/128 dev {other} nodad valid_lft 900 preferred_lft 0",
            f"flush dev {link}",
            f"del 192.0.2.{number}/24 dev {other}",
        )
    )


def _place(random: Random, link: str, other: str) -> str:
    return random.choice(
        (
            f"link set {link} master {other}",
            f"link set {link} master {other}",
            f"link set {link} nomaster",
            f"link set {link} netns {{away}}",
            f"away link set {link} netns {{home}}",
            f"away link set {link} netns {{home}}",
            f"away link set {link} up",
        )
    )


def _setting(random: Random, link: str, _other: str) -> str:
    name = random.choice(_SETTINGS)
    values: dict[str, tuple[int, ...]] = {"mtu": (1280, 1400), "disable_ipv6": (0, 0, 1)}
    family = "ipv4" if name == "forwarding" and random.random() < 0.5 else "ipv6"
    return f"sysctl net/{family}/conf/{link}/{name} {random.choice(values.get(name, (0, 1)))}"
