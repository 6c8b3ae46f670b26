"""Lost connections: what is suspected, when to try again, and the line for people when another client is the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from publisher import Log

from .errors import BrokerError, TakenOverError
from .later import Trouble
from .reconnect import HURRY_SECONDS_APART, Reconnect

if TYPE_CHECKING:
    from .connection import Connection
    from .refusals import Refusal, Refusals
    from .suspects import Suspects


class Losses:
    """Judges how connections ended. One thread."""

    def __init__(self, log: Log, reconnect: Reconnect, suspects: Suspects, refusals: Refusals) -> None:
        self._reconnect = reconnect
        self._suspects = suspects
        self._refusals = refusals
        self._rival = Trouble(log)

    @property
    def remaining(self) -> float:
        """Seconds until the next attempt."""
        return self._reconnect.remaining

    def wait(self, seconds: float) -> None:
        """Sets the time of the next attempt."""
        self._reconnect.wait(seconds)

    def met_rival(self) -> None:
        """Notes that another publisher was connected meanwhile."""
        self._reconnect.met_rival()

    def connected(self) -> None:
        """Notes that the broker accepted a connection."""
        self._reconnect.connected()
        if self._suspects.reachable():
            self._reconnect.found()

    def failed(self) -> float:
        """Notes that the broker accepted no connection; returns the seconds until the next attempt."""
        self._suspects.unreachable()
        return self._reconnect.failed()

    def lost(self, connection: Connection, error: BrokerError, *, over_answer: bool) -> float:
        """Takes a connection that ended, and was dropped; returns the seconds until the next attempt.

        `over_answer`: the answer to a reader's request was on its way, and nothing else.
        """
        outstanding, taken_over = connection.outstanding(), isinstance(error, TakenOverError)
        is_refused = connection.last_refusal is not None
        is_suspected = bool(outstanding) and not (over_answer or taken_over or is_refused)
        if is_suspected:
            self._suspects.lost(outstanding)
        delay = self._reconnect.lost(
            taken_over=taken_over,
            explained=over_answer or bool(outstanding) or is_refused,
            hurry=0.0 if over_answer else HURRY_SECONDS_APART if is_suspected else None,
        )
        self._tell_of_rival(connection.client_id, delay)
        return delay

    def explain(self, connection: Connection, error: BrokerError, refusals: Sequence[Refusal]) -> str:
        """Returns the reason why a connection ended, after `lost`; `refusals` came right before.

        mosquitto 2.0.11 with `max_queued_messages 0` ends the connection over each message that its ACL refuses.
        """
        reason, outstanding = str(error), connection.outstanding()
        if outstanding:
            reason += f", before it acknowledged {outstanding}"
        for refusal in refusals or filter(None, [connection.last_refusal]):
            reason = f"{refusal.text}; {reason}"
            if refusal.meaning == "never":
                self._suspects.give_up(refusal.message)
            elif refusal.tag is None or refusal.tag.at is None:
                self._refusals.judge([refusal])
        return reason

    def _tell_of_rival(self, client_id: str, delay: float) -> None:
        if self._reconnect.conflict:
            reason = f"another publisher has this node and client id {client_id}: give one another node or sink name"
            self._rival.tell(reason, delay)
        elif self._reconnect.suspicious:
            reason = f"the broker ends each connection soon: does another client use the client id {client_id}?"
            self._rival.tell(reason, delay)
        else:
            self._rival.over()
