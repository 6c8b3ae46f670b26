"""Planned messages on their way over one connection: states are reduced, refusals judged, and progress is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .inflight import Refusal

if TYPE_CHECKING:
    from ..messages import Messages
    from ..retained import Planned, RetainedState
    from .connection import Connection
    from .refusals import Refusals


class Transmission:
    """Sends the messages of one batch."""

    def __init__(self, connection: Connection, messages: Messages, retained: RetainedState, refusals: Refusals) -> None:
        self._connection = connection
        self._messages = messages
        self._retained = retained
        self._judge = refusals
        self._refused: list[Refusal] = []
        self._sent = 0

    def index(self, refusals: Sequence[Refusal]) -> int:
        """Returns the index of the first event that is not safe after a loss; `refusals` came before it."""
        tags: list[Planned | None] = [one.tag for one in (*self._refused, *refusals)]
        tags += [tag for _, tag in self._connection.unacknowledged()]
        return min([self._sent, *(tag.at for tag in tags if tag is not None and tag.at is not None)])

    def send(self, planned: Iterable[Planned]) -> list[Planned]:
        """Sends all and waits for all; returns those that the broker may take later, of what stands for no event.

        Raises Rejected or Retry for an event that is refused, and BrokerError when the connection is lost.
        """
        for one in planned:
            refusal = self._connection.put(one.message, one)
            if refusal is not None:
                self._take(one, refusal)
            if one.at is not None and (one.state_of is None or one.state_of.snapshot is not None):
                # The last message of this event: in a tail its state came before, in a snapshot that is all.
                self._sent = one.at + 1
        refusals = self._connection.flush()
        while late := [refusal for refusal in refusals if _is_state(refusal) and refusal.meaning == "never"]:
            self._refused += [refusal for refusal in refusals if refusal not in late]
            for refusal in late:
                self._take(refusal.tag, refusal)
            refusals = self._connection.flush()
        refusals, self._refused = self._refused + refusals, []
        return [refusal.tag for refusal in self._judge.judge(refusals) if refusal.tag is not None]

    def _take(self, planned: Planned, refusal: Refusal) -> None:
        """Sends something smaller in place of a state that the broker does not take; keeps any other refusal."""
        event = planned.state_of
        if event is None or event.key is None or not planned.message.payload:
            self._refused.append(refusal)
            return
        self._judge.warn_once(f"{refusal.text}; the state is reduced", about=refusal.message.topic)
        for smaller in self._messages.reductions(event):
            if len(smaller.payload) >= len(refusal.message.payload):
                continue
            if not smaller.payload:
                self._retained.emptied(event.key)
            if self._connection.put(smaller, planned._replace(message=smaller)) is None:
                return


def _is_state(refusal: Refusal) -> bool:
    return refusal.tag is not None and refusal.tag.state_of is not None and bool(refusal.message.payload)
