"""A snapshot's events, made one by one as they are asked for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar, overload

from .events import Cause, Event, IpInterface, Snapshot

R = TypeVar("R")


class Moment(NamedTuple):
    """Whose snapshot it is, and when it was taken; `seq` is the newest event's that it contains."""

    node: str
    epoch: str
    seq: int
    time: datetime


class SnapshotEvents(Sequence[Event], Generic[R]):
    """The rows as `initial_notification` events, position 0 first; the same position gives the same event each time.

    They are made on demand: with 4,000 interfaces the events of one snapshot would take 50 MB, and every sink has its
    own. `rows` may be in a compact form, from which `decode` makes a row.
    """

    def __init__(self, moment: Moment, cause: Cause, rows: Sequence[R], decode: Callable[[R], IpInterface]) -> None:
        self._moment = moment
        self._cause = cause
        self._rows = rows
        self._decode = decode
        self._id = f"{moment.epoch}-{moment.seq:016d}-{secrets.token_hex(4)}"

    @property
    def seq(self) -> int:
        """The newest event's that the snapshot contains."""
        return self._moment.seq

    def __len__(self) -> int:
        return len(self._rows) + 1

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        positions = range(len(self))[index]
        return self._event(positions) if isinstance(positions, int) else [self._event(place) for place in positions]

    def _event(self, position: int) -> Event:
        row = self._decode(self._rows[position - 1]) if position else None
        return Event(
            id=f"{self._id}-{position}",
            node=self._moment.node,
            epoch=self._moment.epoch,
            seq=self._moment.seq,
            time=self._moment.time,
            notification_type="initial_notification",
            cause=self._cause,
            luid=row.luid if row else None,
            family=row.family if row else None,
            row=row.row if row else None,
            interface=row.interface if row else None,
            addresses=row.addresses if row else (),
            snapshot=Snapshot(id=self._id, position=position, count=len(self._rows)),
        )
