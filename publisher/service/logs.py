"""The log: readable lines on a terminal, JSON elsewhere, on one stream that is handed in. Secrets never."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pydantic import BaseModel, SecretBytes, SecretStr


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Let an import in here do without this module, as if it were not installed, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what import takes for "not there"
    try:
        yield
    finally:
        del sys.modules[module]


# structlog imports rich where it is installed, for tracebacks that this log does not draw. It costs 50 ms at start
# and 3.5 MB for as long as the service runs; with rich gone it uses its plain ones.
with _without("rich"):
    import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

MASK = "***"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secrets?$|token$|api_?key$|authorization$|credentials?$|private_key$", re.IGNORECASE
)
# user:password@ of a URL, and a query's parameters that carry what only the two ends should know.
_USER_INFO = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_PARAMETER = re.compile(r"([?&](?:[\w-]*(?:token|secret|password|key)|sig|signature)=)[^&#\s\"']+", re.IGNORECASE)


class Secrets:
    """Keeps secrets out of the log: those it was told of, members named like one, and passwords in URLs. Any thread."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def learn(self, models: Iterable[BaseModel]) -> None:
        """Mask every SecretStr and SecretBytes of these models from now on, wherever it turns up in a text."""
        found = {secret for model in models for secret in _secrets_in(model) if len(secret) >= 4}
        # Longest first: one may be part of another.
        self._known = tuple(sorted(found.union(self._known), key=len, reverse=True))

    def __call__(self, _: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {name: self._masked(name, value) for name, value in event.items()}

    def _masked(self, name: object, value: Any) -> Any:
        match value:
            case None | bool() | int() | float():
                return value
            case _ if isinstance(name, str) and _SECRET_NAME.search(name):
                return MASK
            case str():
                return self.mask(value)
            case Mapping():
                return {key: self._masked(key, inner) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._masked("", inner) for inner in value]
            case _:
                return self.mask(str(value))

    def mask(self, text: str) -> str:
        """The text without what must not be read."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        return _PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1:{MASK}@", text))


def _secrets_in(value: object) -> Iterable[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="replace")
        case BaseModel():
            for inner in value.__dict__.values():
                yield from _secrets_in(inner)
        case Mapping():
            for inner in value.values():
                yield from _secrets_in(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from _secrets_in(inner)


def make_log(
    stream: TextIO,
    secrets: Secrets,
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "console", "json"] = "auto",
    colors: bool = True,
) -> FilteringBoundLogger:
    """A logger that writes a line for each entry; `auto` is readable lines if the stream is a terminal, else JSON.

    It may be used by any thread, and never raises because nobody can read it.
    """
    readable = style == "console" or (style == "auto" and stream.isatty())
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if readable else "iso", utc=not readable),
        # Plain tracebacks: structlog's own shows the local variables, and with them passwords.
        structlog.processors.format_exc_info,
        secrets,
        *(_readable(colors and stream.isatty()) if readable else [_in_order, structlog.processors.JSONRenderer()]),
    ]
    log: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return log


def _readable(colors: bool) -> list[Processor]:
    render = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    return [_without_control_characters, render]


def _in_order(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What every entry has comes first."""
    first = ("timestamp", "level", "event")
    return {name: event[name] for name in first} | {name: event[name] for name in event if name not in first}


def _without_control_characters(_: WrappedLogger, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An interface's name may hold any bytes, escape sequences too: a terminal must show them, not obey them."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def printable(text: str) -> str:
    """The text with everything but printable characters and line breaks written out as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


class _Lines:
    """Writes each message as a line at once; the logger that structlog wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, message: str) -> None:
        # A closed terminal, a full disk behind a redirection: publishing goes on though its log cannot be written.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(message + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = exception = log = msg


class Bridge(logging.Handler):
    """Brings what libraries tell Python's own logging into our log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        tell: Callable[..., object] = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        tell(record.getMessage(), library=record.name)
