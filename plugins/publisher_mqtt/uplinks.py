"""The uplinks of a node: the interface that the best default route of each family goes through. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from publisher.events import Event, Family, Key
from publisher.untrusted import UntrustedError, parse_model

from .payloads import InfoUplinks, Uplink, UplinksOfFamilies

_MOST_BYTES = 1 << 14


class _BestRoute(NamedTuple):
    """An interface's best default route in one family; they sort by how good they are."""

    metric: int
    luid: str
    uplink: Uplink


class Uplinks:
    """The best default route of each row that has one. Of a snapshot all count at once, when it has come whole."""

    def __init__(self) -> None:
        self._routes: dict[Key, _BestRoute] = {}
        self._of_snapshot: dict[Key, _BestRoute] = {}
        self._before: UplinksOfFamilies | None = None

    def restore(self, info: bytes | None, epoch: str) -> None:
        """Takes those of an earlier run of this journal, which stand until the first snapshot has come whole."""
        try:
            found = parse_model(info or b"", InfoUplinks, max_bytes=_MOST_BYTES)
        except UntrustedError:
            return
        if found.epoch == epoch and not self._routes:
            self._before = found.uplinks

    def begin_snapshot(self) -> None:
        """Begins with no row."""
        self._of_snapshot = {}

    def remember_row(self, event: Event) -> None:
        """Takes a row of the snapshot."""
        _remember(self._of_snapshot, event)

    def end_snapshot(self) -> None:
        """Puts the rows of the snapshot in the place of those before."""
        self._routes, self._of_snapshot, self._before = self._of_snapshot, {}, None

    def remember(self, event: Event) -> None:
        """Takes an event of the tail."""
        _remember(self._routes, event)

    @property
    def now(self) -> UplinksOfFamilies:
        """The uplink of each family, `None` where there is none."""
        return self._before or UplinksOfFamilies(inet=self._of("inet"), inet6=self._of("inet6"))

    def _of(self, family: Family) -> Uplink | None:
        best = min((route for key, route in self._routes.items() if key.family == family), default=None)
        return None if best is None else best.uplink


def _remember(routes: dict[Key, _BestRoute], event: Event) -> None:
    key = event.key
    if key is None or event.row is None or event.interface is None:
        return
    # Linux keeps the default route of a link without a carrier, which leads nowhere.
    is_there = event.notification_type != "delete_instance" and event.row.connected is not False
    if is_there and event.default_routes:
        best = event.default_routes[0]
        uplink = Uplink(luid=key.luid, alias=event.interface.alias, next_hop=best.next_hop)
        routes[key] = _BestRoute(best.metric, key.luid, uplink)
    else:
        routes.pop(key, None)
