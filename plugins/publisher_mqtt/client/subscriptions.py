"""The subscriptions of a session; those that the broker may grant later are tried again. On the sink's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from publisher import SinkContext

from .errors import BrokerError
from .later import Later

if TYPE_CHECKING:
    from .connection import Connection
    from .refusals import Refusals

_AGAIN_SECONDS = 300.0


class Subscriptions:
    """Makes the subscriptions of each connection.

    `topics` returns what to subscribe to, `present` the connection there is; `failed` is called when it ends over one.
    """

    def __init__(
        self,
        context: SinkContext,
        topics: Callable[[], Sequence[str]],
        refusals: Refusals,
        present: Callable[[], Connection | None],
        failed: Callable[[BrokerError], None],
    ) -> None:
        self._topics = topics
        self._refusals = refusals
        self._present = present
        self._failed = failed
        self._job = Later(context, self._make_again)

    def make(self, connection: Connection) -> None:
        """Makes all of them, and logs those that are refused. Raises BrokerError."""
        for topic in self._topics():
            if refusal := connection.subscribe(topic, qos=1):
                self._refusals.warn_once(f"the broker refuses the subscription to {topic}: {refusal}", about=topic)
                if refusal.meaning == "again":
                    self._job.after(_AGAIN_SECONDS)

    def _make_again(self) -> None:
        connection = self._present()
        if connection is not None:
            try:
                self.make(connection)
            except BrokerError as error:
                self._failed(error)
