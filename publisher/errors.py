"""Errors, with one base. A message is: what happened; to which thing, with its value; what to do."""

from __future__ import annotations


class PublisherError(Exception):
    """Base of every error that publisher raises on purpose."""


# CPython's words, of threading.Thread.start: there is no class of its own for it.
_NO_THREAD = "can't start new thread"


def refusal(error: BaseException) -> str | None:
    """Returns on one line what the system refused: a file, memory, a thread; `None` for any other error."""
    match error:
        case OSError():
            thing = f" ({error.filename})" if error.filename else ""
            return f"the system refused: {error.strerror or error}{thing}"
        case MemoryError():
            return "the system refused: out of memory"
        case RuntimeError() if str(error) == _NO_THREAD:
            return "the system refused: no further thread; raise the limit of processes (ulimit -u, TasksMax=)"
        case _:
            return None


class ConfigurationError(PublisherError):
    """The configuration cannot be used; the command line ends with status 2."""


class SourceError(PublisherError):
    """The operating system's interfaces cannot be read or followed."""


class JournalError(PublisherError):
    """The journal cannot be opened, read or written."""


class JournalInUseError(JournalError):
    """Another publisher holds this journal."""


class JournalDamagedError(JournalError):
    """The journal's file is invalid; it is set aside at the next start."""


class PluginError(PublisherError):
    """A plugin is missing or does not keep the contract."""


class NetioError(PublisherError, OSError):
    """A call of `publisher.netioapi` failed; `winerror_code` is the code that Windows documents for it.

    `winerror`, which an OSError has on Windows, is the same code, on each system.
    """

    winerror_code: int = 0
    winerror: int

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.winerror_code = code
        self.winerror = self.winerror_code

    def __reduce__(self) -> tuple[type[NetioError], tuple[str, int]]:
        return type(self), (str(self), self.winerror_code)


class InvalidParameterError(NetioError):
    """ERROR_INVALID_PARAMETER: a family, handle or argument that the call does not take."""

    winerror_code = 87


class InvalidHandleError(NetioError):
    """ERROR_INVALID_HANDLE: a handle that is not, or no longer, a registration."""

    winerror_code = 6


class InterfaceNotFoundError(NetioError):
    """ERROR_FILE_NOT_FOUND: no interface has this LUID or index."""

    winerror_code = 2


class NotFoundError(NetioError):
    """ERROR_NOT_FOUND: the interface is there, but not in this address family."""

    winerror_code = 1168


class NotSupportedError(NetioError):
    """ERROR_NOT_SUPPORTED: this system, or publisher, does not do it; the message has the reason."""

    winerror_code = 50


class SystemFailureError(NetioError, SourceError):
    """ERROR_GEN_FAILURE: the kernel, or a limit of the process, refused what the call needs; 8: a thread or memory."""

    winerror_code = 31


class CancelInsideCallbackError(NetioError):
    """ERROR_POSSIBLE_DEADLOCK: a callback was about to cancel a registration, and would have waited for itself."""

    winerror_code = 1131


def described(error: BaseException) -> str:
    """Returns the text of whatever a plugin raised; with the name of its class when it was not written for people."""
    text = text_of(error)
    return text if isinstance(error, PublisherError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def text_of(value: object) -> str:
    """Returns the text of a plugin's value, also where its own `__str__` raises or returns none."""
    try:
        return str(value)
    except BaseException as error:  # noqa: BLE001 - it is a plugin's, too
        return f"(its text cannot be shown: {type(error).__name__})"
