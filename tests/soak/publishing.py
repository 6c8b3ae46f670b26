"""The publisher of a soak: started again when it ends, as systemd does, with each end and its use of memory noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.netns import NetNs

_KILL, _STOP, _CONTINUE = (signal.Signals[name] for name in ("SIGKILL", "SIGSTOP", "SIGCONT"))
_AGAIN_SECONDS = 0.3
_WARM_SECONDS = 10.0


@dataclass(frozen=True)
class Ending:
    """An end of the process, perhaps `wanted`; `faults` were there while it ran."""

    status: int
    wanted: bool
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """The use of a process that runs for a while: resident MiB, descriptors and threads."""

    at: float
    age: float
    mebibytes: float
    descriptors: int
    threads: int


class Supervised:
    """`publisher run`, started again whenever it ends."""

    def __init__(
        self, netns: NetNs, folder: Path, environment: Mapping[str, str], faults: Callable[[], tuple[str, ...]]
    ) -> None:
        self.endings: list[Ending] = []
        self.starts = 0
        self._netns, self._folder, self._environment, self._faults = netns, folder, dict(environment), faults
        self._wanted = False
        self._met: set[str] = set()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._process = self._start()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="supervisor")
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process id of the one that runs, or was the last to run."""
        return self._process.pid

    def meet(self, fault: str) -> None:
        """Notes a fault that begins."""
        self._met.add(fault)

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self._end(_KILL)

    def restart(self) -> None:
        """Ends it with SIGTERM."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stops it with SIGSTOP."""
        self._signal(_STOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(_CONTINUE)

    def close(self) -> int | None:
        """Ends it with SIGTERM for good; returns its exit status, or None when it had to be killed."""
        self._over.set()
        self.thaw()
        self._end(signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._process.kill()
            self._thread.join()

    def sample(self) -> Sample | None:
        """Returns its use now; None while it has not run for some seconds."""
        age = time.monotonic() - self._began
        if age < _WARM_SECONDS:
            return None
        place = Path(f"/proc/{self.pid}")
        with suppress(OSError, KeyError):
            lines = (line.split(":", 1) for line in (place / "status").read_text().splitlines())
            found = {name: text.split() for name, text in lines}
            memory, threads = int(found["VmRSS"][0]) / 1024, int(found["Threads"][0])
            return Sample(time.monotonic(), age, memory, len(os.listdir(place / "fd")), threads)  # noqa: PTH208 - names alone, and no paths
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = self._netns.popen(
                [sys.executable, "-m", "publisher", "run"],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.starts += 1
        self._met = set(self._faults())
        self._began = time.monotonic()
        return process

    def _keep(self) -> None:
        while True:
            status = self._process.wait()
            with self._lock:
                self.endings.append(Ending(status, self._wanted, tuple(self._met)))
                self._wanted = False
            if self._over.wait(_AGAIN_SECONDS):
                return
            with self._lock:
                self._process = self._start()

    def _end(self, how: signal.Signals) -> None:
        with self._lock:
            self._wanted = True
            self._process.send_signal(how)

    def _signal(self, how: signal.Signals) -> None:
        with self._lock:
            self._process.send_signal(how)
