"""The filter of a sink: the events as a sink gets them to which only some rows are known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import Added, Cause, Change, Changed, Deleted, Event, Interface, IpInterface, NotificationType, Settled
from ..filters import EventFilter
from ..kinds import kinds_of

_CLASSES: Mapping[NotificationType, type[Event]] = {
    "add_instance": Added,
    "parameter_notification": Changed,
    "delete_instance": Deleted,
}


def seen_through(only: EventFilter, event: Event) -> Event | None:
    """Returns the event for a sink that knows the rows that pass; `None` when it is about another row.

    A row that is renamed out of the filter is deleted for the sink, in its last state under the old alias; one that is
    renamed into it is added. Whether a row passed before follows from the event alone, so nothing is kept of rows.
    """
    if event.luid is None or event.family is None or event.interface is None:
        return event
    alias = event.interface.alias
    passes = only.passes(alias, event.luid, event.family)
    renamed = event.changed.get("interface.alias")
    if renamed is None:
        return event if passes else None
    passed = only.passes(str(renamed.before), event.luid, event.family)
    if passed == passes:
        return event if passes else None
    if passes:
        return remade(event, "add_instance", {})
    before = event.interface.model_copy(update={"alias": str(renamed.before)})
    return remade(event, "delete_instance", {}, interface=before)


def remade(
    event: Event,
    notification_type: NotificationType,
    changed: Mapping[str, Change],
    *,
    cause: Cause | None = None,
    interface: Interface | None = None,
    settled: Settled | None = None,
) -> Event:
    """Returns the event, with its id, as another that leads to the same state of its row."""
    values: dict[str, Any] = {name: getattr(event, name) for name in Event.model_fields}
    values |= {"notification_type": notification_type, "changed": dict(changed), "settled": settled}
    values["cause"] = cause or event.cause
    values["interface"] = interface or event.interface
    row = IpInterface(**{name: values[name] for name in IpInterface.model_fields})
    values["kinds"] = kinds_of(notification_type, row, changed)
    return _CLASSES[notification_type](**values)
