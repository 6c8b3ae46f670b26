"""Planned messages on their way over one connection: states are reduced, refusals judged, and progress is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .errors import BrokerError
from .reason_codes import HUNG_UP
from .refusals import Refusal

if TYPE_CHECKING:
    from ..messages import Messages, MqttMessage
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
        self._devices: set[str] = set()
        self._sent = 0

    def index(self, refusals: Sequence[Refusal]) -> int:
        """Returns the index of the first event that is not safe after a loss; `refusals` came before it."""
        tags: list[Planned | None] = [one.tag for one in (*self._refused, *refusals)]
        tags += [tag for _, tag in self._connection.unacknowledged()]
        return min([self._sent, *(tag.at for tag in tags if tag is not None and tag.at is not None)])

    def rejected(self, index: int, refusals: Sequence[Refusal]) -> Refusal | None:
        """Returns the refusal for good of the event at `index`, which `index` returned; `None` when it may be sent."""
        about = [one for one in (*self._refused, *refusals) if one.tag is not None and one.tag.at == index]
        waits = any(tag is not None and tag.at == index for _, tag in self._connection.unacknowledged())
        is_for_good = len(about) == 1 and about[0].meaning == "never" and about[0].tag.state_of is None
        return about[0] if is_for_good and not waits else None

    def send(self, planned: Iterable[Planned]) -> list[Planned]:
        """Sends all and waits for all; returns those that the broker may take later, of what stands for no event.

        Raises Rejected or Retry for an event that is refused, and BrokerError when the connection is lost.
        """
        try:
            refusals = self._send(planned)
        except BrokerError:
            if self._connection.last_refusal is None:
                self._note_devices()
            raise
        self._note_devices(refusals)
        return [refusal.tag for refusal in self._judge.judge(refusals) if refusal.tag is not None]

    def _send(self, planned: Iterable[Planned]) -> list[Refusal]:
        """Sends all and waits for all; returns the refusals that a reduced state did not settle."""
        for one in planned:
            if one.at is None and self._retained.leaves_out(one.message):
                continue
            refusal = self._connection.put(one.message, one)
            if refusal is not None:
                self._take(one, refusal)
            elif one.at is None and one.message.payload and self._retained.is_device(one.message.topic):
                self._devices.add(one.message.topic)
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
        return refusals

    def _note_devices(self, refusals: Sequence[Refusal] = ()) -> None:
        """Notes when the broker took a device: then it does not refuse all of them."""
        if self._devices:
            waiting = {message.topic for message, _ in self._connection.unacknowledged()}
            if self._devices - waiting - {one.message.topic for one in (*refusals, *self._refused)}:
                self._retained.takes_devices()

    def _take(self, planned: Planned, refusal: Refusal) -> None:
        """Sends something smaller in place of a state that the broker does not take; keeps any other refusal."""
        event = planned.state_of
        if event is None or event.key is None or not planned.message.payload:
            self._refused.append(refusal)
            if refusal.code == HUNG_UP and planned.at is None:
                # Now, not at the end: each further one costs two connections.
                self._note_devices()
                self._judge.judge([self._refused.pop()])
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


def send_answer(connection: Connection, replies: Iterable[MqttMessage]) -> str | None:
    """Sends the answer to one request; returns `None`, or the broker's reason to refuse it. Raises BrokerError."""
    for number, reply in enumerate(replies):
        refusal = connection.put(reply)
        # The first one alone: then whatever ends the connection here is this answer, and nothing else is lost.
        refusals = [refusal] if refusal else connection.flush() if number == 0 else []
        if refusals:
            return refusals[0].reason
    refusals = connection.flush()
    return refusals[0].reason if refusals else None
