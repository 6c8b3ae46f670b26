"""The functions of advapi32.dll as Python calls, whose failures are errors in words."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import PublisherError
from .advapi32 import FUNCTIONS, KERNEL32, Declaration

# The codes that a user can do something about; winerror.h.
_WORDS = {
    2: "its program is not there: remove the service and install it again",
    3: "its program is not there: remove the service and install it again",
    5: "access is denied: run the terminal as administrator",
    # ERROR_INVALID_OWNER: a folder cannot be given to Administrators by somebody else.
    1307: "access is denied: run the terminal as administrator",
    1053: "it did not answer in time: look at its log and at the event log of Windows",
    1056: "it runs already",
    1057: "its account is not known to this Windows",
    1058: "it is disabled: choose another start type in services.msc",
    1060: "it is not installed: publisher service install",
    1061: "it cannot do that now, as it is starting or stopping: try again in a moment",
    1062: "it does not run",
    1063: "it is started by Windows only: publisher service start",
    1069: "its account cannot log on: remove the service and install it again",
    1072: "it is marked for deletion: close services.msc, the Task Manager and the event viewer, or restart Windows",
    1073: "it is installed already: publisher service remove",
    1078: "another service has its display name: give this one another --name",
}


class WindowsServiceError(PublisherError):
    """A service of Windows cannot be installed, controlled or run; `code` is the error code of Windows, or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class WindowsCalls:
    """The functions that are declared in `advapi32`. Any thread may call. `load_calls()` makes one."""

    def __init__(self, advapi32: Any, kernel32: Any, last_error: Callable[[], int]) -> None:
        self._functions = {name: _declared(advapi32, name, types) for name, types in FUNCTIONS.items()}
        self._functions |= {name: _declared(kernel32, name, types) for name, types in KERNEL32.items()}
        self._last_error = last_error

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Returns the function's result, which is true; raises WindowsServiceError with the code when it is not."""
        result = self._functions[function](*arguments)
        if not result:
            raise failed(function, self._last_error())
        return result

    def code(self, function: str, *arguments: Any) -> None:
        """Calls a function whose result is an error code; raises WindowsServiceError unless that is 0."""
        if code := self._functions[function](*arguments):
            raise failed(function, code)

    def free(self, pointer: ctypes.c_void_p) -> None:
        """Frees what a function allocated: LocalFree, whose result is NULL."""
        self._functions["LocalFree"](pointer)


def load_calls() -> WindowsCalls:
    """Loads the libraries of this Windows; raises WindowsServiceError on another system."""
    if sys.platform != "win32":
        raise WindowsServiceError(
            "publisher service is for Windows: on Linux, systemd runs the publisher with the unit "
            "compose/interface-publisher.service (docs/operation.md)"
        )
    advapi32, kernel32 = (ctypes.WinDLL(name, use_last_error=True) for name in ("advapi32", "kernel32"))
    return WindowsCalls(advapi32, kernel32, ctypes.get_last_error)


def failed(function: str, code: int) -> WindowsServiceError:
    """Returns the error for a code: in our words with the remedy, or in those of Windows."""
    return WindowsServiceError(f"{_WORDS.get(code) or _text_of_windows(code)} (Windows error {code}, {function})", code)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Puts what could not be done before the errors of the block: "the service 'x' cannot be started"."""
    try:
        yield
    except WindowsServiceError as error:
        raise WindowsServiceError(f"{what}: {error}", error.code) from None


def _text_of_windows(code: int) -> str:
    if sys.platform != "win32":
        return "it failed"
    return ctypes.FormatError(code).strip().rstrip(".")


def _declared(library: Any, name: str, types: Declaration) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(library, name)
    function.restype, function.argtypes = types.restype, types.argtypes  # type: ignore[attr-defined]  # of ctypes
    return function
