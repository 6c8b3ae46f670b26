"""From an operating system's updates to events: source -> filter -> table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .events import Event, IpInterface
from .sources import Remove, Resync, Source, Update, Upsert
from .table import Table


@dataclass(frozen=True)
class InterfaceFilter:
    """Which interfaces are watched: shell patterns for the alias; `exclude` wins, an empty `include` is all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def keeps(self, row: IpInterface) -> bool:
        alias = row.interface.alias
        wanted = not self.include or any(fnmatchcase(alias, pattern) for pattern in self.include)
        return wanted and not any(fnmatchcase(alias, pattern) for pattern in self.exclude)

    def apply(self, update: Update) -> Update:
        """The update as if only the wanted interfaces were there: one renamed out of the filter is removed."""
        match update:
            case Upsert(row) if not self.keeps(row):
                return Remove(row.luid, row.family)
            case Resync(rows, cause):
                return Resync(tuple(row for row in rows if self.keeps(row)), cause)
            case _:
                return update


class Watcher:
    """Iterates over the events of each update. An overrun's events are followed by the snapshot, which heals the gap."""

    def __init__(self, source: Source, table: Table, interfaces: InterfaceFilter) -> None:
        self.source = source
        self.table = table
        self.interfaces = interfaces

    def __iter__(self) -> Iterator[list[Event]]:
        for update in self.source.updates():
            yield self.table.apply(self.interfaces.apply(update))
