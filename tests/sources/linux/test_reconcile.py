"""The reconcile in parts: which parts are decoded, and what is known of links that a dump leaves out."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator
from typing import Any

import pytest

from publisher.sources.linux.parts import DumpPart, KnownPart, ReadPart, entry_of
from publisher.sources.linux.rtnetlink import AF_INET, AF_INET6, Link, Listed, NeighbourParameters
from tests.fixtures.netlink_records import a_link, an_address

if sys.platform == "linux":
    from publisher.sources.linux.reconcile import NOTHING, Reconcile
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


class Reader:
    """A reader of which a test sets the parts of each dump, as lists of records."""

    def __init__(self) -> None:
        self.dumps: dict[str, list[list[Listed]]] = {"links": [], "addresses": [], "neighbours": []}
        self.interrupted: list[bool] = []
        self.decoded: list[str] = []
        self.abandoned = 0
        self.known: dict[str, list[KnownPart]] = {}
        self._content: dict[bytes, tuple[str, list[Listed]]] = {}

    def parts(self, what: str, _known: Container[int]) -> Iterator[DumpPart]:
        interrupted = what == "addresses" and bool(self.interrupted) and self.interrupted.pop(0)
        for number, records in enumerate(self.dumps[what]):
            data = repr((what, number, records)).encode()
            self._content[data] = what, records
            yield DumpPart(data, hash(data), interrupted, number == len(self.dumps[what]) - 1)

    def decode(self, part: DumpPart) -> list[Listed]:
        what, records = self._content[part.data]
        self.decoded.append(what)
        return records

    def links(self, indexes: Iterable[int]) -> dict[int, Link | None]:
        return {index: a_link(index, mtu=9000) if index < 100 else None for index in indexes}

    def abandon(self) -> None:
        self.abandoned += 1


class Passes:
    """A Reconcile over such a reader."""

    def __init__(self, *known: int) -> None:
        self.reader = Reader()
        self.known = set(known)
        source: Any = self.reader
        self.reconcile = Reconcile(source, self)

    def indexes(self) -> set[int]:
        return self.known

    def neighbours(self, indexes: Iterable[int]) -> set[int]:
        return {entry_of(family, index) for index in indexes for family in (AF_INET, AF_INET6)}

    def may_have_speed(self, indexes: Iterable[int]) -> set[int]:
        return set(indexes)

    def run(self, *reported: int) -> list[ReadPart]:
        """Reads everything; returns what may differ, but for speeds."""
        self.reader.decoded.clear()
        self.reconcile.reported.update(reported)
        self.reconcile.begin()
        shown = []
        while self.reconcile.goes_on:
            shown.append(self.reconcile.next())
        return [part for part in shown if part is not NOTHING and not part.speeds]


def of(index: int, family: int = AF_INET) -> NeighbourParameters:
    return NeighbourParameters(family, index, 1, 30_000, 1_000)


@pytest.fixture
def passes() -> Passes:
    """A host with two links in two parts, which was compared once."""
    passes = Passes(2, 3)
    passes.reader.dumps = {
        "links": [[a_link(2)], [a_link(3)], []],
        "addresses": [[an_address("192.0.2.2", 2)], [an_address("192.0.2.3", 3), an_address("fd00::2", 2)], []],
        "neighbours": [[of(2), of(3)], [of(2, AF_INET6), of(3, AF_INET6)], []],
    }
    passes.run()
    return passes


def test_the_first_time_everything_is_shown() -> None:
    passes = Passes(2)
    both = [of(2), of(2, AF_INET6)]
    passes.reader.dumps = {"links": [[a_link(2)]], "addresses": [[an_address("192.0.2.2", 2)]], "neighbours": [[*both]]}
    assert passes.run() == [
        ReadPart(links=[a_link(2)]),
        ReadPart(addresses={2: [an_address("192.0.2.2", 2)]}),
        ReadPart(neighbours=both),
    ]


def test_parts_with_the_bytes_of_the_last_time_are_not_decoded(passes: Passes) -> None:
    assert passes.run() == []
    assert passes.reader.decoded == []


def test_a_part_with_other_bytes_is_shown(passes: Passes) -> None:
    passes.reader.dumps["links"][1] = [a_link(3, dad_transmits=5)]
    passes.reader.dumps["neighbours"][0] = [of(2), of(3)._replace(retransmit_time=7)]
    assert passes.run() == [
        ReadPart(links=[a_link(3, dad_transmits=5)]),
        ReadPart(neighbours=[of(2), of(3)._replace(retransmit_time=7)]),
    ]
    assert passes.run() == []


def test_what_messages_reported_since_is_shown_although_the_bytes_are_the_same(passes: Passes) -> None:
    """A setting that went to and fro: the messages showed the first change, and nothing the second."""
    assert passes.run(3) == [
        ReadPart(links=[a_link(3)]),
        ReadPart(addresses={3: [an_address("192.0.2.3", 3)]}),
        ReadPart(neighbours=[of(2), of(3)]),
        ReadPart(neighbours=[of(2, AF_INET6), of(3, AF_INET6)]),
    ]
    assert passes.run() == []


def test_all_addresses_of_a_link_are_shown_also_those_in_parts_that_are_the_same(passes: Passes) -> None:
    passes.reader.dumps["addresses"][0] = [an_address("192.0.2.9", 2)]
    assert passes.run() == [ReadPart(addresses={2: [an_address("192.0.2.9", 2), an_address("fd00::2", 2)]})]


def test_addresses_that_are_gone_are_shown_as_none(passes: Passes) -> None:
    passes.reader.dumps["addresses"] = [[an_address("192.0.2.2", 2)], [an_address("fd00::2", 2)], []]
    assert passes.run() == [ReadPart(addresses={2: [an_address("192.0.2.2", 2), an_address("fd00::2", 2)], 3: []})]
    passes.reader.dumps["addresses"] = [[]]
    assert passes.run() == [ReadPart(addresses={2: []})]


def test_a_list_of_addresses_that_was_interrupted_is_read_again_and_never_shown(passes: Passes) -> None:
    passes.reader.dumps["addresses"][0] = []
    passes.reader.interrupted = [True]
    assert passes.run() == [ReadPart(addresses={2: [an_address("fd00::2", 2)]})]
    passes.reader.dumps["addresses"] = [[]]
    passes.reader.interrupted = [True] * 9
    assert passes.run() == []


def test_addresses_of_reported_links_are_compared_later_when_each_list_was_interrupted(passes: Passes) -> None:
    passes.reader.interrupted = [True] * 3
    assert not any(part.addresses for part in passes.run(3))
    shown = [part.addresses for part in passes.run() if part.addresses]
    assert shown == [{2: [an_address("192.0.2.2", 2), an_address("fd00::2", 2)], 3: [an_address("192.0.2.3", 3)]}]


def test_addresses_that_the_kernel_does_not_list_stay_as_they_are(passes: Passes) -> None:
    passes.reader.dumps["addresses"] = []
    passes.reader.dumps["links"] = [[a_link(2)], [a_link(3)], []]
    assert [shown.addresses for shown in passes.run(2, 3)] == [{}] * 4


def test_links_that_a_dump_leaves_out_are_read_one_by_one(passes: Passes) -> None:
    passes.known |= {4, 200}
    passes.reader.dumps["links"][0] = []
    [_, left_out, *_] = [ReadPart(), *(shown for shown in passes.run() if shown.links or shown.removed)]
    assert left_out == ReadPart(links=[a_link(2, mtu=9000), a_link(4, mtu=9000)], removed={200})


def test_parameters_of_neighbours_that_a_dump_leaves_out_are_read_from_files(passes: Passes) -> None:
    passes.reader.dumps["neighbours"] = []
    assert passes.run() == [ReadPart(times={2, 3})]


def test_the_parameters_of_one_family_that_a_dump_leaves_out_are_read_although_it_shows_the_other(
    passes: Passes,
) -> None:
    passes.reader.dumps["neighbours"][0] = [of(3)]
    assert passes.run() == [ReadPart(neighbours=[of(3)]), ReadPart(times={2})]


def test_the_parts_of_a_whole_dump_are_known_to_the_next_reading(passes: Passes) -> None:
    again = Passes(2, 3)
    again.reader.dumps = passes.reader.dumps
    again.reader.known = {
        what: [KnownPart.of(part, again.reader.decode(part)) for part in again.reader.parts(what, ())]
        for what in passes.reader.dumps
    }
    again.reader.decoded.clear()
    again.reconcile.dumped()
    assert again.run() == []
    assert again.reader.decoded == []


def test_speeds_are_read_again(passes: Passes) -> None:
    passes.reconcile.begin()
    shown = []
    while passes.reconcile.goes_on:
        shown.append(passes.reconcile.next())
    assert [part.speeds for part in shown if part is not NOTHING] == [{2, 3}]


def test_what_was_forgotten_is_compared_anew(passes: Passes) -> None:
    passes.reconcile.begin()
    passes.reconcile.forget()
    assert (passes.reconcile.goes_on, passes.reader.abandoned) == (False, 1)
    assert len(passes.run()) == 5


def test_a_part_names_each_link_that_it_is_about() -> None:
    shown = ReadPart([a_link(2)], {3}, {4: []}, [of(5)], {6}, {7})
    assert shown.indexes() == {2, 3, 4, 5, 6, 7}
    assert NOTHING.indexes() == set()
