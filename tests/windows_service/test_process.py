"""The states of the service's process, and their order in each case. The dispatcher of Windows is a fake.

The real one is in `tests/windows/service/test_windows_service.py`.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from publisher.errors import ConfigurationError, SourceError
from publisher.windows_service import process
from publisher.windows_service.advapi32 import (
    ERROR_CALL_NOT_IMPLEMENTED,
    SERVICE_CONTROL_INTERROGATE,
    SERVICE_CONTROL_PARAMCHANGE,
    SERVICE_CONTROL_PRESHUTDOWN,
    SERVICE_CONTROL_SHUTDOWN,
    SERVICE_CONTROL_STOP,
    SERVICE_START_PENDING,
    SERVICE_STOP_PENDING,
)
from publisher.windows_service.calls import WindowsServiceError
from publisher.windows_service.lifecycle import RUNNING, STARTING, STOPPING, ReportedStatus, controlled, ended
from publisher.windows_service.process import ServiceProcess, WindowsDispatcher
from tests.fixtures.command import posix_only

STOPPED = ReportedStatus(1)
STOPS = [SERVICE_CONTROL_STOP, SERVICE_CONTROL_SHUTDOWN, SERVICE_CONTROL_PRESHUTDOWN]


class FakeDispatcher:
    """Calls as Windows does: the main function in a thread, controls when the test says so."""

    def __init__(self, *, refuses: bool = False, reports: bool = True) -> None:
        self.reported: list[ReportedStatus] = []
        self._reports = reports
        self.handle: Callable[[int], int] = lambda _: -1
        self._refuses = refuses

    def dispatch(self, main: Callable[[], None], handle: Callable[[int], int]) -> None:
        if self._refuses:
            raise WindowsServiceError("it is started by Windows only", 1063)
        self.handle = handle
        thread = threading.Thread(target=main)
        thread.start()
        thread.join()

    def report(self, status: ReportedStatus) -> None:
        if not self._reports:
            raise WindowsServiceError("no handle", 6)
        self.reported.append(status)


@pytest.mark.parametrize("control", STOPS)
def test_each_request_to_stop_is_an_orderly_stop_once(control: int) -> None:
    dispatcher, asked = FakeDispatcher(), list[str]()
    with ServiceProcess(dispatcher) as running:
        running.started(lambda: asked.append("stop"), lambda: asked.append("reload"))
        assert [dispatcher.handle(number) for number in (control, *STOPS)] == [0, 0, 0, 0]
    assert asked == ["stop"], "a second stop would end the publisher at once"
    assert dispatcher.reported == [STARTING, RUNNING, STOPPING, STOPPED]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("gone"), 1),
        (ConfigurationError("wrong"), 2),
        (ZeroDivisionError(), 1),
        (SystemExit(1), 1),
        (SystemExit(0), 0),
        (SystemExit(None), 0),
        (SystemExit("text"), 1),
        (KeyboardInterrupt(), 1),
    ],
)
def test_an_end_by_an_error_has_an_exit_code_so_that_windows_restarts_it(error: BaseException, code: int) -> None:
    dispatcher = FakeDispatcher()
    with suppress(type(error)), ServiceProcess(dispatcher):
        raise error
    last = dispatcher.reported[-1]
    assert (last.exit_code, last.specific_exit_code) == ((1066, code) if code else (0, 0))
    assert last == ended(code)


def test_a_reload_and_what_is_not_known() -> None:
    dispatcher, asked = FakeDispatcher(), list[str]()
    with ServiceProcess(dispatcher) as running:
        assert dispatcher.handle(SERVICE_CONTROL_PARAMCHANGE) == 0
        running.started(lambda: asked.append("stop"), lambda: asked.append("reload"))
        assert dispatcher.handle(SERVICE_CONTROL_PARAMCHANGE) == 0
        assert dispatcher.handle(SERVICE_CONTROL_INTERROGATE) == 0
        assert dispatcher.handle(77) == ERROR_CALL_NOT_IMPLEMENTED
    assert asked == ["reload"], "before it runs there is nothing to reload"
    assert dispatcher.handle(SERVICE_CONTROL_STOP) == 0
    assert dispatcher.reported == [STARTING, RUNNING, STOPPED], "nothing is reported after the end"


def test_a_process_that_windows_did_not_start_ends_in_words() -> None:
    with (
        pytest.raises(WindowsServiceError, match="started by Windows only"),
        ServiceProcess(FakeDispatcher(refuses=True)),
    ):
        raise AssertionError("it began")


@pytest.mark.timeout(60)
def test_a_process_that_cannot_report_ends_instead_of_waiting() -> None:
    with pytest.raises(WindowsServiceError, match="no handle"), ServiceProcess(FakeDispatcher(reports=False)):
        raise AssertionError("it began")


class FakeFunctions:
    """The functions of advapi32: ServiceMain is called, and those with these names fail."""

    def __init__(self, *fail: str) -> None:
        self._fail = fail

    def __call__(self, function: str, *arguments: Any) -> int:
        if function in self._fail:
            raise WindowsServiceError(f"{function} failed", 1060)
        if function == "StartServiceCtrlDispatcherW":
            prototype = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p)
            prototype(arguments[0][0].lpServiceProc)(0, None)
        return 1


@posix_only  # the callbacks of Windows have another calling convention
def test_a_service_without_a_handle_ends_instead_of_waiting() -> None:
    fail = "RegisterServiceCtrlHandlerExW", "SetServiceStatus"
    dispatcher = WindowsDispatcher("x", FakeFunctions(*fail))  # type: ignore[arg-type]  # a fake: no Windows refuses on demand
    with pytest.raises(WindowsServiceError, match="SetServiceStatus failed"), ServiceProcess(dispatcher):
        raise AssertionError("it began")


@posix_only
def test_a_package_that_cannot_be_imported_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "load_calls", FakeFunctions)
    monkeypatch.setitem(sys.modules, "publisher.service.run", None)
    with pytest.raises(ImportError):
        process.run_as_service("x", tmp_path / "publisher.toml", tmp_path)
    assert "publisher.service.run" in (tmp_path / "publisher.log").read_text()


def test_pending_states_tell_windows_how_long_to_wait() -> None:
    assert (STARTING.state, STOPPING.state) == (SERVICE_START_PENDING, SERVICE_STOP_PENDING)
    assert min(STARTING.wait_hint, STOPPING.wait_hint) > 5_000, "an orderly stop may take 5 s"
    assert STARTING.accepted == STOPPING.accepted == STOPPED.accepted == 0
    assert all(controlled(STARTING, control) == (STARTING, None, 0) for control in STOPS)
