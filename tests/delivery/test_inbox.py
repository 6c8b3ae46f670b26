"""The inbox of a worker: what waits there while its sink hangs is bounded, and nothing of it is lost."""

from __future__ import annotations

import math
import socket
import threading

import pytest

from publisher.delivery.inbox import Clock, Inbox
from publisher.journal.positions import NumberedResend, Resend, ResendDeadLetters, ResendEvents, ResendSnapshot
from tests.fixtures.waking import wake


def left(*resends: Resend) -> list[NumberedResend]:
    """Returns what a worker takes after these were handed over, numbered from 1."""
    inbox = Inbox(Clock())
    for number, resend in enumerate(resends, 1):
        inbox.resend(NumberedResend(number, resend))
    return inbox.take()


def test_losses_while_a_sink_hangs_are_one_snapshot() -> None:
    losses = [ResendSnapshot("overrun", seq) for seq in range(1000)]
    assert left(*losses) == [NumberedResend(1000, ResendSnapshot("overrun", 999))]


def test_a_loss_stays_marked_when_a_snapshot_is_requested_after_it() -> None:
    found = left(ResendSnapshot("overrun", 7), ResendEvents(3), ResendSnapshot("notification", 5))
    assert found == [NumberedResend(2, ResendEvents(3)), NumberedResend(3, ResendSnapshot("overrun", 7))]


def test_a_snapshot_that_the_journal_does_not_hold_leaves_the_number_of_one_that_it_does() -> None:
    inbox = Inbox(Clock())
    inbox.resend(NumberedResend(4, ResendSnapshot("overrun", 7)))
    inbox.resend(NumberedResend(0, ResendSnapshot("notification", 9)))
    assert inbox.take() == [NumberedResend(4, ResendSnapshot("overrun", 9))]


def test_requests_that_include_each_other_are_one() -> None:
    assert left(*[ResendDeadLetters(0, 5)] * 100) == [NumberedResend(100, ResendDeadLetters(0, 5))]
    assert len(left(ResendDeadLetters(0, 5), ResendDeadLetters(5, 6), ResendEvents(1), ResendEvents(2))) == 4


@pytest.mark.parametrize("delay", [30 * 86400.0, 1e12, math.inf])
def test_a_job_may_be_due_in_a_far_future_also_while_a_descriptor_is_watched(delay: float) -> None:
    inbox = Inbox(Clock())
    inbox.call(lambda: None, delay)
    near, far = socket.socketpair()
    with near, far:
        waker = threading.Timer(0.05, wake, (inbox,))
        waker.start()
        assert inbox.wait(None, jobs=True, descriptor=near.fileno()) == "over"
        waker.join()
    inbox.close()


def test_a_descriptor_that_was_closed_ends_the_wait() -> None:
    inbox = Inbox(Clock())
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")
        assert inbox.wait(None, jobs=True, descriptor=near.fileno()) == "readable"
        closed = near.fileno()
    assert inbox.wait(None, jobs=True, descriptor=closed) == "closed"
    inbox.close()
