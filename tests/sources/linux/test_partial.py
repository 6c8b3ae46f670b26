"""Messages that carry a part of a link: no event, no loss, no second LUID.

`wext_scan.hex` was recorded on Debian's Linux 6.1.192 with mac80211_hwsim. FULL is the answer to a read of wlan0; TOLD
is what the kernel (CONFIG_CFG80211_WEXT) sends when a scan ends: RTM_NEWLINK with IFLA_IFNAME and IFLA_WIRELESS.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.events import IpInterface
from publisher.sources import Remove, Update, Upsert
from publisher.sources.linux.cache import LinkCache
from publisher.sources.linux.coalesce import touched
from publisher.sources.linux.parts import Dump
from publisher.sources.linux.rows import PathMtuTimes, Times
from publisher.sources.linux.rtnetlink import RTM_NEWLINK, Decoder, Link, Message
from publisher.sources.luids import LuidAssigner, MemoryLuids
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netlink_bytes import attribute, message
from tests.fixtures.netlink_records import Details

RECORDED = dict(line.split() for line in Path(__file__).with_name("wext_scan.hex").read_text().splitlines())
FULL, TOLD = bytes.fromhex(RECORDED["FULL"]), bytes.fromhex(RECORDED["TOLD"])
NEST = 0x8000


@dataclass(frozen=True)
class State:
    """A state of a link, as the kernel has it."""

    name: bytes = b"eth0\0"
    mtu: int = 1500
    operstate: int = 6
    carrier: int = 1
    master: int | None = None
    alias: bytes | None = None
    address: bytes | None = b"\x02\0\0\0\0\1"
    flags: int = 0x11043
    mtu6: int = 1500


class Host:
    """A kernel with one link, and a cache that follows it by messages of which parts are left out."""

    def __init__(self, state: State, *, known: bool = True, store: MemoryLuids | None = None) -> None:
        self.store = store or MemoryLuids()
        self.decoder = Decoder()
        details = Details()
        details.neighbour_times = Times()
        self.cache = LinkCache(CapturedLog(), LuidAssigner(self.store), details, "unspec")
        bridge = self.one(whole(State(name=b"br0\0"), index=9, kind=b"bridge\0"))
        links = [bridge, self.read(state)] if known else [bridge]
        rows, _ = self.cache.resync(Dump(links, [], [], PathMtuTimes()), [])
        self.rows = {row.key: row for row in rows}

    def one(self, data: bytes) -> Link:
        [decoded] = self.decoder.decode(data)
        assert isinstance(decoded.record, Link)
        return decoded.record

    def read(self, state: State) -> Link:
        return self.one(whole(state))

    def follow(self, told: Sequence[bytes], state: State) -> list[Update]:
        """Returns the updates of messages after which the link has this state, as the source makes them."""
        messages: list[Message] = [part for data in told for part in self.decoder.decode(data)]
        updates = self.cache.apply(messages, {index: self.read(state) for index in touched(messages)})
        updates += self.cache.complete({index: self.read(state) for index in self.cache.incomplete})
        assert not self.cache.incomplete
        for update in updates:
            if isinstance(update, Upsert):
                self.rows[update.row.key] = update.row
        return updates


def whole(
    state: State, index: int = 3, kind: bytes = b"veth\0", left_out: frozenset[tuple[int, ...]] = frozenset()
) -> bytes:
    """Returns RTM_NEWLINK with the whole state but for attributes that are left out, by their paths."""

    def nest(path: tuple[int, ...], tree: Iterable[tuple[int, object]]) -> Iterator[bytes]:
        for number, value in tree:
            here = (*path, number)
            if here in left_out or value is None:
                continue
            if isinstance(value, list):
                yield attribute(number | NEST, b"".join(nest(here, value)))
            else:
                assert isinstance(value, bytes)
                yield attribute(number, value)

    word = struct.Struct("=I").pack
    conf6 = [0, 64, state.mtu6, *[1] * 57]
    conf6[26] = 0
    tree: list[tuple[int, object]] = [
        (3, state.name),
        (16, bytes([state.operstate])),
        (4, word(state.mtu)),
        (10, None if state.master is None else word(state.master)),
        (33, bytes([state.carrier])),
        (20, state.alias),
        (47, word(1)),
        (48, word(1)),
        (1, state.address),
        (54, b"\x02\0\0\0\0\1"),
        (18, [(1, kind)]),
        (26, [(2, [(1, struct.pack("=33i", *[0] * 33))]), (10, [(1, word(0)), (2, struct.pack("=60i", *conf6))])]),
    ]
    header = struct.pack("=BxHiII", 0, 1, index, state.flags, 0)
    return message(RTM_NEWLINK, header + b"".join(nest((), tree)))


PATHS = [(n,) for n in (3, 16, 4, 10, 33, 20, 47, 48, 1, 54, 18, 26)] + [
    (18, 1),
    (26, 2),
    (26, 10),
    (26, 2, 1),
    (26, 10, 2),
]
PARTS = st.frozensets(st.sampled_from(PATHS))
STATES = st.builds(
    State,
    name=st.sampled_from([b"eth0\0", b"lan0\0"]),
    mtu=st.sampled_from([1500, 1400]),
    operstate=st.sampled_from([6, 2]),
    carrier=st.sampled_from([0, 1]),
    master=st.sampled_from([None, 9]),
    alias=st.sampled_from([None, b"uplink"]),
    address=st.sampled_from([None, b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"]),
    flags=st.sampled_from([0x11043, 0x1002]),
    mtu6=st.sampled_from([1500, 1400]),
)


def test_a_wifi_scan_or_association_is_no_event() -> None:
    host = Host(State())
    wlan0 = host.one(FULL)
    rows, _ = host.cache.resync(Dump([wlan0], [], [], PathMtuTimes()), [])
    assert {row.interface.alias for row in rows} == {"wlan0"}
    told = host.decoder.decode(TOLD)
    assert touched(told) == {wlan0.ifindex}
    for reads in (None, {wlan0.ifindex: wlan0}):
        assert host.cache.apply(told, reads) == []
    assert host.cache.incomplete == {wlan0.ifindex}
    assert host.cache.complete({wlan0.ifindex: wlan0}) == []


def test_a_part_of_an_unknown_link_is_read_and_is_no_other_link() -> None:
    host = Host(State())
    wlan0 = host.one(FULL)
    assert host.cache.apply(host.decoder.decode(TOLD), {}) == []
    added = host.cache.complete({wlan0.ifindex: wlan0})
    assert [(type(update), update.row.family) for update in added if isinstance(update, Upsert)] == [
        (Upsert, "inet"),
        (Upsert, "inet6"),
    ]
    assert host.cache.apply(host.decoder.decode(FULL), {wlan0.ifindex: wlan0}) == []


def test_a_part_of_a_link_that_is_removed_meanwhile_adds_nothing() -> None:
    host = Host(State())
    wlan0 = host.one(FULL)
    assert host.cache.apply(host.decoder.decode(TOLD), {wlan0.ifindex: None}) == []
    assert host.cache.complete({wlan0.ifindex: None}) == []


def test_a_part_between_two_whole_states_is_neither() -> None:
    host = Host(State())
    states = [State(mtu=1400), State(mtu=1300)]
    told = [whole(states[0]), whole(states[0], left_out=frozenset(PATHS) - {(3,)}), whole(states[1])]
    mtus = [update.row.interface.mtu for update in host.follow(told, states[1]) if isinstance(update, Upsert)]
    assert mtus == [1400, 1400, 1300, 1300]


@settings(max_examples=120, deadline=None)
@given(STATES, st.lists(PARTS, min_size=1, max_size=4))
def test_whatever_messages_leave_out_is_no_event(state: State, left_out: list[frozenset[tuple[int, ...]]]) -> None:
    host = Host(state)
    assert host.follow([whole(state, left_out=parts) for parts in left_out], state) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STATES, PARTS), min_size=2, max_size=5))
def test_whatever_messages_leave_out_the_last_state_is_reported(
    told: list[tuple[State, frozenset[tuple[int, ...]]]],
) -> None:
    first, *later = told
    last = later[-1][0]
    host = Host(first[0])
    updates = host.follow([whole(state, left_out=parts) for state, parts in later], last)
    assert not [update for update in updates if isinstance(update, Remove)]
    assert seen(host.rows.values()) == seen(Host(last, store=host.store).rows.values())


@settings(max_examples=120, deadline=None)
@given(STATES, PARTS)
def test_a_new_link_of_which_parts_are_left_out_has_one_luid(state: State, parts: frozenset[tuple[int, ...]]) -> None:
    host = Host(state, known=False)
    assert not [update for update in host.follow([whole(state, left_out=parts)], state) if isinstance(update, Remove)]
    assert seen(host.rows.values()) == seen(Host(state).rows.values())


def seen(rows: Iterable[IpInterface]) -> set[object]:
    return {row for row in rows if row.interface.alias != "br0"}


def test_a_link_that_is_read_whole_waits_for_messages_about_it() -> None:
    """The read may show what a waiting message reports: the message comes first, and nothing steps back."""
    host = Host(State())
    part = frozenset({(16,)})
    host.cache.apply(host.decoder.decode(whole(State(), left_out=part)), {})
    assert host.cache.incomplete == {3}
    late = replace(State(), mtu=1300)
    updates = host.follow([whole(replace(late, mtu=1400)), whole(late)], late)
    mtus = [update.row.interface.mtu for update in updates if isinstance(update, Upsert)]
    assert mtus == [1400, 1400, 1300, 1300]
