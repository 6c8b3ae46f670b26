"""Waiting for a service's states, with a limit. The functions of advapi32 are a fake: no Windows hangs on demand.

The real ones are called in `tests/windows/service/test_windows_service.py`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from publisher.windows_service import manager
from publisher.windows_service.advapi32 import (
    SERVICE_RUNNING,
    SERVICE_START_PENDING,
    SERVICE_STOP_PENDING,
    SERVICE_STOPPED,
    ServiceStatusProcess,
)
from publisher.windows_service.calls import WindowsServiceError, failed
from publisher.windows_service.manager import ServiceState, WindowsService


class FakeCalls:
    """Answers each function with a handle, and the state with the next of a row, the last one again and again."""

    def __init__(self, *states: int, fails: dict[str, int] | None = None, exit_code: int = 0) -> None:
        self.called: list[str] = []
        self.open = 0
        self._states: Iterator[int] = iter(states)
        self._state = SERVICE_STOPPED
        self._fails = fails or {}
        self._exit_code = exit_code

    def __call__(self, function: str, *arguments: Any) -> int:
        self.called.append(function)
        if code := self._fails.get(function):
            raise failed(function, code)
        self.open += function.startswith(("Open", "Create")) - (function == "CloseServiceHandle")
        if function == "QueryServiceStatusEx":
            self._state = next(self._states, self._state)
            answer = ctypes.cast(arguments[2], ctypes.POINTER(ServiceStatusProcess)).contents
            answer.dwCurrentState, answer.dwProcessId = self._state, 7
            answer.dwWin32ExitCode, answer.dwServiceSpecificExitCode = (
                (1066, self._exit_code) if self._exit_code else (0, 0)
            )
        return 1


def service(*states: int, **options: Any) -> tuple[WindowsService, FakeCalls]:
    calls = FakeCalls(*states, **options)
    return WindowsService("x", calls), calls  # type: ignore[arg-type]  # a fake


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "_POLL_SECONDS", 0)


def test_a_start_waits_until_it_runs() -> None:
    one, calls = service(SERVICE_START_PENDING, SERVICE_START_PENDING, SERVICE_RUNNING)
    assert one.start().text == "running, process 7"
    assert (calls.called.count("QueryServiceStatusEx"), calls.open) == (3, 0)


@pytest.mark.parametrize(
    ("action", "limit", "state", "words"),
    [
        ("start", "_START_SECONDS", SERVICE_START_PENDING, "cannot be started: after 0 s it is still starting"),
        ("stop", "_STOP_SECONDS", SERVICE_STOP_PENDING, "cannot be stopped: after 0 s it is still stopping"),
        ("remove", "_STOP_SECONDS", SERVICE_STOP_PENDING, "cannot be removed: after 0 s it is still stopping"),
    ],
)
def test_a_wait_has_a_limit(monkeypatch: pytest.MonkeyPatch, action: str, limit: str, state: int, words: str) -> None:
    monkeypatch.setattr(manager, limit, 0)
    one, calls = service(state)
    with pytest.raises(WindowsServiceError, match=f"the service 'x' {words}"):
        getattr(one, action)()
    assert calls.open == 0, "each handle is closed"
    assert "DeleteService" not in calls.called


def test_a_service_that_ends_while_it_starts_is_an_error_with_its_status() -> None:
    one, _ = service(SERVICE_START_PENDING, SERVICE_STOPPED, exit_code=2)
    with pytest.raises(WindowsServiceError, match="it ended at once with status 2"):
        one.start()


@pytest.mark.parametrize(
    ("stopped", "error"), [(1062, None), (5, "access is denied: run the terminal as administrator")]
)
def test_what_does_not_run_is_removed_at_once(stopped: int, error: str | None) -> None:
    one, calls = service(SERVICE_STOPPED, fails={"ControlService": stopped})
    if error is None:
        one.remove()
    else:
        with pytest.raises(WindowsServiceError, match=error):
            one.remove()
    assert ("DeleteService" in calls.called) is (error is None)
    assert calls.open == 0


def test_an_installation_that_fails_half_way_leaves_no_service() -> None:
    one, calls = service(fails={"ChangeServiceConfig2W": 5})
    with pytest.raises(WindowsServiceError, match="cannot be installed: access is denied"):
        one.install('"x"')
    assert (calls.called[-3:], calls.open) == (["DeleteService", "CloseServiceHandle", "CloseServiceHandle"], 0)


def test_settings_that_this_windows_lacks_are_named() -> None:
    one, calls = service(fails={"ChangeServiceConfig2W": 124})
    assert one.install('"x"') == ["description", "delayed start", "restart after a failure", "restart after an error"]
    assert "DeleteService" not in calls.called
    assert service()[0].install('"x"') == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ServiceState(SERVICE_STOPPED, 0, 0), "stopped"),
        (ServiceState(SERVICE_STOPPED, 0, 1077), "stopped"),
        (ServiceState(SERVICE_STOPPED, 0, 1067), "stopped after a failure (1067)"),
        (ServiceState(SERVICE_STOP_PENDING, 9, 0), "stopping"),
        (ServiceState(9, 0, 0), "in state 9"),
    ],
)
def test_a_state_in_words(state: ServiceState, words: str) -> None:
    assert state.text == words
