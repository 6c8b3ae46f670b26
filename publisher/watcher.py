"""Watches: from the updates of a source through the filter and the table to events."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import NamedTuple

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from .events import AnyEvent, IpInterface
from .filters import passes
from .sources import Families, Remove, Resync, Source, SourceContext, Update, Upsert, open_source
from .sources.luids import LuidStore, MemoryLuids
from .table import Table


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class InterfaceFilter:
    """The filter of interfaces: shell patterns for the alias, or LUIDs; `exclude` wins, an empty `include` is all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def keeps(self, row: IpInterface) -> bool:
        """Returns whether the interface passes."""
        return passes(row.interface.alias, row.luid, self.include, self.exclude)

    def apply(self, update: Update) -> Update:
        """Returns the update for the interfaces that pass: one that is renamed and no longer passes is removed."""
        match update:
            case Upsert(row, cause) if not self.keeps(row):
                return Remove(row.luid, row.family, cause)
            case Resync(rows, cause):
                return Resync(tuple(row for row in rows if self.keeps(row)), cause)
            case _:
                return update


class Step(NamedTuple):
    """The result of one list of updates.

    `overrun`: a resync after an overrun was among them. A subscriber then needs a snapshot too, since it is
    unknown which changes were lost.
    """

    events: list[AnyEvent]
    overrun: bool = False


def step(updates: Iterable[Update], table: Table, interfaces: InterfaceFilter) -> Step:
    """Applies a list of updates to the table, for the interfaces that the filter keeps."""
    events: list[AnyEvent] = []
    overrun = False
    for update in updates:
        events += table.apply(interfaces.apply(update))
        overrun = overrun or (isinstance(update, Resync) and update.cause == "overrun")
    return Step(events, overrun)


def batches(source: Source, table: Table, interfaces: InterfaceFilter) -> Iterator[Sequence[AnyEvent]]:
    """Yields the snapshot, then the events of each list of updates, and after an overrun the snapshot again.

    Blocks while nothing happens; ends with the source, which stays open. Raises SourceError.
    """
    updates = source.updates()
    first = next(updates, None)
    if first is None:
        return  # closed before it began
    step(first[:1], table, interfaces)
    yield table.snapshot()
    for together in chain([first[1:]], updates):
        events, overrun = step(together, table, interfaces)
        if events:
            yield events
        if overrun:
            yield table.snapshot("overrun")


def watch(
    family: Families = "unspec",
    *,
    interfaces: InterfaceFilter = InterfaceFilter(),  # noqa: B008 - it is frozen
    source: Source | None = None,
    luids: LuidStore | None = None,
) -> Iterator[AnyEvent]:
    """Yields every IP interface as a snapshot, then every change; blocks while nothing happens.

    `source` is the one of this operating system unless given, and is closed with the iterator. `luids` keeps the LUIDs
    of interfaces on Linux over renames; without it they are those of every program on the host (docs/linux.md,
    "Identities"). Raises SourceError.

        for event in publisher.watch(family="inet"):
            print(event.notification_type, event.changed)
    """
    opened = source or _own_source(family, luids or MemoryLuids())
    with closing(opened):
        for events in batches(opened, Table(), interfaces):
            yield from events


def _own_source(family: Families, luids: LuidStore) -> Source:
    return open_source("auto", SourceContext(logging.getLogger("publisher"), luids, family), {})
