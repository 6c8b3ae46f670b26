"""The questions to one node: how often, how long each is waited for, and what an answer brings. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..events import AnyEvent, Key
from ..sink import Cursor
from .collected import CollectedRow
from .given import Surroundings
from .received import AnswerPart, EventPlace, event_of
from .transport import Question

# After so long without a part, a question counts as lost; doubled with each attempt.
_PATIENCE_SECONDS = 3.0
# Less than a publisher answers by default (5 requests a second, of all subscribers).
_SECONDS_BETWEEN_QUESTIONS = 0.25
# The first pause between two questions for the rows of a stream in one order; doubled with each that comes soon after.
_LEAST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0


@dataclass
class AnswerSoFar:
    """An answer of which a part is there."""

    kind: str
    count: int
    at: Cursor
    position: int = 0
    rows: dict[Key, CollectedRow] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """True when every part is there."""
        return self.position == self.count


@dataclass
class OpenQuestion:
    """A question that waits to be sent (`sent_at` is `None`), or for its answer."""

    since: Cursor | None
    due: float
    attempt: int = 1
    sent_at: float | None = None
    answer: AnswerSoFar | None = None
    is_lost: bool = False
    """True when a part of the answer did not come."""

    def take(self, part: AnswerPart, now: float) -> AnyEvent | EventPlace | None:
        """Takes a message of the answer; returns the event that it brings, and keeps a row.

        A part without a head before it is the rest of an earlier answer.
        """
        if part.position == 0:
            if part.epoch is not None and part.seq is not None:
                self.answer = AnswerSoFar(part.answer, part.count, Cursor(part.epoch, part.seq))
                self.sent_at = now
            return None
        answer = self.answer
        if answer is None:
            return None
        self.sent_at = now
        if (part.position, part.count) != (answer.position + 1, answer.count):
            self.answer, self.is_lost = None, True
            return None
        answer.position = part.position
        event = None if part.error is not None else event_of(part.event)
        if event is None or event.epoch != answer.at.epoch:
            return None
        if answer.kind == "events":
            return event
        if not isinstance(event, EventPlace) and event.key is not None:
            answer.rows[event.key] = CollectedRow(event.epoch, event.seq, event.time, event.ip_interface_json)
        return None


class Questions:
    """Sends the questions to one node, and repeats those without an answer."""

    def __init__(self, node: str, around: Surroundings) -> None:
        self._node = node
        self._around = around
        self._asked_at = float("-inf")

    def open(self, since: Cursor | None, now: float) -> OpenQuestion:
        """Returns a question, which is sent when it is due."""
        return OpenQuestion(since, max(now, self._asked_at + _SECONDS_BETWEEN_QUESTIONS))

    def look_at(self, question: OpenQuestion, now: float, at: Cursor | None, most: int) -> bool:
        """Sends a question that is due, once more if no answer came; returns False after `most` attempts.

        `at` is the last event that was given: a part of an answer may have been.
        """
        if question.sent_at is not None:
            if not question.is_lost and now - question.sent_at < _PATIENCE_SECONDS * 2 ** (question.attempt - 1):
                return True
            if question.attempt >= most:
                return False
            question.attempt += 1
            question.sent_at, question.answer, question.is_lost, question.due = None, None, False, now
            if question.since is not None:
                question.since = at
        if now >= question.due:
            question.sent_at = self._asked_at = now
            self._around.ask(Question(self._node, question.since))
        return True


class DueQuestion:
    """The one question to a node in one order that waits to be asked, if any. Of the rows it is not asked too often."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._question: Question | None = None
        self._due_at, self._pause, self._asked_at = 0.0, 0.0, float("-inf")

    @property
    def is_due(self) -> bool:
        """True while it waits."""
        return self._question is not None

    def ask(self, since: Cursor | None, now: float) -> None:
        """Has a question asked: for the rows after a pause, since anybody may give cause to it."""
        self._question, self._due_at = Question(self._node, since), now
        if since is None:
            is_soon = now - self._asked_at < _LONGEST_PAUSE
            self._pause = min(max(_LEAST_PAUSE, 2 * self._pause), _LONGEST_PAUSE) if is_soon else 0.0
            self._due_at = max(now, self._asked_at + self._pause)

    def take(self, now: float) -> Question | None:
        """Returns the question when it is time for it; it waits no longer then."""
        if self._question is None or now < self._due_at:
            return None
        question, self._question = self._question, None
        if question.since is None:
            self._asked_at = now
        return question

    def drop(self) -> None:
        """Forgets the question that waits."""
        self._question = None
