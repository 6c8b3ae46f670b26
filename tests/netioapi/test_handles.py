"""Registrations of `publisher.netioapi` over a system of the test's own."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from publisher.events import IpInterfaceRow
from publisher.netioapi import (
    InvalidHandleError,
    NetioError,
    NotificationHandle,
    cancel_mib_change_notify2,
    notify_ip_interface_change,
)
from publisher.netioapi import calls as netioapi_calls
from publisher.netioapi.system import Receiver
from tests.fixtures.poll import wait_for

LONG = 20.0
ROW = IpInterfaceRow(family="inet", interface_luid="0006008001000000", interface_index=7)


class OneSystem:
    """A system whose notifications the test sends; `while_unsubscribing` runs inside each unsubscription."""

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.unsubscribed = 0
        self.while_unsubscribing: Callable[[], object] = lambda: None

    def subscribe(self, _family: str, receiver: Receiver, _initial: bool) -> Callable[[], None]:
        self.receiver = receiver
        return self._unsubscribe

    def notify(self) -> None:
        assert self.receiver is not None
        self.receiver(ROW, "parameter_notification")

    def _unsubscribe(self) -> None:
        self.unsubscribed += 1
        self.while_unsubscribing()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> OneSystem:
    made = OneSystem()
    monkeypatch.setattr(netioapi_calls._process, "_system", made)
    return made


def test_of_two_threads_that_cancel_a_registration_one_succeeds(system: OneSystem) -> None:
    handle = notify_ip_interface_change("unspec", print)
    both = threading.Barrier(2)

    def wait_for_the_other() -> None:
        # With a second cancel in here at the same time, the barrier falls at once; without one it breaks.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)

    system.while_unsubscribing = wait_for_the_other
    with ThreadPoolExecutor(2) as threads:
        cancels = [threads.submit(cancel_mib_change_notify2, handle) for _ in range(2)]
        errors = [cancel.exception() for cancel in cancels]
    assert [type(error) for error in errors if error] == [InvalidHandleError]
    assert system.unsubscribed == 1


def test_a_cancel_that_the_system_refuses_leaves_the_registration_as_it_is(system: OneSystem) -> None:
    called = threading.Semaphore(0)
    handle = notify_ip_interface_change("unspec", lambda *_: called.release())

    def refuse() -> None:
        raise NetioError("not now", 5)

    system.while_unsubscribing = refuse
    with pytest.raises(NetioError, match="not now"):
        cancel_mib_change_notify2(handle)
    system.notify()
    assert called.acquire(timeout=LONG)
    system.while_unsubscribing = lambda: None
    cancel_mib_change_notify2(handle)


def test_what_is_queued_when_a_registration_is_cancelled_is_dropped(system: OneSystem) -> None:
    entered, leave = threading.Semaphore(0), threading.Event()

    def callback(*_: object) -> None:
        entered.release()
        assert leave.wait(LONG)

    handle = notify_ip_interface_change("unspec", callback)
    for _ in range(3):
        system.notify()
    assert entered.acquire(timeout=LONG)
    with ThreadPoolExecutor(1) as threads:
        cancelled = threads.submit(cancel_mib_change_notify2, handle)
        # It waits for the running callback then, which nothing but the handle shows.
        wait_for(lambda: handle._cancelled, what="cancelled")
        leave.set()
        cancelled.result(LONG)
    assert not entered.acquire(blocking=False)


def test_a_cancelled_registration_keeps_nothing_of_its_callback(system: OneSystem) -> None:
    def callback(*_: object) -> None:
        """Nothing."""

    handle: NotificationHandle | None = notify_ip_interface_change("unspec", callback)
    system.notify()
    assert handle is not None
    cancel_mib_change_notify2(handle)
    system.receiver = handle = None
    left = weakref.ref(callback)
    del callback
    gc.collect()
    assert left() is None


def test_a_registration_that_the_system_refuses_starts_no_thread(
    system: OneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise NetioError("not now", 5)

    monkeypatch.setattr(system, "subscribe", refuse)
    before = threading.active_count()
    with pytest.raises(NetioError, match="not now"):
        notify_ip_interface_change("unspec", print)
    assert threading.active_count() == before
