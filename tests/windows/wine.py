"""Wine in a network namespace of its own, and Windows Python in it."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fixtures.netns import NetNs
from tests.fixtures.requirements import need, unable
from tests.windows.prepare import CHECKOUT, copied, prepare, wine_environment, wineserver


class Wine:
    """Wine's server in a network namespace; Wine reads the interfaces of that namespace."""

    def __init__(self, root: Path, netns: NetNs) -> None:
        self.root = root
        self.netns = netns
        self._environment = wine_environment(root)
        self._server("-k")
        self.netns.ip("link set lo up")
        # A first process whose output nobody reads to its end: Wine's own background processes inherit it. And its
        # environment: the services that services.exe starts have the stand-in.
        self._keeper = self.python("-c", "print('ready', flush=True); input()", stdin=subprocess.PIPE)
        assert self._keeper.stdout is not None
        self._keeper.stdout.readline()

    def python(
        self, *arguments: str, standin: bool = True, program: str = "python.exe", **options: Any
    ) -> subprocess.Popen[Any]:
        """Starts Windows Python, with the stand-in for iphlpapi.dll or with Wine's own library.

        Its output has to be a pipe: with a file, Python 3.13 crashes at its start under Wine 8.
        """
        choice = "n,b" if standin else "b"
        overrides = f"{self._environment['WINEDLLOVERRIDES']};iphlpapi={choice};bcryptprimitives=n,b"
        environment = self._environment | {"WINEDLLOVERRIDES": overrides} | options.pop("env", {})
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        command = ["wine", str(self.root / "python" / program), *arguments]
        return self.netns.popen(command, cwd=CHECKOUT, env=environment, **(pipes | options))

    def close(self) -> None:
        """Ends the server, and with it each process in this prefix."""
        self._server("-k")
        self._keeper.communicate()

    def _server(self, option: str) -> None:
        # Its status only shows if a server was running.
        self.netns.popen(
            [wineserver(), option], env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).wait()  # fmt: skip


@contextlib.contextmanager
def running() -> Iterator[Wine]:
    """Yields a Wine for this process of a test run alone: a copy of the prepared one, which others do not use."""
    need("wine", package="wine wine64")
    need("x86_64-w64-mingw32-gcc", package="gcc-mingw-w64-x86-64-win32")
    need("ip", package="iproute2")
    cache = CHECKOUT / ".cache" / "windows"
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as closers:
        root = closers.enter_context(_copy(cache))
        try:
            netns = closers.enter_context(contextlib.closing(NetNs()))
        except OSError as error:
            unable(f"no network namespace can be made ({error}): run as root, or allow user namespaces")
        yield closers.enter_context(contextlib.closing(Wine(root, netns)))


@contextlib.contextmanager
def _copy(cache: Path) -> Iterator[Path]:
    """Yields the first copy that is free, made from the prepared one."""
    for number in itertools.count():
        with (cache / f"lock-{number}").open("w") as mine:
            if not _locked(mine.fileno(), wait=False):
                continue
            with (cache / "lock").open("w") as everyones:
                _locked(everyones.fileno(), wait=True)
                root = copied(prepare(), number)
            yield root
            return


def _locked(descriptor: int, *, wait: bool) -> bool:
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
