"""One service in the database of Windows: its installation, start, stop, state and removal."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .advapi32 import (
    DELETE,
    ERROR_INVALID_LEVEL,
    ERROR_SERVICE_NOT_ACTIVE,
    ERROR_SERVICE_SPECIFIC_ERROR,
    SC_ACTION_RESTART,
    SC_MANAGER_CONNECT,
    SC_MANAGER_CREATE_SERVICE,
    SC_STATUS_PROCESS_INFO,
    SERVICE_AUTO_START,
    SERVICE_CHANGE_CONFIG,
    SERVICE_CONFIG_DELAYED_AUTO_START_INFO,
    SERVICE_CONFIG_DESCRIPTION,
    SERVICE_CONFIG_FAILURE_ACTIONS,
    SERVICE_CONFIG_FAILURE_ACTIONS_FLAG,
    SERVICE_CONTROL_PARAMCHANGE,
    SERVICE_CONTROL_STOP,
    SERVICE_ERROR_NORMAL,
    SERVICE_PAUSE_CONTINUE,
    SERVICE_QUERY_CONFIG,
    SERVICE_QUERY_STATUS,
    SERVICE_RUNNING,
    SERVICE_START,
    SERVICE_START_PENDING,
    SERVICE_STOP,
    SERVICE_STOP_PENDING,
    SERVICE_STOPPED,
    SERVICE_WIN32_OWN_PROCESS,
    Flag,
    QueryServiceConfig,
    ScAction,
    ServiceDescription,
    ServiceFailureActions,
    ServiceStatusProcess,
    ServiceStatusStructure,
)
from .calls import WindowsCalls, WindowsServiceError, explained

ACCOUNT = r"NT AUTHORITY\LocalService"
DESCRIPTION = "Publishes every change of every IP interface to a page, brokers, phones, webhooks, programs and files."
RESTART_SECONDS = 60
FAILURES_FORGOTTEN_SECONDS = 24 * 3600
_STATE_WORDS = {
    SERVICE_STOPPED: "stopped",
    SERVICE_START_PENDING: "starting",
    SERVICE_STOP_PENDING: "stopping",
    SERVICE_RUNNING: "running",
}
# As long as Windows waits: a start may repair a large journal; a stop delivers what is in flight, within 5 s.
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1


class ServiceState(NamedTuple):
    """The state of a service, by its number in winsvc.h; the process is 0 when there is none."""

    state: int
    process: int
    exit_code: int
    """The exit status of the last process, or an error code of Windows; 0 is an orderly end."""

    @property
    def text(self) -> str:
        """The state in one word, and how the last process ended unless that was in order."""
        word = _STATE_WORDS.get(self.state, f"in state {self.state}")
        if self.state == SERVICE_RUNNING:
            return f"{word}, process {self.process}"
        # 1077: it was never started since Windows started.
        return word if self.exit_code in (0, 1077) else f"{word} after a failure ({self.exit_code})"


def _settings() -> Iterator[tuple[str, int, ctypes.Structure]]:
    """Yields what is set besides the program: a name, the number of ChangeServiceConfig2W, and its structure."""
    restart = (ScAction * 1)(ScAction(SC_ACTION_RESTART, RESTART_SECONDS * 1000))
    yield "description", SERVICE_CONFIG_DESCRIPTION, ServiceDescription(DESCRIPTION)
    yield "delayed start", SERVICE_CONFIG_DELAYED_AUTO_START_INFO, Flag(1)
    failures = ServiceFailureActions(FAILURES_FORGOTTEN_SECONDS, None, None, len(restart), restart)
    yield "restart after a failure", SERVICE_CONFIG_FAILURE_ACTIONS, failures
    # A failure is also an orderly end with an exit code, not only the end of the process.
    yield "restart after an error", SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, Flag(1)


class WindowsService:
    """A service by its name. Each call opens what it needs; raises WindowsServiceError. Any thread."""

    def __init__(self, name: str, calls: WindowsCalls) -> None:
        self.name = name
        self._calls = calls

    def install(self, command_line: str) -> list[str]:
        """Adds it: LocalService, a delayed start with Windows, and a restart a minute after each failure.

        Returns the names of settings that this Windows lacks.
        """
        with (
            explained(f"the service {self.name!r} cannot be installed"),
            self._manager(SC_MANAGER_CREATE_SERVICE) as manager,
        ):
            access = SERVICE_CHANGE_CONFIG | SERVICE_START | DELETE
            service = self._calls(
                "CreateServiceW", manager, self.name, f"Interface publisher ({self.name})", access,
                SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL,
                command_line, None, None, None, ACCOUNT, None,
            )  # fmt: skip
            with self._closing(service):
                try:
                    return [name for name, level, value in _settings() if not self._configure(service, level, value)]
                except WindowsServiceError:
                    self._calls("DeleteService", service)
                    raise

    def start(self) -> ServiceState:
        """Starts it, and returns its state once it runs; raises WindowsServiceError when it ends before that."""
        with explained(f"the service {self.name!r} cannot be started"), self._opened(SERVICE_START) as service:
            self._calls("StartServiceW", service, 0, None)
            state = self._wait(service, SERVICE_RUNNING, _START_SECONDS, SERVICE_STOPPED)
            if state.state == SERVICE_STOPPED:
                raise WindowsServiceError(f"it ended at once with status {state.exit_code}", state.exit_code)
            return state

    def stop(self) -> None:
        """Stops it, and returns once it has stopped."""
        with explained(f"the service {self.name!r} cannot be stopped"), self._opened(SERVICE_STOP) as service:
            self._control(service, SERVICE_CONTROL_STOP)
            self._wait(service, SERVICE_STOPPED, _STOP_SECONDS)

    def reload(self) -> None:
        """Makes the running service read its configuration again; its log says whether it could."""
        with (
            explained(f"the service {self.name!r} cannot be reloaded"),
            self._opened(SERVICE_PAUSE_CONTINUE) as service,
        ):
            self._control(service, SERVICE_CONTROL_PARAMCHANGE)

    def remove(self) -> None:
        """Stops it if it runs, and removes it; returns once it is gone."""
        with explained(f"the service {self.name!r} cannot be removed"), self._opened(SERVICE_STOP | DELETE) as service:
            try:
                self._control(service, SERVICE_CONTROL_STOP)
            except WindowsServiceError as error:
                if error.code != ERROR_SERVICE_NOT_ACTIVE:
                    raise
            self._wait(service, SERVICE_STOPPED, _STOP_SECONDS)
            self._calls("DeleteService", service)

    def state(self) -> ServiceState:
        """Returns its state."""
        with explained(f"the service {self.name!r} has no state"), self._opened() as service:
            return self._state(service)

    def command_line(self) -> str:
        """Returns the command line with which Windows starts it."""
        with explained(f"the service {self.name!r} cannot be read"), self._opened(SERVICE_QUERY_CONFIG) as service:
            answer, size = (
                ctypes.create_string_buffer(8192),
                ctypes.c_uint32(),
            )  # 8 KiB is the most: QueryServiceConfigW
            self._calls("QueryServiceConfigW", service, answer, len(answer), ctypes.byref(size))
            return str(QueryServiceConfig.from_buffer(answer).lpBinaryPathName or "")

    def _configure(self, service: int, level: int, setting: ctypes.Structure) -> bool:
        """Returns whether this Windows has such a setting: Wine 8 lacks two that Windows has since Vista."""
        try:
            self._calls("ChangeServiceConfig2W", service, level, ctypes.byref(setting))
        except WindowsServiceError as error:
            if error.code != ERROR_INVALID_LEVEL:
                raise
            return False
        return True

    def _control(self, service: int, control: int) -> None:
        self._calls("ControlService", service, control, ctypes.byref(ServiceStatusStructure()))

    def _wait(self, service: int, wanted: int, seconds: float, end: int | None = None) -> ServiceState:
        """Returns the state once it is the wanted one or the end; raises WindowsServiceError after so many seconds."""
        deadline = time.monotonic() + seconds
        while (state := self._state(service)).state not in (wanted, end):
            if time.monotonic() > deadline:
                raise WindowsServiceError(f"after {seconds:.0f} s it is still {state.text}: look at its log")
            time.sleep(_POLL_SECONDS)
        return state

    def _state(self, service: int) -> ServiceState:
        answer, size = ServiceStatusProcess(), ctypes.c_uint32()
        self._calls(
            "QueryServiceStatusEx", service, SC_STATUS_PROCESS_INFO, ctypes.byref(answer), ctypes.sizeof(answer),
            ctypes.byref(size),
        )  # fmt: skip
        specific = answer.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR
        code = answer.dwServiceSpecificExitCode if specific else answer.dwWin32ExitCode
        return ServiceState(answer.dwCurrentState, answer.dwProcessId, code)

    @contextmanager
    def _opened(self, access: int = 0) -> Iterator[Any]:
        with (
            self._manager() as manager,
            self._closing(self._calls("OpenServiceW", manager, self.name, access | SERVICE_QUERY_STATUS)) as service,
        ):
            yield service

    @contextmanager
    def _manager(self, access: int = 0) -> Iterator[Any]:
        with self._closing(self._calls("OpenSCManagerW", None, None, access | SC_MANAGER_CONNECT)) as manager:
            yield manager

    @contextmanager
    def _closing(self, handle: int) -> Iterator[int]:
        try:
            yield handle
        finally:
            self._calls("CloseServiceHandle", handle)
