"""The questions of a program for what happened before: each is answered by the node, or not at all. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from ..events import AnyEvent
from .given import Surroundings
from .questions import OpenQuestion
from .received import AnswerPart, EventPlace
from .transport import Question

_PATIENCE_SECONDS = 5.0

Past = list[AnyEvent] | None
"""The events of an answer, oldest first; `None` without one."""


class _Open:
    """A question, and what of its answer is there."""

    def __init__(self, question: Question, answer: Future[Past]) -> None:
        self.question = question
        self.answer = answer
        self.parts: OpenQuestion | None = None
        self.events: list[AnyEvent] = []


class PastQuestions:
    """The questions of one subscription, one at a time: the answers to two might be mixed up. Its thread."""

    def __init__(self, around: Surroundings, clock: Callable[[], float]) -> None:
        self._around = around
        self._clock = clock
        self._open: deque[_Open] = deque()

    @property
    def are_open(self) -> bool:
        """True while an answer is waited for."""
        return bool(self._open)

    def ask(self, question: Question, answer: Future[Past]) -> None:
        """Sends a question, after those that wait for theirs."""
        # From now on nobody can cancel it.
        if answer.set_running_or_notify_cancel():
            self._open.append(_Open(question, answer))
            self._go_on()

    def take(self, node: str, part: AnswerPart) -> None:
        """Takes a message of an answer."""
        one = self._open[0] if self._open else None
        if one is None or one.parts is None or one.question.node != node:
            return
        if part.position == 0:
            one.events = []
            if part.error is not None:
                self._end(None)
                return
        event = one.parts.take(part, self._clock())
        if event is not None and not isinstance(event, EventPlace):
            one.events.append(event)
        if one.parts.answer is not None and one.parts.answer.is_whole and self._fits(one):
            self._end(one.events)

    def refused(self, node: str) -> None:
        """Notes that the question cannot be sent to this node, or that nobody answers there."""
        if self._open and self._open[0].question.node == node:
            self._end(None)

    def tick(self) -> None:
        """Gives a question up for which nothing came for some seconds."""
        parts = self._open[0].parts if self._open else None
        if parts is not None and parts.sent_at is not None and self._clock() - parts.sent_at >= _PATIENCE_SECONDS:
            self._end(None)

    def end(self) -> None:
        """Gives every question up: the connection is lost."""
        while self._open:
            self._open.popleft().answer.set_result(None)

    def _fits(self, one: _Open) -> bool:
        """Returns whether these may be the events of this question: else it is the late answer to one given up."""
        return one.question.luid is None or all(event.luid == one.question.luid for event in one.events)

    def _end(self, events: Past) -> None:
        self._open.popleft().answer.set_result(events)
        self._go_on()

    def _go_on(self) -> None:
        if self._open and self._open[0].parts is None:
            one, now = self._open[0], self._clock()
            one.parts = OpenQuestion(None, now, sent_at=now)
            self._around.ask(one.question)
