"""The wakeup of a source: from any thread, from a signal handler, before it is opened and after it is closed."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

import pytest

if sys.platform == "linux":
    from publisher.sources.linux.wakeup import Wakeup
else:
    pytest.skip("eventfd is Linux's", allow_module_level=True)

assert sys.platform == "linux"


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_it_is_readable_from_a_request_until_it_is_taken() -> None:
    wakeup = Wakeup()
    with wakeup.open() as fd:
        assert fd is not None
        assert not is_readable(fd)
        assert wakeup.take() == []
        wakeup.wake()
        assert is_readable(fd)
        assert wakeup.take() == []
        assert not is_readable(fd)


def test_each_cause_is_taken_once_in_the_order_of_the_requests() -> None:
    wakeup = Wakeup()
    wakeup.request_resync("overrun")
    with wakeup.open() as fd:
        assert fd is not None
        assert is_readable(fd), "a request before it is opened is kept"
        other = threading.Thread(target=wakeup.request_resync, args=["reconcile"])
        other.start()
        other.join()
        wakeup.request_resync("overrun")
        assert wakeup.take() == ["overrun", "reconcile"]
        assert wakeup.take() == []


def test_closing_makes_it_readable_for_the_last_time() -> None:
    wakeup = Wakeup()
    with wakeup.open() as fd:
        assert fd is not None
        wakeup.close()
        wakeup.close()
        assert is_readable(fd)
        assert wakeup.closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    wakeup.wake()
    wakeup.request_resync("reconcile")


def test_closed_before_it_is_opened_it_has_no_descriptor() -> None:
    wakeup = Wakeup()
    wakeup.close()
    with wakeup.open() as fd:
        assert fd is None


def test_a_signal_handler_can_wake_the_very_thread_that_it_interrupts() -> None:
    wakeup = Wakeup()
    before = signal.signal(signal.SIGUSR1, lambda *_: wakeup.wake())
    try:
        with wakeup.open() as fd, wakeup._lock:  # as if the signal came while this thread is inside
            assert fd is not None
            signal.raise_signal(signal.SIGUSR1)
            assert is_readable(fd)
    finally:
        signal.signal(signal.SIGUSR1, before)
