"""The workers are woken in turn: each wakes the next one, and none is left out."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from publisher.delivery.inbox import Clock, Inbox
from publisher.delivery.relay import Relay
from tests.fixtures.poll import wait_for
from tests.fixtures.waking import wake


class Reader:
    """A thread that follows a number as a worker follows the journal."""

    def __init__(self, newest: Callable[[], int], clock: Clock | None = None) -> None:
        self.inbox = Inbox(clock or Clock())
        self.seen = 0
        self._newest = newest
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waits(self) -> bool:
        return self.inbox._waits == "for news"

    def stop(self) -> None:
        self.inbox.stop(0.0)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while self.inbox.stop_by is None:
            self.inbox.take()
            self.seen = self._newest()
            while self.inbox.wait(None, jobs=False) != "over":
                pass


class GatedClock(Clock):
    """A clock whose waits, once ended, go on when the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        super().wait(condition, seconds)
        self.gate.wait()


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_every_worker_sees_the_newest_event(count: int) -> None:
    newest = [0]
    readers = [Reader(lambda: newest[0]) for _ in range(count)]
    relay = Relay()
    relay.order([reader.inbox for reader in readers])
    for number in range(1, 300):
        newest[0] = number
        relay.wake()
        if number % 10 == 0:
            wait_for(lambda: all(reader.seen == newest[0] for reader in readers), what="the event, at each")
    wait_for(lambda: all(reader.seen == newest[0] for reader in readers), what="the last event, at each")
    for reader in readers:
        reader.stop()


def test_two_are_woken_and_the_others_by_them() -> None:
    newest, clock = [0], GatedClock()
    readers = [Reader(lambda: newest[0], clock if place < 2 else None) for place in range(4)]
    relay = Relay()
    relay.order([reader.inbox for reader in readers])
    wait_for(lambda: all(reader.waits for reader in readers), what="the waits")
    newest[0] = 1
    relay.wake()
    assert [reader.waits for reader in readers] == [False, False, True, True]
    clock.gate.set()
    wait_for(lambda: all(reader.seen == 1 for reader in readers), what="the event, at each")
    for reader in readers:
        reader.stop()


def test_an_order_that_changes_before_the_first_have_woken_leaves_none_out() -> None:
    newest, clock = [0], GatedClock()
    readers = [Reader(lambda: newest[0], clock if place < 2 else None) for place in range(5)]
    relay = Relay()
    relay.order([reader.inbox for reader in readers])
    wait_for(lambda: all(reader.waits for reader in readers), what="the waits")
    newest[0] = 1
    relay.wake()
    relay.order([reader.inbox for reader in (*readers[2:], *readers[:2])])
    clock.gate.set()
    wait_for(lambda: all(reader.seen == 1 for reader in readers), what="the event, at each")
    for reader in readers:
        reader.stop()


def test_those_that_hang_or_rest_or_have_ended_are_passed_over() -> None:
    newest = [0]
    following = Reader(lambda: newest[0])
    hanging, resting, ended = Inbox(Clock()), Inbox(Clock()), Inbox(Clock())
    rest = threading.Thread(target=lambda: resting.wait(Clock().monotonic() + 3600, jobs=False))
    rest.start()
    ended.close()
    relay = Relay()
    relay.order([hanging, resting, ended, following.inbox])
    for number in range(1, 20):
        newest[0] = number
        relay.wake()
        wait_for(lambda: following.seen == number, what="the event")  # noqa: B023  # called at once
    following.stop()
    resting.stop(0.0)
    rest.join(30)
    assert resting.wait(None, jobs=False) == "over"


def test_one_that_fails_in_its_wait_wakes_the_next_one() -> None:
    class Failing(Clock):
        def wait(self, condition: threading.Condition, seconds: float | None) -> None:
            super().wait(condition, seconds)
            raise OSError("no")

    newest = [0]
    failing, last = Inbox(Failing()), Reader(lambda: newest[0])

    def fail() -> None:
        with pytest.raises(OSError, match="no"):
            failing.wait(None, jobs=False)
        failing.close()

    thread = threading.Thread(target=fail)
    thread.start()
    Relay().order([failing, last.inbox])
    wait_for(lambda: last.waits and failing._waits == "for news", what="the waits")
    newest[0] = 1
    last.inbox.note_news()
    wake(failing)
    wait_for(lambda: last.seen == 1, what="the event")
    thread.join(30)
    last.stop()
