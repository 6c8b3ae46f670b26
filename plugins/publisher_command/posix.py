"""Runs a program on Linux: in a session of its own, which is ended with all that it started when its time is over.

One thread does everything: it waits for the pipes and for the end of the program at once (pidfd_open(2)).
"""

from __future__ import annotations

import atexit
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import IO, Self

from .invocation import Ending, Invocation
from .output import OutputStream, ProgramOutput

assert sys.platform == "linux"

_CHUNK = 1 << 16
# After SIGTERM, and then after SIGKILL: a process in an uninterruptible wait obeys neither.
GRACE_SECONDS = 2.0
# A kernel before 5.3, or a sandbox, has no pidfd: there the end is noticed so many seconds late.
_LOOK_SECONDS = 0.02
# Of what is in the pipes when the program has ended: another process may go on writing.
_MOST_AT_THE_END = 1 << 20


def run(invocation: Invocation, output: ProgramOutput) -> Ending:
    """Runs the program and waits for its end; raises OSError when it cannot be started.

    A process that it leaves behind goes on, but nobody reads what it writes. When the time is over, the program's whole
    process group gets SIGTERM and, when that does not end it within 2 s, SIGKILL.
    """
    with _EndedAtExit() as at_exit:
        process = at_exit.start(invocation)
        try:
            with closing(_Pipes(process, invocation.data, output)) as pipes:
                timed_out = not pipes.follow(invocation.seconds)
                if timed_out:
                    _signal(process, signal.SIGTERM)
                    pipes.follow(GRACE_SECONDS, to_the_end=True)
                    _signal(process, signal.SIGKILL)
                    pipes.follow(GRACE_SECONDS)
                pipes.read_the_rest()
                # Until here it was not waited for, so that its number could not become another process group's.
                return Ending(_status(process) if pipes.has_ended() else -signal.SIGKILL, timed_out)
        except BaseException:
            _end_now(process)
            raise


class _EndedAtExit:
    """Ends a run that is not done when the interpreter ends, after the time for stopping: its event is sent again."""

    def __init__(self) -> None:
        # Held while the program is started: the main thread may end meanwhile, and waits for that.
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._end)

    def start(self, invocation: Invocation) -> subprocess.Popen[bytes]:
        """Starts the program; raises OSError."""
        with self._starting:
            atexit.register(self._end)
            self._process = _started(invocation)
        return self._process

    def _end(self) -> None:
        with self._starting:
            if self._process is not None:
                _end_now(self._process)


def _started(invocation: Invocation) -> subprocess.Popen[bytes]:
    account = invocation.account
    return subprocess.Popen(
        [argument.encode(errors="replace") for argument in invocation.arguments],
        env={name.encode(): value.encode(errors="replace") for name, value in invocation.environment.items()},
        cwd=invocation.directory,
        umask=invocation.umask,
        user=account and account.uid,
        group=account and account.gid,
        extra_groups=account and account.groups,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        # No signal of a terminal reaches it: a stop of publisher lets it finish. And SIGPIPE, which Python ignores, is
        # as usual.
        start_new_session=True,
        restore_signals=True,
    )


class _Pipes:
    """The three pipes of a program, and its end. One thread."""

    def __init__(self, process: subprocess.Popen[bytes], data: bytes, output: ProgramOutput) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._pid = process.pid
        self._selector = selectors.DefaultSelector()
        self._data = memoryview(data)
        self._open: dict[int, IO[bytes]] = {}
        self._readers: dict[int, OutputStream] = {}
        self._add(process.stdin, selectors.EVENT_WRITE, self._write)
        os.set_blocking(process.stdin.fileno(), False)
        for file, stream in ((process.stdout, output.out), (process.stderr, output.err)):
            self._readers[file.fileno()] = stream
            self._add(file, selectors.EVENT_READ, self._read)
            os.set_blocking(file.fileno(), False)
        pidfd = _pidfd(process.pid)
        self._notices_end = pidfd is not None
        if pidfd is not None:
            self._add(pidfd, selectors.EVENT_READ, self._close)

    def follow(self, seconds: float, *, to_the_end: bool = False) -> bool:
        """Reads and writes until the program has ended, at most so many seconds; returns whether it has.

        With `to_the_end`, also until nobody has its output open any more.
        """
        deadline = time.monotonic() + seconds
        while not self.has_ended() or (to_the_end and not self._readers.keys().isdisjoint(self._open)):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left if self._notices_end else min(left, _LOOK_SECONDS)):
                key.data(key.fd)
        return True

    def has_ended(self) -> bool:
        """Returns whether the program has ended. It keeps its number: it is not waited for."""
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # `_end_now` waited for it, or another part of this process
            return True

    def read_the_rest(self) -> None:
        """Reads what is in the pipes; waits for nothing, and for nobody who has them still open."""
        left = _MOST_AT_THE_END
        for descriptor in self._readers:
            while descriptor in self._open and left > 0 and (count := self._read(descriptor)):
                left -= count

    def close(self) -> None:
        """Closes all descriptors."""
        for descriptor in list(self._open):
            self._close(descriptor)
        self._selector.close()

    def _add(self, file: IO[bytes], wanted: int, act: Callable[[int], object]) -> None:
        self._open[file.fileno()] = file
        self._selector.register(file, wanted, act)

    def _write(self, descriptor: int) -> None:
        try:
            self._data = self._data[os.write(descriptor, self._data[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # a program need not read it
            self._data = self._data[:0]
        if not self._data:
            self._close(descriptor)

    def _read(self, descriptor: int) -> int:
        """Returns how much was read: 0 when nothing is there, and when nobody writes any more."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        if not data:
            self._close(descriptor)
        self._readers[descriptor].take(data)
        return len(data)

    def _close(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        self._open.pop(descriptor).close()


def _pidfd(pid: int) -> IO[bytes] | None:
    try:
        return os.fdopen(os.pidfd_open(pid), "rb", buffering=0)
    except (OSError, AttributeError):  # an old kernel, a sandbox; another system
        return None


def _status(process: subprocess.Popen[bytes]) -> int:
    """Returns the exit status; raises ChildProcessError when another one took it, for which Popen would return 0."""
    if process.returncode is None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # It cannot be sent to a program that became another user, as sudo does.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def _end_now(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
