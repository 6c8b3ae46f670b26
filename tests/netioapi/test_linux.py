"""The calls on Linux over a host of the test's own: which sources are opened and closed, which receivers called."""

from __future__ import annotations

import atexit
import errno
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest

from publisher.errors import InterfaceNotFoundError, NetioError, NotFoundError, SourceError
from publisher.events import Cause, DefaultRoute, Family, IpInterface, make_luid
from publisher.netioapi.rows import IfStackRow, IpForwardRow
from publisher.sources import Families, Remove, Resync, Update, Upsert
from publisher.sources.luids import LuidStore
from publisher.table import Table
from publisher.testing import make_row
from tests.fixtures.poll import wait_for

if sys.platform == "linux":
    from publisher.netioapi.linux import LinuxSystem, _interface_keys, _Receiver
    from publisher.netioapi.linux_rows import of_other_notifications, stack_of
else:
    pytest.skip("the calls of Linux", allow_module_level=True)
assert sys.platform == "linux"

LONG = 20.0
FIRST, SECOND, THIRD = (make_luid(6, 0x8000 + number) for number in range(3))


def row(luid: str = FIRST, family: Family = "inet", index: int = 7, alias: str = "eth0", **members: Any) -> IpInterface:
    return make_row(alias, family, luid=luid, index=index, **members)


class FakeHost:
    """Rows, which only the test changes, and the sources that were opened over them."""

    def __init__(self, *rows: IpInterface) -> None:
        self.rows = list(rows)
        self.sources: list[FakeHostSource] = []
        self.open_at_once = 0
        self.failure: BaseException | None = None
        self.block: threading.Event | None = None
        self.reads = self.reading = self.read_at_once = 0

    def open(self, _luids: LuidStore) -> FakeHostSource:
        self.sources.append(FakeHostSource(self))
        self.open_at_once = max(self.open_at_once, len([source for source in self.sources if not source.closed]))
        return self.sources[-1]

    def read(self, _luids: LuidStore) -> list[IpInterface]:
        self.reads += 1
        self.reading += 1
        self.read_at_once = max(self.read_at_once, self.reading + len([s for s in self.sources if not s.closed]))
        if self.failure is not None:
            raise self.failure
        self.reading -= 1
        return list(self.rows)


def system_of(host: FakeHost) -> LinuxSystem:
    return LinuxSystem(host.open, host.read)


