"""Runs a program on Windows: in a job object, which ends with it and takes all that it started along.

Pipes cannot be waited for together there: each has a thread for the time of one run, and so has the end.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import wintypes
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, TypeAlias

from .invocation import Ending, Invocation
from .output import OutputStream, ProgramOutput

_CHUNK = 1 << 16
_KILL_ON_JOB_CLOSE = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, winnt.h
_EXTENDED_LIMIT_INFORMATION = 9  # JobObjectExtendedLimitInformation
_LIMITS_SIZE, _FLAGS_OFFSET = (144, 16) if ctypes.sizeof(ctypes.c_void_p) == 8 else (112, 16)
Received: TypeAlias = tuple[OutputStream, bytes] | None


def run(invocation: Invocation, output: ProgramOutput) -> Ending:
    """Runs the program and waits for its end; raises OSError when it cannot be started.

    When it has ended, or when the time is over, everything that it started and that is still there is ended, too.
    """
    with ExitStack() as around:
        process = around.enter_context(_started(invocation))
        end_all = around.enter_context(_job(process))
        received: SimpleQueue[Received] = SimpleQueue()
        assert process.stdin
        assert process.stdout
        assert process.stderr
        threads = [
            threading.Thread(target=_write, args=(process.stdin, invocation.data), daemon=True),
            threading.Thread(target=_read, args=(process.stdout, output.out, received), daemon=True),
            threading.Thread(target=_read, args=(process.stderr, output.err, received), daemon=True),
            threading.Thread(target=_wait, args=(process, received), daemon=True),
        ]
        for thread in threads:
            thread.start()
        timed_out = not _follow(received, time.monotonic() + invocation.seconds)
        end_all()
        for thread in threads:
            thread.join()
        while not received.empty():
            _take(received.get())
        return Ending(process.wait(), timed_out)


def _started(invocation: Invocation) -> subprocess.Popen[bytes]:
    if sys.platform != "win32":
        raise OSError("this is Windows' way to run a program")
    return subprocess.Popen(
        list(invocation.arguments),
        env=dict(invocation.environment),
        cwd=invocation.directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        # No Ctrl+C of the console reaches it, and none opens a window.
        creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
    )


def _follow(received: SimpleQueue[Received], deadline: float) -> bool:
    """Takes the output until the program has ended; returns False when the time is over before."""
    while True:
        try:
            what = received.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return False
        if what is None:
            return True
        _take(what)


def _take(what: Received) -> None:
    if what is not None:
        stream, data = what
        stream.take(data)


def _write(file: IO[bytes], data: bytes) -> None:
    with suppress(OSError):  # a program need not read it
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest[:_CHUNK]) :]
    with suppress(OSError):
        file.close()


def _read(file: IO[bytes], stream: OutputStream, received: SimpleQueue[Received]) -> None:
    with suppress(OSError):
        while data := file.read(_CHUNK):
            received.put((stream, data))


def _wait(process: subprocess.Popen[bytes], received: SimpleQueue[Received]) -> None:
    process.wait()
    received.put(None)


@contextmanager
def _job(process: subprocess.Popen[bytes]) -> Iterator[Callable[[], object]]:
    """Yields a function that ends the process and all that it started; the end of the block does it, too.

    A process that is started in the moment before the job has the program is not in it.
    """
    if sys.platform != "win32":
        raise OSError("jobs are Windows'")
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.CreateJobObjectW.restype = wintypes.HANDLE
    job = wintypes.HANDLE(kernel32.CreateJobObjectW(None, None))
    try:
        limits = (ctypes.c_byte * _LIMITS_SIZE)()
        ctypes.c_uint32.from_buffer(limits, _FLAGS_OFFSET).value = _KILL_ON_JOB_CLOSE
        kernel32.SetInformationJobObject(job, _EXTENDED_LIMIT_INFORMATION, limits, _LIMITS_SIZE)
        handle: int = vars(process)["_handle"]  # Popen offers it by no other name
        kernel32.AssignProcessToJobObject(job, wintypes.HANDLE(int(handle)))
        yield partial(kernel32.TerminateJobObject, job, 1)
    finally:
        kernel32.TerminateJobObject(job, 1)
        kernel32.CloseHandle(job)
