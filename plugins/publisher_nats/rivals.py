"""Another publisher of the same node: how it is noticed, and how long it is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from publisher.untrusted import UntrustedError, parse_model

from .errors import RivalError
from .names import INSTANCE, NodeSubjects, status_bucket, stream_of
from .place import last_message

if TYPE_CHECKING:
    from .connection import NatsConnection
    from .options import NatsOptions
    from .place import Place


class _LeaseHolder(BaseModel):
    """As much of a node's status as says who holds the lease."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    online: bool
    epoch: str = ""


class Rivals:
    """Looks for another publisher of the node. One loop.

    It is there while its lease lives. One that begins beside it, with a journal of its own, waits: its snapshot would
    delete the other's rows. With the same journal (epoch) it is this publisher before a restart, or a copy of the host:
    both begin, the first write of one is refused by the guard, and that one waits from then on.
    """

    def __init__(self, options: NatsOptions, node: str, epoch: str, instance: str) -> None:
        self._options = options
        self._node, self._epoch, self._instance = node, epoch, instance
        self._subjects = NodeSubjects(options.bucket, node)
        self.is_fenced = False
        """True from the moment at which another publisher wrote, until that one has ended."""

    def judge(self, before: Place, now: Place) -> None:
        """Compares the place that this sink left with the one that is there now, and notes if another wrote.

        A bucket that was put back to an older copy, or made anew, has a lower sequence: that is no other publisher.
        """
        if now.last > before.last and now.instance not in ("", self._instance, before.instance):
            self.is_fenced = True

    async def give_way(self, connection: NatsConnection) -> None:
        """Raises RivalError while another publisher is to be waited for; raises NatsUnavailable or NatsRefused."""
        other = await self._status(connection)
        if other is not None and (self.is_fenced or other.epoch != self._epoch):
            raise RivalError(
                f"another publisher uses the node name {self._node} in {self._options.place} (its journal is "
                f"{other.epoch or 'not known'}, this one's {self._epoch}): stop it, or give one of them another name"
                f" (node = ...); if it has ended, this one goes on when its lease is over"
            )
        self.is_fenced = False

    async def _status(self, connection: NatsConnection) -> _LeaseHolder | None:
        """Returns the status of another sink that is online; None when there is none."""
        stream = stream_of(status_bucket(self._options.bucket))
        message = await last_message(connection, stream, self._subjects.status)
        if message is None or message.headers.get(INSTANCE) == self._instance:
            return None
        try:
            status = parse_model(message.value, _LeaseHolder, max_bytes=4096)
        except UntrustedError:  # the server's marker of a lease that ran out has no value
            return None
        return status if status.online else None
