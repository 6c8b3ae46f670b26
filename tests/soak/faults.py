"""The faults: each begins with its `with` block and ends with it. `plan.FAULTS` names them."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from tests.faults import changing
from tests.fixtures.webhook_server import Behaviour, ok
from tests.soak.house import House
from tests.soak.observers import Hook
from tests.soak.plan import Fault

Making = Callable[[House, Fault], AbstractContextManager[None]]
_YEAR = 365 * 86_400
_DESCRIPTORS = 200


@contextmanager
def publisher_killed(house: House, _fault: Fault) -> Iterator[None]:
    house.publisher.kill()
    yield


@contextmanager
def publisher_killed_again_and_again(house: House, fault: Fault) -> Iterator[None]:
    chance, over = random.Random(fault.chance), threading.Event()

    def kill() -> None:
        while not over.wait(chance.uniform(0.2, 2.5)):
            house.publisher.kill()

    thread = threading.Thread(target=kill, name="kills")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def publisher_restarted(house: House, _fault: Fault) -> Iterator[None]:
    house.publisher.restart()
    yield


@contextmanager
def receive_buffer(house: House, fault: Fault) -> Iterator[None]:
    house.configure(receive_buffer=4096)
    starts = house.reads()
    house.publisher.restart()
    # Sooner there is nobody who could miss anything.
    deadline = time.monotonic() + 30
    while house.reads() == starts and time.monotonic() < deadline:
        time.sleep(0.1)  # what another process writes
    try:
        with changing(lambda: house.changes.make(1000 + int(2000 * fault.chance)), pause=0.3):
            yield
    finally:
        house.configure()
        house.publisher.restart()


@contextmanager
def broker_without_its_store(house: House, _fault: Fault) -> Iterator[None]:
    house.broker.kill()
    (house.folder / "broker" / "mosquitto.db").unlink(missing_ok=True)
    try:
        yield
    finally:
        house.start_broker()


@contextmanager
def connection_half_open(house: House, _fault: Fault) -> Iterator[None]:
    """The broker loses the connection, and the publisher does not learn of it before the cable is back."""
    house.far.ip("link set wire down")
    house.broker.kill()
    house.start_broker()
    try:
        yield
    finally:
        house.far.ip("link set wire up")


@contextmanager
def subscriber_slow(house: House, _fault: Fault) -> Iterator[None]:
    house.subscriber.is_slow = True
    try:
        yield
    finally:
        house.subscriber.is_slow = False


@contextmanager
def disk_full(house: House, _fault: Fault) -> Iterator[None]:
    filler = house.disk / "filler"
    over = threading.Event()

    def fill() -> None:
        """Takes what becomes free, too."""
        with filler.open("ab", buffering=0) as file:
            while True:
                with suppress(OSError):
                    while file.write(bytes(4096)) == 4096:
                        pass
                if over.wait(0.05):
                    return

    thread = threading.Thread(target=fill, name="fills the disk")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        filler.unlink(missing_ok=True)


@contextmanager
def disk_read_only(house: House, _fault: Fault) -> Iterator[None]:
    """Found at a start: a tmpfs with a file that is open for writing cannot be made read-only."""
    made = False
    deadline = time.monotonic() + 5
    while not made and time.monotonic() < deadline:
        house.publisher.kill()
        for _ in range(100):
            with suppress(OSError):
                house.make_read_only()
                made = True
                break
            time.sleep(0.002)  # until the killed process is gone, and before the next one opens the journal
    try:
        yield
    finally:
        house.mount()


@contextmanager
def descriptors(house: House, _fault: Fault) -> Iterator[None]:
    """Beside a plugin that takes those that are left."""
    if sys.platform == "win32":
        raise OSError("Windows has no such limit")
    import resource

    pid, flag = house.publisher.pid, house.folder / "leaks"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)  # which it has inherited
    with suppress(ProcessLookupError):  # it ends, and is started again
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (_DESCRIPTORS, before[1]))
    flag.touch()
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def lasting(begin: Callable[[House], object], end: Callable[[House], object]) -> Making:
    """Returns the fault that is one call at its beginning and one at its end."""

    @contextmanager
    def make(house: House, _fault: Fault) -> Iterator[None]:
        begin(house)
        try:
            yield
        finally:
            end(house)

    return make


def receiver(behaviour: Callable[[Hook], Behaviour]) -> Making:
    """Returns the fault of a receiver that answers in another way."""

    def begin(house: House) -> None:
        house.hook.behaviour = behaviour(house.hook)

    def end(house: House) -> None:
        house.hook.behaviour = ok

    return lasting(begin, end)


def clock(direction: int) -> Making:
    """Returns the fault of a clock that is a minute to ten years ahead, or back."""

    @contextmanager
    def make(house: House, fault: Fault) -> Iterator[None]:
        house.set_clock(direction * (60 + int(fault.chance * 10 * _YEAR)))
        try:
            yield
        finally:
            house.set_clock(0)

    return make


def flagged(name: str) -> Making:
    """Returns the fault that lasts as long as a file of this name is there."""
    return lasting(
        lambda house: (house.folder / name).touch(), lambda house: (house.folder / name).unlink(missing_ok=True)
    )


MAKING: dict[str, Making] = {
    "publisher_killed": publisher_killed,
    "publisher_killed_again_and_again": publisher_killed_again_and_again,
    "publisher_stopped": lasting(lambda house: house.publisher.freeze(), lambda house: house.publisher.thaw()),
    "publisher_restarted": publisher_restarted,
    "receive_buffer_of_4_KiB": receive_buffer,
    "broker_gone": lasting(lambda house: house.broker.end(), lambda house: house.start_broker()),
    # What mosquitto wrote at its last regular end, or at its start.
    "broker_with_an_old_store": lasting(lambda house: house.broker.kill(), lambda house: house.start_broker()),
    "broker_without_its_store": broker_without_its_store,
    "broker_frozen": lasting(lambda house: house.broker.freeze(), lambda house: house.broker.thaw()),
    "connection_cut": lasting(
        lambda house: house.far.ip("link set wire down"), lambda house: house.far.ip("link set wire up")
    ),
    "connection_half_open": connection_half_open,
    "subscriber_slow": subscriber_slow,
    "receiver_slow": receiver(lambda hook: hook.slow),
    "receiver_hangs": receiver(lambda hook: hook.hang),
    "receiver_refuses": receiver(lambda hook: hook.refuse),
    "receiver_gone": lasting(
        lambda house: house.home.in_thread(house.hook.leave), lambda house: house.home.in_thread(house.hook.come_back)
    ),
    "program_fails": flagged("fails"),
    "disk_full": disk_full,
    "disk_read_only": disk_read_only,
    "clock_ahead": clock(1),
    "clock_back": clock(-1),
    "descriptors_200": descriptors,
    "plugin_hangs": flagged("hangs"),
    "plugin_leaks": flagged("leaks"),
}
"""How each fault is made, by its name in the plan."""
