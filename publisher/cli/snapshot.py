"""`publisher snapshot`: the IP interfaces as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..config.errors import nearest
from ..config.settings import Settings
from ..errors import ConfigurationError, SourceError
from ..events import Family, IpInterface
from ..filters import passes
from ..sources import Resync
from ..terminal import columns_of, echo, echo_json
from ..text import hop_text
from .host import opened_source
from .tables import print_table


def show_snapshot(settings: Settings, family: Family | None, interface: str | None, *, as_json: bool) -> None:
    """Prints the rows, or those of one interface, as a JSON array or as a table.

    Raises SourceError, and ConfigurationError for an interface that is not there.
    """
    there = read_rows(settings, family)
    rows = [row for row in there if settings.filter.keeps(row)]
    if not rows and (remark := nothing_passes(settings.filter, "the configuration's filter", there)):
        echo(f"publisher: {remark}", err=True)
    if interface is not None:
        rows = [row for row in rows if passes(row.interface.alias, row.luid, (interface,), ())]
        if not rows:
            raise ConfigurationError(f"there is no interface {interface!r}{_choice(there, interface)}")
    if as_json:
        echo_json([as_state(row) for row in rows])
    else:
        print_table(_COLUMNS, map(_cells, rows), right={1, 6, 7}, wrapped={8, 9}, dispensable=_DISPENSABLE)


def read_rows(settings: Settings, family: Family | None = None) -> list[IpInterface]:
    """Returns the rows of all interfaces, sorted by LUID and family; raises SourceError."""
    with opened_source(settings, family) as source:
        first = next(source.updates(), ())
    match first and first[0]:
        case Resync(rows):
            return sorted((row for row in rows if family in (None, row.family)), key=lambda row: row.key)
        case _:
            raise SourceError(f"the source {settings.source_name!r} did not begin with all IP interfaces")


class RowFilter(Protocol):
    """A filter of interfaces, of the configuration or of a sink."""

    def keeps(self, row: IpInterface) -> bool:
        """Returns whether the row passes."""
        ...


def nothing_passes(kept: RowFilter, name: str, there: Sequence[IpInterface]) -> str | None:
    """Returns a remark about a filter that no interface passes now; `None` where one does, or none is there."""
    if not there or any(kept.keeps(row) for row in there):
        return None
    return f"no interface passes {name} now{_choice(there)}"


def _choice(there: Sequence[IpInterface], wanted: str = "") -> str:
    """Returns the end of a sentence: the names that there are, and which of them is near."""
    names = sorted({row.interface.alias for row in there})
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"; there are: {', '.join(names[:_MOST_NAMES])}{more}{nearest(wanted, names) if wanted else ''}"


def as_state(row: IpInterface) -> dict[str, object]:
    """Returns the row as JSON values, with the members of a state on MQTT."""
    return {"luid": row.luid, "family": row.family, **row.model_dump(mode="json")}


_MOST_NAMES = 10
_COLUMNS = (
    *("Interface", "Index", "LUID", "Family", "State", "Connected", "MTU", "Metric"),
    *("Addresses", "Default route"),
)

# What a narrow terminal has no place for, the first to be left out first: LUID, index, metric, connected, MTU.
_DISPENSABLE = (2, 1, 7, 5, 6)


def _cells(row: IpInterface) -> tuple[str, ...]:
    texts = columns_of(row.row, row.interface, row.addresses)
    known = (texts.status, texts.connected, texts.mtu, texts.metric)
    return (
        texts.name,
        str(row.row.interface_index),
        row.luid,
        row.family,
        *(text or "-" for text in known),
        ", ".join(texts.addresses),
        ", ".join(hop_text(route.next_hop) for route in row.default_routes) or "-",
    )
