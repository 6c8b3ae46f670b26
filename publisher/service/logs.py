"""The log of the command: lines on a terminal and in the log file, JSON elsewhere, priorities for systemd's journal.

Secrets are masked.

Everything logs to `logging.getLogger("publisher")`, which is silent until a command calls `logging_to`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from ..config.settings import LogFormat, LogLevel
from ..secret_options import MASK, secrets_in
from ..terminal import printable
from .log_file import LogFile

if TYPE_CHECKING:
    from pydantic import BaseModel

_LOGGER = logging.getLogger("publisher")
# syslog's numbers, as sd-daemon(3) wants them before each line.
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_COLOURS = {"DEBUG": "\x1b[2m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
# user:password@ in a URL, and parameters of a query that carry a credential.
_USER_INFO = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_PARAMETER = re.compile(r"([?&](?:[\w-]*(?:token|secret|password|key)|sig|signature)=)[^&#\s\"']+", re.IGNORECASE)


class Secrets:
    """Masks secrets in a text: those of the sinks' options, and passwords and tokens in URLs. Any thread."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def learn(self, models: Iterable[BaseModel]) -> None:
        """Masks every secret in these models from now on: `publisher.secret_options` finds them."""
        found = {secret for model in models for secret in secrets_in(model)}
        # Longest first: one may be part of another.
        self._known = tuple(sorted(found.union(self._known), key=len, reverse=True))

    def mask(self, text: str) -> str:
        """Returns the text with `***` in place of each secret."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        return _PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1:{MASK}@", text))


@contextlib.contextmanager
def logging_to(
    stream: TextIO | LogFile | None,
    secrets: Secrets,
    *,
    level: LogLevel = "info",
    style: LogFormat = "auto",
    colours: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Writes the log of this process to a stream until the block ends: one line for each entry.

    `auto` is readable lines on a terminal and in a log file, else JSON. The log of libraries is included from warnings
    on, as are Python's own warnings. Nothing is raised when the stream cannot be written. Any thread may log; one
    enters this.
    """
    if stream is None:  # as under pythonw.exe
        yield
        return
    formatter = _formatter(stream, secrets, style, colours=colours)
    handler = _Handler(stream)
    handler.setFormatter(PriorityFormatter(formatter) if is_journal(stream, environment or {}) else formatter)
    root, number = logging.getLogger(), getattr(logging, level.upper())
    before = root.level, _LOGGER.level
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING))
    _LOGGER.setLevel(number)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before[0])
        _LOGGER.setLevel(before[1])


def _formatter(stream: TextIO | LogFile, secrets: Secrets, style: LogFormat, *, colours: bool) -> logging.Formatter:
    terminal, file = _is_terminal(stream), isinstance(stream, LogFile)
    if style == "console" or (style == "auto" and (terminal or file)):
        return ReadableFormatter(
            secrets, colours=colours and terminal, clock="%Y-%m-%d %H:%M:%S" if file else "%H:%M:%S"
        )
    return JsonFormatter(secrets)


def is_journal(stream: TextIO | LogFile, environment: Mapping[str, str]) -> bool:
    """Returns whether systemd connected the stream to its journal: JOURNAL_STREAM, systemd.exec(5)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class ReadableFormatter(logging.Formatter):
    """Formats an entry for people: time, level, message, and the traceback below it."""

    def __init__(self, secrets: Secrets, *, colours: bool, clock: str = "%H:%M:%S") -> None:
        super().__init__()
        self._secrets = secrets
        self._colours = colours
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        parts = [_named(record) + _message(record), *self._traces(record)]
        # An interface's name may hold any bytes: none commands the terminal, and, since further lines are indented,
        # none looks like the beginning of an entry.
        text = printable(self._secrets.mask("\n".join(parts)), keep="\n").replace("\n", "\n    ")
        return f"{self.formatTime(record, self._clock)} {self._level(record.levelname)} {text}"

    def _traces(self, record: logging.LogRecord) -> Iterator[str]:
        # The standard library's traceback shows no local variables, which may hold passwords.
        if record.exc_info:
            yield self.formatException(record.exc_info)
        if record.stack_info:
            yield record.stack_info

    def _level(self, name: str) -> str:
        padded = f"{printable(name.lower()):7}"
        return f"{_COLOURS[name]}{padded}\x1b[0m" if self._colours and name in _COLOURS else padded


class JsonFormatter(logging.Formatter):
    """Formats an entry as a JSON object on one line."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        entry = {
            "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "sink": getattr(record, "sink", None),
            "message": self._secrets.mask(_message(record)),
            "exception": record.exc_info and self._secrets.mask(self.formatException(record.exc_info)),
            "stack": record.stack_info,
        }
        # JSON leaves DEL as it is.
        return json.dumps({name: text for name, text in entry.items() if text}).replace("\x7f", "\\u007f")


class PriorityFormatter(logging.Formatter):
    """Puts the priority before each line of another formatter, as systemd's journal reads it: sd-daemon(3)."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return prefix + self._formatter.format(record).replace("\n", f"\n{prefix}")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - an argument may be an object of a plugin, whose __str__ raises
        return f"{record.msg} (its arguments cannot be shown: {type(error).__name__})"


def _named(record: logging.LogRecord) -> str:
    """Returns the name of a library's logger, to be put before its message."""
    ours = record.name == _LOGGER.name or record.name.startswith(f"{_LOGGER.name}.")
    return "" if ours else f"{record.name}: "


def _is_terminal(stream: TextIO | LogFile) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


class _Handler(logging.StreamHandler[Any]):
    """Writes each entry at once, and drops it when the stream cannot be written: publishing goes on without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Does nothing: the standard answer is a traceback on standard error, with arguments that may be secret."""
