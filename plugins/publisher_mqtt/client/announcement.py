"""The announcement of the node: its status and `info`, and how far the broker is. All on the sink's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from publisher import SinkContext

from ..messages import OFFLINE, ONLINE, Messages, MqttMessage
from ..retained import RetainedState
from .errors import BrokerError
from .later import Later

if TYPE_CHECKING:
    from .connection import Connection
    from .refusals import Refusal, Refusals

# `info` is published again after a quiet second. When the broker still has that very `info` after a reconnect, it has
# everything that was sent before it.
_SETTLE_SECONDS = 1.0
_REFUSED_SECONDS = 30.0


@dataclass(frozen=True)
class Mark:
    """Our `info` as the broker acknowledged it last; `newest` while nothing was published after it."""

    info: bytes
    newest: bool


class Announcement:
    """Publishes the status and `info`.

    `ready` returns the connection while the broker has every state; `failed` is called when it ends over a message.
    """

    def __init__(
        self,
        context: SinkContext,
        messages: Messages,
        retained: RetainedState,
        refusals: Refusals,
        ready: Callable[[], Connection | None],
        failed: Callable[[BrokerError], None],
    ) -> None:
        self._messages = messages
        self._retained = retained
        self._refusals = refusals
        self._ready = ready
        self._failed = failed
        self._mark: Mark | None = None
        self._is_online = False
        self._job = Later(context, self._settle)

    @property
    def is_settled(self) -> bool:
        """True while the `info` on the broker is newer than everything else that was published."""
        return self._mark is not None and self._mark.newest

    @property
    def has_info(self) -> bool:
        """True when the broker acknowledged an `info` of ours."""
        return self._mark is not None

    def forget(self) -> None:
        """Forgets what the broker has: the connection is to another one."""
        self._mark, self._is_online = None, False

    def outdated(self) -> None:
        """Notes that something else is published."""
        if self.is_settled:
            self._mark = self._mark and replace(self._mark, newest=False)

    def settle_soon(self) -> None:
        """Publishes `info` again after a quiet second, when something was published since."""
        if not self.is_settled:
            self._job.after(_SETTLE_SECONDS)

    def is_intact(self, info: bytes | None) -> bool:
        """Returns whether the broker lost nothing: it has our own `info`, which came after everything else."""
        return self._mark is not None and self._mark.newest and info == self._mark.info

    def is_replaced(self, info: bytes | None) -> bool:
        """Returns whether the broker has the `info` of another publisher in place of ours."""
        return self._mark is not None and info is not None and self._retained.instance.encode() not in info

    def online(self, connection: Connection) -> None:
        """Publishes that the node is online; the broker has its `info`. Raises BrokerError."""
        self._is_online = not self._put(connection, self._messages.status(ONLINE))

    def complete(self, connection: Connection) -> None:
        """Publishes that the node is online and that every state is there. Raises BrokerError."""
        self._put_info(connection, self._messages.status(ONLINE))

    def offline(self, connection: Connection) -> None:
        """Publishes that the node is offline. Raises BrokerError."""
        connection.put(self._messages.info(self._retained.info()))
        connection.put(self._messages.status(OFFLINE))
        connection.flush()

    def _settle(self) -> None:
        """Publishes `info` again, with how far the states are."""
        connection = self._ready()
        if connection is None:
            return
        after = [] if self._is_online else [self._messages.status(ONLINE)]
        try:
            self._put_info(connection, *after)
        except BrokerError as error:
            self._failed(error)

    def _put_info(self, connection: Connection, *after: MqttMessage) -> None:
        """Publishes `info`, then these messages; when the broker took it, it marks how far the broker is.

        The status comes last: while it is online, `info` counts the states that are there.
        """
        info = self._retained.info()
        refused = self._put(connection, self._messages.info(info), *after)
        topics = {one.message.topic for one in refused}
        self._mark = None if self._messages.topics.info in topics else Mark(info, newest=True)
        self._is_online = self._messages.topics.status not in topics
        if any(one.meaning == "again" for one in refused):
            self._job.after(_REFUSED_SECONDS)

    def _put(self, connection: Connection, *messages: MqttMessage) -> list[Refusal]:
        """Sends messages about the node, and waits; logs and returns those that are refused. Raises BrokerError."""
        local = [refusal for message in messages if (refusal := connection.put(message)) is not None]
        refusals = [*local, *connection.flush()]
        self._refusals.judge(refusals)
        return refusals
