"""Faults that tests inject: changes all the time, a kill at a random moment, a disk of a few megabytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tests.fixtures.requirements import need, unable


@contextmanager
def changing(make: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
    """Calls `make` again and again in another thread until the block ends, `pause` seconds after each call.

    Raises at the end what `make` raised.
    """
    over = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not over.wait(pause):
                make()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="changes")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Takes every descriptor that this process may open, until the block ends."""
    if sys.platform == "win32":
        raise OSError("Windows has no such limit")
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208 - names, not paths
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)


class Killable(Protocol):
    """A process: `subprocess.Popen`, `multiprocessing.Process` or `Fork`."""

    def kill(self) -> None: ...


def kill_at_random(process: Killable, chance: random.Random, within: float) -> None:
    """Kills the process at a random moment that is at most `within` seconds away."""
    time.sleep(chance.uniform(0, within))  # the fault itself: any moment will do
    process.kill()


class Fork:
    """A child of `Forks`."""

    def __init__(self, pid: int, answer: Callable[[], int]) -> None:
        self.pid = pid
        self._answer = answer

    def kill(self) -> None:
        # It may have ended by itself, and the process that forked it has waited for it.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.Signals["SIGKILL"])

    def wait(self) -> int:
        """Returns the exit status, or minus the signal, once the child has ended."""
        return self._answer()


class Forks:
    """A Python process that has imported everything and forks a child for each order, one at a time.

    A hundred interpreters would take most of a test's time. The module calls `serve` when it is run.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, order: str) -> Fork:
        """Starts a child with this order, which is one line."""
        assert self._process.stdin
        print(order, file=self._process.stdin, flush=True)
        return Fork(self._answer(), self._answer)

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


def serve(work: Callable[[str], object]) -> None:
    """Forks a child for each line of standard input; prints its process id, and its exit status once it has ended."""
    if sys.platform == "win32":
        raise OSError("Windows has no fork")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            work(line)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer to whoever sent the order
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - as above


def small_disk(folder: Path, size: str) -> list[str]:
    """Returns the beginning of a command that finds a disk of that size mounted at `folder`.

    Only that command and its children see the disk, and whoever looks through /proc. `size` is tmpfs's: 600k, 64m.
    """
    need("unshare", "mount", package="util-linux and mount")
    unshare = ["unshare", "--mount"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        unable("no mount namespace can be made: run as root, or allow user namespaces")
    return [*unshare, "sh", "-c", f'mount -t tmpfs -o size={size} disk "$0" && exec "$@"', str(folder)]
