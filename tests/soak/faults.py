"""The faults: each begins with its `with` block and ends with it. `plan.FAULTS` names them."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from tests.fixtures.webhook_server import ok
from tests.soak.house import House
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
def publisher_stopped(house: House, _fault: Fault) -> Iterator[None]:
    house.publisher.freeze()
    try:
        yield
    finally:
        house.publisher.thaw()


@contextmanager
def publisher_restarted(house: House, _fault: Fault) -> Iterator[None]:
    house.publisher.restart()
    yield


@contextmanager
def receive_buffer(house: House, fault: Fault) -> Iterator[None]:
    house.configure(receive_buffer=4096)
    over = threading.Event()
    starts = house.reads()
    house.publisher.restart()
    # Sooner there is nobody who could miss anything.
    deadline = time.monotonic() + 30
    while house.reads() == starts and time.monotonic() < deadline:
        time.sleep(0.1)  # what another process writes

    def flood() -> None:
        while not over.wait(0.3):
            house.changes.make(1000 + int(2000 * fault.chance))

    thread = threading.Thread(target=flood, name="flood")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        house.configure()
        house.publisher.restart()


@contextmanager
def broker_gone(house: House, _fault: Fault) -> Iterator[None]:
    house.broker.end()
    try:
        yield
    finally:
        house.start_broker()


@contextmanager
def broker_with_an_old_store(house: House, _fault: Fault) -> Iterator[None]:
    """What mosquitto wrote at its last regular end, or at its start."""
    house.broker.kill()
    try:
        yield
    finally:
        house.start_broker()


@contextmanager
def broker_without_its_store(house: House, _fault: Fault) -> Iterator[None]:
    house.broker.kill()
    (house.folder / "broker" / "mosquitto.db").unlink(missing_ok=True)
    try:
        yield
    finally:
        house.start_broker()


@contextmanager
def broker_frozen(house: House, _fault: Fault) -> Iterator[None]:
    house.broker.freeze()
    try:
        yield
    finally:
        house.broker.thaw()


@contextmanager
def connection_cut(house: House, _fault: Fault) -> Iterator[None]:
    house.far.ip("link set wire down")
    try:
        yield
    finally:
        house.far.ip("link set wire up")


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
def receiver_slow(house: House, _fault: Fault) -> Iterator[None]:
    house.hook.behaviour = house.hook.slow
    try:
        yield
    finally:
        house.hook.behaviour = ok


@contextmanager
def receiver_hangs(house: House, _fault: Fault) -> Iterator[None]:
    house.hook.behaviour = house.hook.hang
    try:
        yield
    finally:
        house.hook.behaviour = ok


@contextmanager
def receiver_refuses(house: House, _fault: Fault) -> Iterator[None]:
    house.hook.behaviour = house.hook.refuse
    try:
        yield
    finally:
        house.hook.behaviour = ok


@contextmanager
def receiver_gone(house: House, _fault: Fault) -> Iterator[None]:
    house.home.in_thread(house.hook.leave)
    try:
        yield
    finally:
        house.home.in_thread(house.hook.come_back)


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
def clock_ahead(house: House, fault: Fault) -> Iterator[None]:
    house.set_clock(60 + int(fault.chance * 10 * _YEAR))
    try:
        yield
    finally:
        house.set_clock(0)


@contextmanager
def clock_back(house: House, fault: Fault) -> Iterator[None]:
    house.set_clock(-60 - int(fault.chance * 10 * _YEAR))
    try:
        yield
    finally:
        house.set_clock(0)


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


def flagged(name: str) -> Making:
    """Returns the fault that lasts as long as a file of this name is there."""

    @contextmanager
    def make(house: House, _fault: Fault) -> Iterator[None]:
        (house.folder / name).touch()
        try:
            yield
        finally:
            (house.folder / name).unlink(missing_ok=True)

    return make


MAKING: dict[str, Making] = {
    "publisher_killed": publisher_killed,
    "publisher_killed_again_and_again": publisher_killed_again_and_again,
    "publisher_stopped": publisher_stopped,
    "publisher_restarted": publisher_restarted,
    "receive_buffer_of_4_KiB": receive_buffer,
    "broker_gone": broker_gone,
    "broker_with_an_old_store": broker_with_an_old_store,
    "broker_without_its_store": broker_without_its_store,
    "broker_frozen": broker_frozen,
    "connection_cut": connection_cut,
    "connection_half_open": connection_half_open,
    "subscriber_slow": subscriber_slow,
    "receiver_slow": receiver_slow,
    "receiver_hangs": receiver_hangs,
    "receiver_refuses": receiver_refuses,
    "receiver_gone": receiver_gone,
    "program_fails": flagged("fails"),
    "disk_full": disk_full,
    "disk_read_only": disk_read_only,
    "clock_ahead": clock_ahead,
    "clock_back": clock_back,
    "descriptors_200": descriptors,
    "plugin_hangs": flagged("hangs"),
    "plugin_leaks": flagged("leaks"),
}
"""How each fault is made, by its name in the plan."""
