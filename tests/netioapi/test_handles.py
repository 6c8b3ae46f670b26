"""Registrations of `publisher.netioapi` over a system of the test's own."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from publisher.events import IpInterfaceRow
from publisher.netioapi import (
    CancelInsideCallbackError,
    InvalidHandleError,
    NetioError,
    NotificationHandle,
    cancel_mib_change_notify2,
    notify_ip_interface_change,
)
from publisher.netioapi import calls as netioapi_calls
from publisher.netioapi.system import Receiver
from tests.fixtures.poll import wait_for

LONG = 60.0
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


# Whatever a callback raises


class Odd(BaseException):
    """Of no kind that Python knows, and without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


RAISED = [ValueError, StopIteration, MemoryError, RecursionError, KeyboardInterrupt, GeneratorExit, SystemExit, Odd]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[threading.ExceptHookArgs]:
    """The exceptions that `threading.excepthook` receives."""
    reported: SimpleQueue[threading.ExceptHookArgs] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", reported.put)
    return reported


@pytest.mark.parametrize("raised", RAISED, ids=lambda kind: kind.__name__)
def test_a_registration_lives_whatever_its_callback_raises(
    system: OneSystem, reported: SimpleQueue[threading.ExceptHookArgs], raised: type[BaseException]
) -> None:
    called: SimpleQueue[str] = SimpleQueue()

    def callback(_context: object, _row: object, kind: str) -> None:
        called.put(kind)
        raise raised(3)

    handle = notify_ip_interface_change("unspec", callback)
    for _ in range(3):
        system.notify()
        assert called.get(timeout=LONG) == "parameter_notification"
        error = reported.get(timeout=LONG).exc_value
        if raised is SystemExit:
            assert isinstance(error, RuntimeError)
            assert "SystemExit(3)" in str(error)
            error = error.__cause__
        assert type(error) is raised
    cancel_mib_change_notify2(handle)


def test_a_registration_lives_also_where_the_report_fails(system: OneSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may replace the hook, and close its standard error."""
    called = threading.Semaphore(0)

    def hook(_: object) -> None:
        raise SystemExit

    class Closed:
        def write(self, _: str) -> int:
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr(threading, "excepthook", hook)
    monkeypatch.setattr("sys.stderr", Closed())

    def callback(*_: object) -> None:
        called.release()
        raise KeyboardInterrupt

    handle = notify_ip_interface_change("unspec", callback)
    for _ in range(3):
        system.notify()
        assert called.acquire(timeout=LONG)
    cancel_mib_change_notify2(handle)


def test_a_coroutine_that_a_callback_returns_is_reported(
    system: OneSystem, reported: SimpleQueue[threading.ExceptHookArgs]
) -> None:
    async def later() -> None: ...

    callback: Any = lambda *_: later()  # noqa: E731 - of a type that the call does not take
    handle = notify_ip_interface_change("unspec", callback)
    system.notify()
    assert "returned a coroutine" in str(reported.get(timeout=LONG).exc_value)
    cancel_mib_change_notify2(handle)


# Cancelling inside a callback


class Cancelling:
    """A registration whose callback cancels what it is given, and keeps what that raised."""

    def __init__(self, system: OneSystem) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.result: SimpleQueue[BaseException | None] = SimpleQueue()
        self.victims: list[NotificationHandle] = []
        self.handle = notify_ip_interface_change("unspec", self)
        assert system.receiver is not None
        self.notify = system.receiver

    def __call__(self, *_: object) -> None:
        self.entered.set()
        assert self.go.wait(LONG)
        for victim in self.victims:
            try:
                cancel_mib_change_notify2(victim)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.result.put(error)
            else:
                self.result.put(None)

    def enter(self) -> None:
        self.notify(ROW, "parameter_notification")
        assert self.entered.wait(LONG)


def test_a_callback_cancels_another_registration(system: OneSystem) -> None:
    idle = notify_ip_interface_change("unspec", print)
    one = Cancelling(system)
    one.victims = [idle, idle]
    one.enter()
    one.go.set()
    assert one.result.get(timeout=LONG) is None
    assert isinstance(one.result.get(timeout=LONG), InvalidHandleError)
    cancel_mib_change_notify2(one.handle)
    assert system.unsubscribed == 2


def test_a_callback_waits_for_the_running_callback_that_it_cancels(system: OneSystem) -> None:
    one, other = Cancelling(system), Cancelling(system)
    one.victims = [other.handle]
    one.enter()
    other.enter()
    one.go.set()
    with pytest.raises(Empty):
        one.result.get(timeout=0.2)
    other.go.set()
    assert one.result.get(timeout=LONG) is None
    cancel_mib_change_notify2(one.handle)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_callbacks_that_would_wait_for_each_other_do_not(system: OneSystem, length: int) -> None:
    """Each cancels the next one, the last one the first: exactly one is refused, and then all end."""
    circle = [Cancelling(system) for _ in range(length)]
    for one, following in zip(circle, [*circle[1:], circle[0]], strict=True):
        one.victims = [following.handle]
        one.enter()
    for one in circle:
        one.go.set()
    errors = [one.result.get(timeout=LONG) for one in circle]
    [refused] = [error for error in errors if error is not None]
    assert isinstance(refused, CancelInsideCallbackError)
    assert refused.winerror_code == 1131
    for handle in (one.handle for one, error in zip(circle, [errors[-1], *errors[:-1]], strict=True) if error):
        cancel_mib_change_notify2(handle)
    assert system.unsubscribed == length


def test_two_callbacks_may_cancel_one_registration(system: OneSystem) -> None:
    victim = Cancelling(system)
    first, second = Cancelling(system), Cancelling(system)
    first.victims = second.victims = [victim.handle]
    for one in (victim, first, second):
        one.enter()
    first.go.set()
    second.go.set()
    victim.go.set()
    errors = [one.result.get(timeout=LONG) for one in (first, second)]
    assert [type(error) for error in errors if error] == [InvalidHandleError]
    for one in (first, second):
        cancel_mib_change_notify2(one.handle)


def test_a_registration_whose_thread_cannot_start_is_not_left_with_the_system(
    system: OneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NetioError, match="no further thread") as error:
        notify_ip_interface_change("unspec", print)
    assert (error.value.winerror_code, system.unsubscribed) == (8, 1)
