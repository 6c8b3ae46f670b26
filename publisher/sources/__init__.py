"""Sources: the contract of a source, the updates that it yields, and the choice of one by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from ..errors import SourceError
from ..events import Cause, Family, IpInterface
from ..sink import Log

if TYPE_CHECKING:
    from .luids import LuidStore

T = TypeVar("T")
Families = Literal["unspec", "inet", "inet6"]


class Upsert(NamedTuple):
    """A new or changed IP interface; `cause` is the reason why it was looked at."""

    row: IpInterface
    cause: Cause = "notification"


class Remove(NamedTuple):
    """A removed IP interface; `cause` is the reason why it was looked at."""

    luid: str
    family: Family
    cause: Cause = "notification"


class Resync(NamedTuple):
    """All IP interfaces that exist; `cause` is the reason why they were read again."""

    rows: tuple[IpInterface, ...]
    cause: Cause


Update = Upsert | Remove | Resync


@runtime_checkable
class Source(Protocol):
    """The IP interfaces of one operating system: all of them now, then every change.

    A source subscribes before it reads, so no change is lost between the two. One thread iterates `updates()`, once.
    The other methods may be called from any thread, from a signal handler and from inside the loop over `updates()`.

        for updates in source.updates():
            for update in updates:
                events = table.apply(update)
    """

    def updates(self) -> Iterator[Sequence[Update]]:
        """Yields updates in order, in lists of bounded length; blocks while nothing happens.

        The first list begins with `Resync(rows, "startup")`. An empty list is yielded after `wake()`, and at the
        latest when `SourceContext.idle_seconds` have passed without an update. Raises SourceError when the interfaces
        cannot be followed any longer.
        """
        ...

    def wake(self) -> None:
        """Makes `updates()` yield soon: an empty list if nothing happened."""
        ...

    def resync(self, cause: Cause = "reconcile") -> None:
        """Requests a `Resync(rows, cause)` of rows that are read after this call."""
        ...

    def close(self) -> None:
        """Ends `updates()`; harmless when repeated."""
        ...


@dataclass(frozen=True)
class SourceContext:
    """The settings and services that a source gets.

    `argument` is the text after the colon in `--source name:argument`. `idle_seconds` is the longest time between two
    lists of updates, without a limit when it is None.
    """

    log: Log
    luids: LuidStore
    families: Families = "unspec"
    argument: str = ""
    reconcile_seconds: float = 60.0
    receive_buffer: int = 32 * 1024 * 1024
    idle_seconds: float | None = None


class Validator:
    """Builds models from the records of an operating system, and counts and logs each record that no model accepts.

    Such a record is an error in this program. It ends no source: the row stays as it was last valid.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.invalid = 0

    def build(self, build: Callable[[], T], raw: object) -> T | None:
        """Returns what `build` returns; None when it raises ValueError, as pydantic.ValidationError is one.

        `raw` is shown in the log.
        """
        try:
            return build()
        except ValueError as error:
            self.invalid += 1
            self._log.error("internal error: the record %r does not fit the models and is left out: %s", raw, error)
            return None


SourceFactory = Callable[[SourceContext], Source]


def open_source(name: str, context: SourceContext, offered: Mapping[str, SourceFactory]) -> Source:
    """Opens the source of this name (`auto`: this system's own); raises SourceError when there is none.

    `offered` are the sources of plugins; a plugin cannot replace a built-in source.
    """
    builtin = {"linux": _open_linux, "windows": _open_windows, "recording": _open_recording}
    factories = {**offered, **builtin}
    chosen = _own_source() if name == "auto" else name
    if chosen not in factories:
        raise SourceError(f"unknown source {chosen!r}; known are: auto, {', '.join(sorted(factories))}")
    context.log.info("source: %s", chosen)
    return factories[chosen](context)


def _own_source() -> str:
    match sys.platform:
        case "linux":
            return "linux"
        case "win32":
            return "windows"
        case other:
            raise SourceError(f"publisher supports Linux and Windows, not {other!r}; a plugin may offer a source")


def _open_linux(context: SourceContext) -> Source:
    if sys.platform == "linux":
        from .linux.source import LinuxSource

        return LinuxSource(context)
    raise SourceError("the source 'linux' needs Linux; use auto")


def _open_windows(context: SourceContext) -> Source:
    from .windows.source import WindowsSource

    return WindowsSource(context)


def _open_recording(context: SourceContext) -> Source:
    from .recording import RecordingSource

    return RecordingSource(context)
