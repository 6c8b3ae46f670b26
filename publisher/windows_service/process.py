"""The service's process: it runs the publisher in the main thread, and answers Windows in others.

A thread of ours calls StartServiceCtrlDispatcherW, which returns when the service has stopped. Windows calls the
handler of controls in that thread, and ServiceMain in one of its own.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from ..errors import ConfigurationError
from ..service.log_file import LOG_NAME, LogFile
from .advapi32 import SERVICE_WIN32_OWN_PROCESS, ServiceStatusStructure, ServiceTableEntry
from .calls import WindowsCalls, WindowsServiceError, explained, load_calls
from .lifecycle import RUNNING, STARTING, Action, ReportedStatus, controlled, ended

_END_SECONDS = 10.0


class Dispatcher(Protocol):
    """The part of Windows that a service's process talks to."""

    def dispatch(self, main: Callable[[], None], handle: Callable[[int], int]) -> None:
        """Calls `main` in another thread and `handle` for each control; returns when the service has stopped.

        Raises WindowsServiceError when this process was not started as a service.
        """

    def report(self, status: ReportedStatus) -> None:
        """Reports a status. Any thread, once `main` was called."""


class ServiceProcess:
    """Reports the states of the publisher to Windows, and hands it what Windows asks for.

    The main thread enters and leaves the block; `started` may be called inside, by any thread.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._thread = threading.Thread(target=self._dispatch, name="service", daemon=True)
        self._failure: WindowsServiceError | None = None
        self._called = threading.Event()
        self._over = threading.Event()
        # Held while a status is chosen and reported, so that they arrive in the order of the states.
        self._lock = threading.Lock()
        self._status = STARTING
        self._actions: dict[Action, Callable[[], None]] = {}

    def __enter__(self) -> ServiceProcess:
        self._thread.start()
        self._called.wait()
        if self._failure:
            self._over.set()
            raise self._failure
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._report(ended(_exit_status(error)))
        self._over.set()
        self._thread.join(_END_SECONDS)

    def started(self, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """Reports that the publisher runs; from now on Windows may stop and reload it."""
        self._actions = {"stop": stop, "reload": reload}
        self._report(RUNNING)

    def _dispatch(self) -> None:
        try:
            self._dispatcher.dispatch(self._main, self._control)
        except WindowsServiceError as error:
            self._failure = error
        finally:
            self._called.set()

    def _main(self) -> None:
        try:
            self._report(STARTING)
        except WindowsServiceError as error:
            self._failure = error
        self._called.set()
        self._over.wait()

    def _control(self, control: int) -> int:
        with self._lock:
            status, action, answer = controlled(self._status, control)
            if status != self._status:
                self._status = status
                self._dispatcher.report(status)
        if action:
            self._actions[action]()
        return answer

    def _report(self, status: ReportedStatus) -> None:
        with self._lock:
            self._status = status
            self._dispatcher.report(status)


def run_as_service(name: str, config: Path, state_dir: Path) -> None:
    """Runs the publisher as the service of this name until Windows stops it; raises PublisherError as `run_service`.

    Relative paths in the configuration are in the state folder: Windows starts a service in System32.
    """
    with explained(f"the service {name!r} cannot run"):
        process = ServiceProcess(WindowsDispatcher(name, load_calls()))
    with process:
        with _logged(state_dir):
            # Imported here: Windows waits for the first status for 30 s, and a disk may be slow while Windows starts.
            from ..config.locations import Locations
            from ..service.run import run_service

        if state_dir.is_dir():
            os.chdir(state_dir)
        run_service(config, {}, Locations.of_service(state_dir), process.started)


@contextmanager
def _logged(state_dir: Path) -> Iterator[None]:
    """Logs why a package cannot be imported, as after an update that failed: nobody sees its standard error."""
    try:
        yield
    except ImportError as error:
        with suppress(OSError), closing(LogFile(state_dir / LOG_NAME)) as log:
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} error   {error}: install publisher again\n")
        raise


def _exit_status(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 2 if isinstance(error, ConfigurationError) else 1


class WindowsDispatcher:
    """The dispatcher of this Windows, for one service in a process of its own."""

    def __init__(self, name: str, calls: WindowsCalls) -> None:
        self._name = name
        self._calls = calls
        self._handle: Any = None
        # Kept as long as Windows may call them.
        self._callbacks: list[Any] = []

    def dispatch(self, main: Callable[[], None], handle: Callable[[int], int]) -> None:
        """As the protocol has it."""
        handler = _handler_of(handle)

        def service_main(_count: int, _arguments: object) -> None:
            with suppress(WindowsServiceError):  # without a handle, the first report fails and ends the process
                self._handle = self._calls("RegisterServiceCtrlHandlerExW", self._name, handler, None)
            main()

        entry = _service_main_of(service_main)
        self._callbacks += [handler, entry]
        table = (ServiceTableEntry * 2)(ServiceTableEntry(self._name, ctypes.cast(entry, ctypes.c_void_p)))
        self._calls("StartServiceCtrlDispatcherW", table)

    def report(self, status: ReportedStatus) -> None:
        """As the protocol has it."""
        structure = ServiceStatusStructure(
            SERVICE_WIN32_OWN_PROCESS, status.state, status.accepted, status.exit_code, status.specific_exit_code,
            status.checkpoint, status.wait_hint,
        )  # fmt: skip
        self._calls("SetServiceStatus", self._handle, ctypes.byref(structure))


def _handler_of(handle: Callable[[int], int]) -> Any:
    """Returns an LPHANDLER_FUNCTION_EX."""
    prototype = _prototype(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)
    return prototype(lambda control, _event, _data, _context: handle(control))


def _service_main_of(main: Callable[[int, object], None]) -> Any:
    """Returns an LPSERVICE_MAIN_FUNCTIONW."""
    return _prototype(None, ctypes.c_uint32, ctypes.c_void_p)(main)


def _prototype(result: Any, *arguments: Any) -> Any:
    if sys.platform == "win32":
        return ctypes.WINFUNCTYPE(result, *arguments)
    return ctypes.CFUNCTYPE(result, *arguments)
