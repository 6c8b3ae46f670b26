"""`publisher snapshot`: the IP interfaces as they are now."""

from __future__ import annotations

from ..config.settings import Settings
from ..errors import SourceError
from ..events import Family, IpInterface
from ..sources import Resync
from ..terminal import columns_of, echo_json
from ..text import hop_text
from .host import opened_source
from .tables import print_table


def show_snapshot(settings: Settings, family: Family | None, *, as_json: bool) -> None:
    """Prints the rows as a JSON array or as a table; raises SourceError."""
    rows = read_rows(settings, family)
    if as_json:
        echo_json([as_state(row) for row in rows])
    else:
        print_table(_COLUMNS, map(_cells, rows), right={1, 6, 7}, wrapped={8, 9})


def read_rows(settings: Settings, family: Family | None) -> list[IpInterface]:
    """Returns the rows of the interfaces that pass the filter, sorted by LUID and family; raises SourceError."""
    with opened_source(settings, family) as source:
        first = next(source.updates(), ())
    match first and settings.filter.apply(first[0]):
        case Resync(rows):
            return sorted((row for row in rows if family in (None, row.family)), key=lambda row: row.key)
        case _:
            raise SourceError(f"the source {settings.source_name!r} did not begin with all IP interfaces")


def as_state(row: IpInterface) -> dict[str, object]:
    """Returns the row as JSON values, with the members of a state on MQTT."""
    return {"luid": row.luid, "family": row.family, **row.model_dump(mode="json")}


_COLUMNS = (
    *("Interface", "Index", "LUID", "Family", "State", "Connected", "MTU", "Metric"),
    *("Addresses", "Default route"),
)


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
