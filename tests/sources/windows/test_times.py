"""The times of the Windows source: how long it holds, retries and waits, by a clock that stands still otherwise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from publisher.errors import InterfaceNotFoundError, NetioError
from publisher.sources import Remove, Resync, Upsert
from publisher.sources.windows import source as windows_source
from publisher.sources.windows.iphlpapi import AF_INET
from publisher.sources.windows.notifications import Notification
from publisher.sources.windows.pending import Pending, Taken
from publisher.sources.windows.structures import MibIfRow2, MibIpInterfaceRow
from tests.fixtures.logs import CapturedLog
from tests.sources.windows.test_source import LUID, NUMBER, OneLibrary, first, followed

ADDED = Notification(NUMBER, 7, AF_INET, 1)
CHANGED = Notification(NUMBER, 7, AF_INET, 0)


class Clock:
    """A time that passes while the source waits; `waits` are the seconds that it waited each time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.at: dict[float, Callable[[], object]] = {}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        for moment in [moment for moment in self.at if moment <= self.now]:
            self.at.pop(moment)()


class TimedLibrary(OneLibrary):
    """Knows when its IP interface was read; `failing` is the error of each such reading."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.read_at: list[float] = []
        self.failing: NetioError | None = None
        self.undescribed = 0

    def ip_interface(self, family: int, luid: int) -> MibIpInterfaceRow:
        self.read_at.append(self.clock.now)
        if self.failing:
            raise self.failing
        return super().ip_interface(family, luid)

    def if_entry(self, luid: int) -> MibIfRow2:
        if self.undescribed:
            self.undescribed -= 1
            raise InterfaceNotFoundError("GetIfEntry2Ex: no such interface")
        return super().if_entry(luid)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the time of the source, and has its waiting pass at once."""
    made = Clock()
    take = Pending.take

    def take_at_once(pending: Pending, timeout: float) -> Taken:
        taken = take(pending, 0)
        if taken == (frozenset(), (), False, False):
            made.sleep(timeout)
        return taken

    monkeypatch.setattr(windows_source, "time", SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep))
    monkeypatch.setattr(Pending, "take", take_at_once)
    return made


@pytest.fixture
def library(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TimedLibrary:
    made = TimedLibrary(clock)
    monkeypatch.setattr(windows_source, "load", lambda: made)
    return made


def until_removed(updates: Any) -> None:
    while Remove(LUID, "inet") not in next(updates):
        pass


def test_what_was_reported_and_cannot_be_read_is_held_for_twelve_seconds(library: TimedLibrary) -> None:
    with followed() as (_, updates):
        next(updates)
        library.exists = False
        library.on_notification(ADDED)
        until_removed(updates)
    held = library.read_at[-1] - library.read_at[0]
    assert 11 <= held <= 13
    assert max(later - earlier for earlier, later in pairwise(library.read_at)) <= 1.01


def test_a_new_report_holds_it_for_as_long_again(clock: Clock, library: TimedLibrary) -> None:
    with followed() as (_, updates):
        next(updates)
        library.exists = False
        clock.at[clock.now + 8] = lambda: library.on_notification(ADDED)
        library.on_notification(ADDED)
        until_removed(updates)
    assert 19 <= library.read_at[-1] - library.read_at[0] <= 22


@pytest.mark.usefixtures("library")
def test_the_source_never_waits_for_more_than_a_second(clock: Clock) -> None:
    """An untimed wait on Windows does not end at Ctrl+C, and a timed one only when it is over."""
    with followed() as (source, updates):
        next(updates)
        clock.at[clock.now + 30] = source.wake
        next(updates)
    assert len(clock.waits) >= 30
    assert max(clock.waits) <= 1.0


def test_what_is_held_is_held_over_a_reading_of_everything(library: TimedLibrary) -> None:
    with followed() as (source, updates):
        next(updates)
        library.exists = library.listed = False
        source.resync()
        assert next(updates) == [Resync((), "reconcile")]
        library.on_notification(ADDED)
        source.resync()
        next(updates)
        library.exists = library.listed = True
        [update] = next(updates)
        assert isinstance(update, Upsert)


def test_each_series_of_failures_is_logged_and_begins_with_short_delays(clock: Clock, library: TimedLibrary) -> None:
    log = CapturedLog()
    with followed(log) as (_, updates):
        next(updates)
        for _ in range(2):
            library.failing = NetioError("GetIpInterfaceEntry: access is denied", 5)
            clock.at[clock.now + 0.001] = lambda: setattr(library, "failing", None)
            library.on_notification(CHANGED)
            began = clock.now
            assert isinstance(next(updates)[0], Resync)
            assert clock.now - began < 0.05
            library.on_notification(CHANGED)
            assert isinstance(next(updates)[0], Upsert)
    assert [record.levelname for record in log.records] == ["WARNING", "WARNING"]


def test_a_key_that_windows_always_refuses_ends_after_some_tries(clock: Clock, library: TimedLibrary) -> None:
    """Such a key makes everything be read again each time, and so a snapshot for every sink."""
    with followed() as (source, updates):
        next(updates)
        library.failing = NetioError("GetIpInterfaceEntry: the parameter is incorrect", 87)
        library.on_notification(Notification(NUMBER + (1 << 24), 8, AF_INET, 1))
        clock.at[clock.now + 50] = source.wake
        resyncs = 0
        while (yielded := next(updates)) != []:
            resyncs += len(yielded)
    assert 2 <= resyncs <= 25


def test_at_the_start_an_interface_that_is_listed_gets_time_to_be_described(
    clock: Clock, library: TimedLibrary
) -> None:
    library.undescribed = 3
    with followed() as (_, updates):
        assert first(updates).interface.oper_status == "up"
    assert clock.now - 1000 < 0.1


def test_what_cannot_be_described_stays_as_it_was_and_is_read_again(clock: Clock, library: TimedLibrary) -> None:
    log = CapturedLog()
    with followed(log) as (source, updates):
        next(updates)
        library.undescribed = 3
        library.row.NlMtu = 1400
        library.on_notification(CHANGED)
        [update] = next(updates)
        assert isinstance(update, Upsert)
        assert update.row.row.nl_mtu == 1400
        library.undescribed = 1000
        library.row.NlMtu = 1300
        source.resync()
        [resync] = next(updates)
        assert resync == Resync((update.row,), "reconcile")
        library.on_notification(CHANGED)
        clock.at[clock.now + 20] = source.wake
        assert next(updates) == []
    [line] = log.lines("stays as it was")
    assert line.startswith(f"the IP interface {LUID} inet stays as it was: it exists, but GetIfEntry2Ex")
