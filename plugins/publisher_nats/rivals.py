"""Another publisher of the same node: how it is noticed, and how long it is waited for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .errors import RivalError
from .status import LeaseStatus, StatusKey

if TYPE_CHECKING:
    from .connection import NatsConnection
    from .options import NatsOptions
    from .place import Place


class Rivals:
    """Looks for another publisher of the node. One loop.

    It is there while its lease lives. One that begins beside it, with a journal of its own, waits: its snapshot would
    delete the other's rows. With the same journal (epoch) it is this publisher before a restart, or a copy of the host:
    both begin, the first write of one is refused by the guard, and that one waits from then on.
    """

    def __init__(self, options: NatsOptions, node: str, epoch: str, instance: str) -> None:
        self._options = options
        self._node, self._epoch, self._instance = node, epoch, instance
        self._key = StatusKey(options.bucket, node)
        self._fenced_at: float | None = None

    @property
    def is_fenced(self) -> bool:
        """True from the moment at which another publisher wrote, until that one has ended: this one writes nothing."""
        return self._fenced_at is not None

    def judge(self, before: Place, now: Place) -> None:
        """Compares the place that this sink left with the one that is there now, and notes if another wrote.

        A bucket that was put back to an older copy, or made anew, has a lower sequence: that is no other publisher.
        """
        if now.last > before.last and now.instance not in ("", self._instance):
            self.fence()

    def fence(self) -> None:
        """Notes that another publisher writes, or holds the lease."""
        self._fenced_at = time.monotonic()

    async def give_way(self, connection: NatsConnection) -> None:
        """Raises RivalError while another publisher is to be waited for; raises NatsUnavailable or NatsRefused."""
        found = await self._key.read(connection)
        status, is_own = found.status, found.instance == self._instance
        if self._is_held(status, is_own=is_own):
            epoch = "" if status is None or is_own else f" (its journal is {status.epoch}, this one's {self._epoch})"
            raise RivalError(
                f"another publisher uses the node name {self._node} in {self._options.place}{epoch}: stop it, or give "
                "one of them another name (node = ...); if it has ended, this one goes on when its lease is over"
            )
        self._fenced_at = None

    def _is_held(self, status: LeaseStatus | None, *, is_own: bool) -> bool:
        """Returns whether another publisher has the lease, or had it so short a time ago that it may be renewed."""
        if status is not None and not is_own:
            return status.online and (self.is_fenced or status.epoch != self._epoch)
        return self._fenced_at is not None and time.monotonic() - self._fenced_at < self._options.lease.total_seconds()