class FakeHostSource:
    """A `Source` that reads the host's rows at its start and at each resync, and yields what the test reports."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self._script: SimpleQueue[Callable[[], Sequence[Update]] | None] = SimpleQueue()
        self.before_resync: list[Update] = []
        self.closed = False
        self.ended = False
        self.abandoned = False

    def updates(self) -> Iterator[Sequence[Update]]:
        try:
            yield self._read("startup")
            while (step := self._script.get()) is not None:
                yield step()
        finally:
            self.ended = True

    def _read(self, cause: Cause) -> Sequence[Update]:
        if self._host.block is not None:
            assert self._host.block.wait(LONG)
        if self._host.failure is not None:
            raise self._host.failure
        return [Resync(tuple(self._host.rows), cause)]

    def report(self, *updates: Update) -> None:
        self._script.put(lambda: updates)

    def wake(self) -> None:
        self._script.put(list)

    def resync(self, cause: Cause = "reconcile") -> None:
        if self.before_resync:
            self.report(*self.before_resync)
        self._script.put(lambda: self._read(cause))

    def abandon(self) -> None:
        self.abandoned = True

    def close(self) -> None:
        self.closed = True
        self._script.put(None)


class ReceivedCall(NamedTuple):
    luid: str | None
    family: str | None
    kind: str


class ReceivedCalls:
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.all: list[ReceivedCall] = []

    def __call__(self, key: Any, kind: str) -> None:
        self.all.append(ReceivedCall(key and key.interface_luid, key and key.family, kind))


@contextmanager
def subscribed(
    system: LinuxSystem, receiver: ReceivedCalls, family: Families = "unspec", *, initial: bool = False
) -> Iterator[None]:
    unsubscribe = system.subscribe(family, receiver, initial)
    try:
        yield
    finally:
        unsubscribe()


# Reading


def test_a_call_without_a_registration_opens_no_source() -> None:
    host = FakeHost(row())
    system = system_of(host)
    for _ in range(3):
        assert [entry.interface_luid for entry in system.ip_interfaces("unspec")] == [FIRST]
    with pytest.raises(InterfaceNotFoundError):
        system.if_row(SECOND, None)
    assert (host.sources, host.reads) == ([], 4)


def test_while_there_is_a_registration_calls_use_its_source_and_read_anew() -> None:
    host = FakeHost(row())
    system = system_of(host)
    unsubscribe = system.subscribe("unspec", ReceivedCalls(), False)
    host.rows.append(row(SECOND))
    assert [entry.interface_luid for entry in system.ip_interfaces("inet")] == [FIRST, SECOND]
    assert (len(host.sources), host.sources[0].closed) == (1, False)
    unsubscribe()
    assert (host.sources[0].closed, host.sources[0].ended) == (True, True)


def test_a_call_waits_for_a_new_reading_and_not_for_just_any_report() -> None:
    host = FakeHost(row())
    system = system_of(host)
    with subscribed(system, ReceivedCalls()):
        host.rows.append(row(SECOND))
        host.sources[0].before_resync = [Upsert(row(nl_mtu=1400))]
        assert [entry.interface_luid for entry in system.ip_interfaces("inet")] == [FIRST, SECOND]


def test_luids_are_never_assigned_by_two_at_the_same_time() -> None:
    host = FakeHost(row())
    system = system_of(host)
    together = threading.Barrier(8)

    def call(number: int) -> int:
        together.wait(LONG)
        if number % 2:
            for _ in range(5):
                with subscribed(system, ReceivedCalls()):
                    """Only made and ended."""
        return sum(len(system.ip_interfaces("unspec")) for _ in range(20))

    with ThreadPoolExecutor(8) as threads:
        assert [done.result(LONG) for done in [threads.submit(call, number) for number in range(8)]] == [20] * 8
    assert (host.open_at_once, host.read_at_once <= 1) == (1, True)
    assert all(source.ended for source in host.sources)


@pytest.mark.parametrize(("family", "found"), [("unspec", ["inet", "inet6"]), ("inet", ["inet"]), ("inet6", ["inet6"])])
def test_rows_are_those_of_the_family(family: Families, found: list[str]) -> None:
    system = system_of(FakeHost(row(), row(family="inet6")))
    assert [entry.family for entry in system.ip_interfaces(family)] == found


@pytest.mark.parametrize(
    ("luid", "index", "family", "error"),
    [
        (FIRST, None, "inet", None),
        (None, 7, "inet", None),
        (FIRST, 8, "inet", None),
        (FIRST, None, "inet6", NotFoundError),
        (None, 7, "inet6", NotFoundError),
        (THIRD, 7, "inet", InterfaceNotFoundError),
        (None, 9, "inet", InterfaceNotFoundError),
    ],
)
def test_a_row_is_found_by_luid_before_index(luid: Any, index: Any, family: Family, error: Any) -> None:
    system = system_of(FakeHost(row(), row(SECOND, "inet6", 8)))
    if error:
        with pytest.raises(error):
            system.ip_interface(family, luid, index)
    else:
        assert system.ip_interface(family, luid, index) == row().row


@pytest.mark.parametrize(
    ("lower", "pairs"),
    [
        ({}, []),
        ({FIRST: (SECOND,)}, [(1, 2)]),
        ({FIRST: (SECOND, THIRD)}, [(1, 2), (1, 3)]),
        ({FIRST: (SECOND,), SECOND: (THIRD,)}, [(1, 2), (2, 3)]),
        ({FIRST: ("00060fffff000000",)}, []),
    ],
)
def test_the_stack_is_pairs_of_indexes(lower: dict[str, tuple[str, ...]], pairs: list[tuple[int, int]]) -> None:
    rows = [
        row(luid, index=index, interface={"lower": lower.get(luid, ())})
        for index, luid in enumerate((FIRST, SECOND, THIRD), 1)
    ]
    assert stack_of(rows) == [IfStackRow(*pair) for pair in pairs]


# Notifications


def test_a_new_registration_is_not_called_for_what_was_before_it() -> None:
    host = FakeHost(row())
    system = system_of(host)
    old, new = ReceivedCalls(), ReceivedCalls()
    with subscribed(system, old):
        # The source has not reported this yet when the second registration is made.
        host.rows.append(row(SECOND))
        with subscribed(system, new, initial=True):
            host.rows.append(row(THIRD))
            system.ip_interfaces("unspec")
    assert [(received.luid, received.kind) for received in old.all] == [
        (SECOND, "add_instance"),
        (THIRD, "add_instance"),
    ]
    assert new.all == [(None, None, "initial_notification"), (THIRD, "inet", "add_instance")]


@pytest.mark.parametrize(
    ("family", "received"), [("unspec", ["inet", "inet6"]), ("inet", ["inet"]), ("inet6", ["inet6"])]
)
def test_a_registration_is_called_for_its_family(family: Families, received: list[str]) -> None:
    host, receiver = FakeHost(), ReceivedCalls()
    system = system_of(host)
    with subscribed(system, receiver, family):
        host.sources[0].report(Upsert(row()), Upsert(row(family="inet6")))
        # Awaits the report; this reading removes the two rows again, since the host has none.
        system.ip_interfaces("unspec")
    assert [call.family for call in receiver.all if call.kind == "add_instance"] == received


CHANGES = {
    "added": (None, row(), "add_instance"),
    "removed": (row(), None, "delete_instance"),
    "mtu": (row(), row(nl_mtu=1400), "parameter_notification"),
    "alias": (row(), row(alias="wan"), "parameter_notification"),
}


def _event(before: IpInterface | None, after: IpInterface | None) -> Any:
    table = Table([before] if before else [])
    update = Upsert(after) if after else Remove(FIRST, "inet")
    [event] = table.apply(update)
    return event


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_more_than_addresses_is_reported(change: str) -> None:
    before, after, kind = CHANGES[change]
    event = _event(before, after)
    assert event.notification_type == kind
    assert not of_other_notifications(event)


@pytest.mark.parametrize(
    "members",
    [
        {"addresses": ["192.0.2.1/24"]},
        {"default_routes": ["192.0.2.1"]},
        {"addresses": ["192.0.2.1/24"], "default_routes": ["192.0.2.1"]},
    ],
)
def test_a_change_of_addresses_or_routes_alone_is_not_reported(members: Any) -> None:
    with_them, both = row(**members), row(**members, nl_mtu=1400)
    assert of_other_notifications(_event(row(), with_them))
    assert of_other_notifications(_event(with_them, row()))
    assert not of_other_notifications(_event(row(), both))


OTHER = DefaultRoute(next_hop="192.0.2.1", metric=100, protocol="dhcp")
ON_LINK = DefaultRoute(next_hop=None, metric=100, protocol="static")


def test_a_registration_for_routes_is_called_for_its_family_with_the_key() -> None:
    host, receiver = FakeHost(row(), row(family="inet6")), ReceivedCalls()
    system = system_of(host)
    unsubscribe = system.subscribe_routes("inet6", receiver, True)
    host.rows = [row(default_routes=[OTHER]), row(family="inet6", default_routes=["fe80::1"])]
    assert len(system.default_routes("unspec")) == 2
    unsubscribe()
    assert receiver.all == [(None, None, "initial_notification"), (FIRST, "inet6", "add_instance")]


@pytest.mark.parametrize(
    ("family", "hops"), [("unspec", ["192.0.2.1", None]), ("inet", ["192.0.2.1"]), ("inet6", [None])]
)
def test_routes_are_those_of_the_family(family: Families, hops: list[str | None]) -> None:
    system = system_of(FakeHost(row(default_routes=[OTHER]), row(family="inet6", default_routes=[ON_LINK])))
    rows = system.default_routes(family)
    assert [entry.next_hop for entry in rows] == hops
    assert rows[0] == IpForwardRow(
        family="inet6" if family == "inet6" else "inet",
        destination_prefix="::/0" if family == "inet6" else "0.0.0.0/0",
        next_hop=hops[0],
        interface_luid=FIRST,
        interface_index=7,
        metric=100,
        protocol="static" if family == "inet6" else "dhcp",
    )


def test_after_unsubscribing_the_receiver_is_not_called_and_a_running_call_is_over() -> None:
    host, entered, leave = FakeHost(), threading.Event(), threading.Event()
    system = system_of(host)
    calls: list[str] = []

    def receive(_key: object, kind: str) -> None:
        entered.set()
        assert leave.wait(LONG)
        calls.append(kind)

    with subscribed(system, ReceivedCalls()):
        unsubscribe = system.subscribe("unspec", receive, False)
        host.sources[0].report(Upsert(row()))
        assert entered.wait(LONG)
        with ThreadPoolExecutor(1) as threads:
            unsubscribed = threads.submit(unsubscribe)
            with pytest.raises(TimeoutError):
                unsubscribed.result(0.2)
            leave.set()
            unsubscribed.result(LONG)
        assert calls == ["add_instance"]
        host.sources[0].report(Upsert(row(nl_mtu=1400)))
        system.ip_interfaces("unspec")
    assert calls == ["add_instance"]


# Failures and the end


def test_after_a_failure_the_next_call_opens_a_new_source() -> None:
    host = FakeHost(row())
    system = system_of(host)
    dead, alive = ReceivedCalls(), ReceivedCalls()
    unsubscribe = system.subscribe("unspec", dead, False)
    host.failure = SourceError("the socket is closed")
    with pytest.raises(SourceError, match="the socket is closed"):
        system.ip_interfaces("unspec")
    host.failure = None
    with subscribed(system, alive):
        assert len(host.sources) == 2
        host.rows.append(row(SECOND))
        assert len(system.ip_interfaces("unspec")) == 2
        unsubscribe()
        assert not host.sources[1].closed
    assert (dead.all, alive.all) == ([], [(SECOND, "inet", "add_instance")])
    assert [source.closed for source in host.sources] == [True, True]


def test_a_source_that_cannot_begin_is_an_error_of_the_call() -> None:
    host = FakeHost()
    host.failure = SourceError("no socket")
    system = system_of(host)
    for call in (lambda: system.ip_interfaces("unspec"), lambda: system.subscribe("unspec", ReceivedCalls(), True)):
        with pytest.raises(NetioError, match="no socket") as error:
            call()
        assert (error.value.winerror_code, error.value.winerror) == (31, 31)
    assert [source.closed for source in host.sources] == [True]


ENDS = [
    SourceError("ended"),
    MemoryError("ended"),
    BrokenPipeError("ended"),
    AssertionError("ended"),
    SystemExit("ended"),
]


@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
def test_whatever_ends_the_source_is_the_answer_to_all_that_wait(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    host = FakeHost(row())
    system = system_of(host)
    dead = ReceivedCalls()
    unsubscribe = system.subscribe("unspec", dead, False)
    host.block = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        calls: list[Future[Any]] = [threads.submit(system.ip_interfaces, "unspec") for _ in range(4)]
        calls += [threads.submit(system.subscribe, "unspec", ReceivedCalls(), True) for _ in range(4)]
        wait_for(lambda: system._shared is not None and system._shared.users == 9, what="eight that wait")
        host.failure = error
        host.block.set()
        for call in calls:
            with pytest.raises(NetioError, match="ended") as failed:
                call.result(LONG)
            assert isinstance(failed.value, SourceError)
    wait_for(lambda: "1 registrations receive no more notifications" in caplog.text, what="an error in the log")
    host.failure = None
    assert len(system.ip_interfaces("unspec")) == 1
    with subscribed(system, alive := ReceivedCalls()):
        host.rows.append(row(SECOND))
        assert len(system.ip_interfaces("unspec")) == 2
    assert (dead.all, alive.all) == ([], [(SECOND, "inet", "add_instance")])
    unsubscribe()
    assert [(source.closed, source.ended) for source in host.sources] == [(True, True)] * 2


def test_a_bug_in_applying_an_update_is_the_answer_to_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    host = FakeHost(row())
    system = system_of(host)
    with subscribed(system, ReceivedCalls()):
        with monkeypatch.context() as patched:
            patched.setattr(Table, "apply", _no_memory)
            with pytest.raises(NetioError, match="MemoryError"):
                system.ip_interfaces("unspec")
        assert len(system.ip_interfaces("unspec")) == 1


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_an_error_of_one_action_is_that_of_its_caller_alone() -> None:
    host = FakeHost(row())
    system = system_of(host)
    with subscribed(system, ReceivedCalls()):
        for error in (ZeroDivisionError, SystemExit):
            with pytest.raises(error):
                system._read(_raising(error))
        assert len(system.ip_interfaces("unspec")) == 1
    assert len(host.sources) == 1


def _raising(error: type[BaseException]) -> Callable[[object], None]:
    def action(_: object) -> None:
        raise error

    return action


@pytest.mark.parametrize("refused", ["thread", "descriptor"])
def test_a_source_that_finds_no_resource_is_an_error_and_the_next_call_works(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    host = FakeHost(row())
    system = system_of(host)
    with monkeypatch.context() as patched:
        if refused == "thread":
            patched.setattr(threading.Thread, "start", no_thread)
        else:
            patched.setattr(system, "_open_source", _no_descriptor)
        with pytest.raises(NetioError, match="the system refused") as error:
            system.subscribe("unspec", ReceivedCalls(), False)
    assert error.value.winerror_code == (8 if refused == "thread" else 31)
    assert all(source.closed for source in host.sources)
    with subscribed(system, ReceivedCalls()):
        assert len(system.ip_interfaces("unspec")) == 1


def _no_descriptor(_: object) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def test_after_a_fork_the_source_is_given_up_and_the_next_call_opens_one() -> None:
    host = FakeHost(row())
    system = system_of(host)
    unsubscribe = system.subscribe("unspec", ReceivedCalls(), False)
    # Another thread may hold it at the moment of the fork.
    system._lock.acquire()
    system.after_fork()
    with subscribed(system, ReceivedCalls()):
        assert [source.abandoned for source in host.sources] == [True, False]
        assert not host.sources[0].closed
    unsubscribe()


def test_a_registration_that_is_alive_at_the_exit_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(atexit, "unregister", at_exit.remove)
    host = FakeHost(row())
    system = system_of(host)
    unsubscribe = system.subscribe("unspec", ReceivedCalls(), False)
    [close] = at_exit
    close()
    assert (host.sources[0].closed, host.sources[0].ended) == (True, True)
    assert at_exit == []
    at_exit.append(close)
    unsubscribe()
    system.ip_interfaces("unspec")
    assert at_exit == []


def test_a_registration_that_was_interrupted_while_it_waited_is_not_called() -> None:
    """Its removal overtakes it: that needs no new reading."""
    host, calls = FakeHost(), ReceivedCalls()
    system = system_of(host)
    with subscribed(system, ReceivedCalls()):
        shared, receiver = system._shared, _Receiver("unspec", calls, _interface_keys)
        assert shared is not None
        shared.ask(lambda shared: shared.remove(receiver), new_reading=False).result(LONG)
        shared.ask(lambda shared: shared.add(receiver, True)).result(LONG)
        host.sources[0].report(Upsert(row()))
        system.ip_interfaces("unspec")
    assert calls.all == []
