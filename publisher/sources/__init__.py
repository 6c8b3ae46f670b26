"""What a source is, what it reports, and which one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

from ..errors import SourceError
from ..events import Cause, Family, IpInterface

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from .luids import LuidStore

Families = Literal["unspec", "inet", "inet6"]


class Upsert(NamedTuple):
    """An IP interface is there, like this."""

    row: IpInterface


class Remove(NamedTuple):
    """An IP interface is gone."""

    luid: str
    family: Family


class Resync(NamedTuple):
    """These are all the IP interfaces there are; `cause` says why the source read them again."""

    rows: tuple[IpInterface, ...]
    cause: Cause


Update = Upsert | Remove | Resync


@runtime_checkable
class Source(Protocol):
    """One operating system's IP interfaces: all of them now, then every change.

    A source subscribes before it reads, so nothing falls between. `updates()` is iterated by one thread, once; the
    first update is `Resync(rows, "startup")`. `reconcile()` and `close()` may be called from any thread.
    """

    def updates(self) -> Iterator[Update]:
        """Every update, blocking while nothing happens; raises SourceError if following is no longer possible."""
        ...

    def reconcile(self) -> None:
        """Ask for a `Resync(rows, "reconcile")`."""
        ...

    def close(self) -> None:
        """End `updates()`; harmless when repeated."""
        ...


@dataclass(frozen=True)
class SourceContext:
    """What a source is given. `argument` is what followed the colon in `--source name:argument`."""

    log: FilteringBoundLogger
    luids: LuidStore
    families: Families = "unspec"
    argument: str = ""
    reconcile_seconds: float = 60.0
    receive_buffer: int = 32 * 1024 * 1024


SourceFactory = Callable[[SourceContext], Source]


def open_source(name: str, context: SourceContext, offered: Mapping[str, SourceFactory]) -> Source:
    """The source of this name (`auto`: this system's own); raises SourceError when there is none.

    `offered` are the plugins' sources; the built-in names cannot be taken by a plugin.
    """
    builtin = {"linux": _open_linux, "windows": _open_windows, "replay": _open_replay}
    factories = {**offered, **builtin}
    chosen = _own_source() if name == "auto" else name
    if chosen not in factories:
        raise SourceError(f"there is no source {chosen!r}; there are: auto, {', '.join(sorted(factories))}")
    context.log.info("source chosen", source=chosen)
    return factories[chosen](context)


def _own_source() -> str:
    match sys.platform:
        case "linux":
            return "linux"
        case "win32":
            return "windows"
        case other:
            raise SourceError(f"publisher cannot watch IP interfaces on {other!r}: it can on Linux and on Windows")


def _open_linux(context: SourceContext) -> Source:
    if sys.platform == "linux":
        from .linux.source import LinuxSource

        return LinuxSource(context)
    raise SourceError("the source 'linux' is for Linux; leave it at auto")


def _open_windows(context: SourceContext) -> Source:
    from .windows.source import WindowsSource

    return WindowsSource(context)


def _open_replay(context: SourceContext) -> Source:
    from .recording import RecordingSource

    return RecordingSource(context)
