"""One node, as its subscriber follows it: rows first, then every change; a gap is healed by a question. No I/O.

A node's events are numbered without a hole, so a hole is a loss: then the node is asked for the events since the last
one that was given. Meanwhile its events are dropped, since the answer has them too, and the first one after the answer
shows a hole if it does not. What cannot be healed so is healed by the rows. Anybody may have written what is received:
an epoch or a `seq` that was made up lasts until the node has answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..events import AnyEvent, Cause, Deleted, Key, SnapshotEvents
from ..sink import Cursor
from .collected import CollectedRow, CollectedRows, snapshot_of
from .outbox import NodeStatus, Waiting
from .phases import AnswerSoFar, Asking, Behind, Collecting, Following, OpenQuestion, Phase
from .received import AnswerPart, EventPlace, NodeInfo, ReceivedState, event_of
from .transport import Question

# New rows are counted in `info` before their states come, and `info` comes again after a quiet second.
_DOUBT_SECONDS = 2.0
# After so long without a part, a question counts as lost; doubled with each attempt.
_PATIENCE_SECONDS = 3.0
_MOST_ATTEMPTS, _MOST_FIRST_ATTEMPTS = 4, 2
# Less than a publisher answers by default (5 requests a second, of all subscribers).
_SECONDS_BETWEEN_QUESTIONS = 0.25
# A message of an older epoch may be late; so many in a row show that the epoch that is known was made up.
_MOST_OLDER = 5


class Surroundings(Protocol):
    """The place of a node's outcome."""

    @property
    def has_room(self) -> bool:
        """False while the reader is behind."""
        ...

    def put(self, entry: Waiting) -> None:
        """Gives an entry to the reader."""
        ...

    def ask(self, question: Question) -> None:
        """Sends a question to the node."""
        ...

    def states_again(self, node: str) -> None:
        """Has the node's retained messages sent once more."""
        ...


class NodeFollower:
    """One node. `at` is the last event that was given to the reader, `None` before the first."""

    def __init__(
        self, node: str, around: Surroundings, clock: Callable[[], float], since: Cursor | None = None
    ) -> None:
        self.node = node
        self.at = since
        self.skips = False
        self.missed = 0
        self._around = around
        self._clock = clock
        self._online = False
        # Of this connection: before, it is what was told last.
        self._has_status = False
        self._info: NodeInfo | None = None
        self._phase: Phase = Collecting(clock())
        self._keys: dict[Key, int] = {}
        # With `since` the rows that the reader has are not known, until they are received.
        self._has_keys = False
        self._is_whole = False
        self._snapshots = 0
        self._early: dict[Key, int] = {}
        self._older = 0
        self._asked_at = float("-inf")
        self._rows_asked_for: Cursor | None = None
        # An `info` that counts other rows than these, and when it came.
        self._doubt: tuple[NodeInfo, float] | None = None
        self._told: NodeStatus | None = None

    @property
    def is_busy(self) -> bool:
        """False while there is nothing to wait for but messages."""
        match self._phase:
            case Following():
                return self._doubt is not None
            case Collecting(rests=rests):
                return not rests
            case _:
                return True

    @property
    def row_count(self) -> int:
        """The rows that are held, or known."""
        held = len(self._phase.rows) if isinstance(self._phase, Collecting) else 0
        answer = self._question.answer if self._question is not None else None
        return max(held, len(self._keys)) + (len(answer.rows) if answer is not None else 0)

    # What the transport calls.

    def connected(self) -> None:
        """Begins with a new connection: what is retained is sent, and compared with what was given."""
        self._info, self._has_status = None, False
        self._phase = Collecting(self._clock())
        self._tell()

    def disconnected(self) -> None:
        """Notes that the connection is lost."""
        self._phase = Collecting(self._clock())
        self._tell()

    def status(self, *, online: bool) -> None:
        """Takes the node's status."""
        if online and not self._is_online:
            self._is_back()
        self._online, self._has_status = online, True
        self._heard()
        self._tell()

    def _is_back(self) -> None:
        """Has a question sent again: a publisher that has started did not receive those from before."""
        match self._phase:
            case Collecting() as collecting:
                collecting.question, collecting.answerless = None, False
            case Asking(question=question) if question.sent_at is not None:
                question.is_lost, question.attempt = True, 0

    def info(self, info: NodeInfo, *, retained: bool) -> None:
        """Takes the node's `info`."""
        self._info = info
        self.skips = info.skips
        if self._heard():
            return
        if not self._is_of_other_epoch(info.epoch, live=not retained) and isinstance(self._phase, Following):
            self._reached(info.seq)
            self._confirm(info, live=not retained)
        self._tell()

    def forgotten(self) -> None:
        """Takes an empty `info`: what was retained of the node is removed."""
        had_rows, at = bool(self._keys), self.at
        self._info, self._online, self._has_status = None, False, True
        if had_rows and at is not None:
            self._give_snapshot({}, at)
        self.at = None
        self._phase = Collecting(self._clock())
        self._tell()

    def state(self, key: Key, state: ReceivedState | EventPlace | None, *, retained: bool) -> None:
        """Takes a state; `None` is an empty one."""
        is_other = (
            state is not None
            and not isinstance(self._phase, Collecting)
            and self._is_of_other_epoch(state.epoch, live=not retained)
        )
        if isinstance(self._phase, Collecting):
            self._collect(self._phase.rows, key, state)
            self._heard()
        elif retained and state is not None and not is_other:
            # It is from before this subscription: its own event was never received.
            self._reached(state.seq)
            if key not in self._keys and isinstance(self._phase, Following):
                self._ask(None)

    def event(self, event: AnyEvent | EventPlace) -> None:
        """Takes an event; one that cannot be read counts, and is not given."""
        match self._phase:
            case Collecting() as collecting:
                if not isinstance(event, EventPlace):
                    collecting.rows.put_event(event)
                self._heard()
            case _ if self._is_of_other_epoch(event.epoch, live=True):
                if isinstance(self._phase, Collecting) and not isinstance(event, EventPlace):
                    self._phase.rows.put_event(event)
            case Following():
                self._follow(event)

    def answer(self, part: AnswerPart) -> None:
        """Takes a message of an answer."""
        question = self._question
        if question is None or question.sent_at is None:
            return
        if part.position > 0:
            self._take_part(question, part)
        elif part.error is not None:
            self.refused()
            return
        elif part.epoch is not None and part.seq is not None:
            question.answer = AnswerSoFar(part.answer, part.count, Cursor(part.epoch, part.seq))
            question.sent_at = self._clock()
        answer = question.answer
        if answer is not None and answer.position == answer.count and self._question is question:
            self._answered(answer)

    def refused(self) -> None:
        """Notes that the node gives no answer: the rows come from its retained states."""
        match self._phase:
            case Collecting() as collecting:
                collecting.question, collecting.answerless = None, True
                self._online = self._is_online
                self.tick()
                self._tell()
            case Asking():
                self._from_retained()

    def tick(self) -> None:
        """Does what is due by now."""
        now = self._clock()
        if (question := self._question) is not None:
            self._look_at(question, now)
            return
        match self._phase:
            case Collecting() as collecting:
                self._try(collecting, now)
            case Following() if self._doubt is not None and now - self._doubt[1] >= _DOUBT_SECONDS:
                self._judge(self._doubt[0])
            case Behind(needs_rows=needs_rows) if self._around.has_room:
                if self._is_offline:
                    self._from_retained()
                else:
                    self._ask(None if needs_rows else self.at)

    # Questions.

    @property
    def _is_online(self) -> bool:
        return self._has_status and self._online

    @property
    def _is_offline(self) -> bool:
        return self._has_status and not self._online

    @property
    def _question(self) -> OpenQuestion | None:
        match self._phase:
            case Collecting(question=question) | Asking(question=question):
                return question
            case _:
                return None

    def _ask(self, since: Cursor | None) -> None:
        due = max(self._clock(), self._asked_at + _SECONDS_BETWEEN_QUESTIONS)
        question = OpenQuestion(since, due)
        if isinstance(self._phase, Collecting):
            self._phase.question = question
        else:
            self._phase = Asking(question)
        self._tell()
        self._look_at(question, self._clock())

    def _look_at(self, question: OpenQuestion, now: float) -> None:
        """Sends a question that is due, once more if no answer came."""
        if question.sent_at is not None:
            if not question.is_lost and now - question.sent_at < _PATIENCE_SECONDS * 2 ** (question.attempt - 1):
                return
            most = _MOST_FIRST_ATTEMPTS if isinstance(self._phase, Collecting) else _MOST_ATTEMPTS
            if question.attempt >= most:
                self.refused()
                return
            question.attempt += 1
            question.sent_at, question.answer, question.is_lost, question.due = None, None, False, now
            if self._phase == Asking(question) and question.since is not None:
                question.since = self.at  # a part of the answer may have been given
        if question.sent_at is None and now >= question.due:
            question.sent_at = self._asked_at = now
            self._around.ask(Question(self.node, question.since))

    def _take_part(self, question: OpenQuestion, part: AnswerPart) -> None:
        """Takes an event of an answer. One without a head before it is the rest of an earlier answer."""
        answer = question.answer
        if answer is None:
            return
        question.sent_at = self._clock()
        if (part.position, part.count) != (answer.position + 1, answer.count):
            question.answer, question.is_lost = None, True
            return
        answer.position = part.position
        event = None if part.error is not None else event_of(part.event)
        if event is None or event.epoch != answer.at.epoch:
            return
        if answer.kind == "snapshot":
            if not isinstance(event, EventPlace) and event.key is not None:
                answer.rows[event.key] = CollectedRow(event.epoch, event.seq, event.time, event.ip_interface_json)
        elif self.at is not None and event.epoch == self.at.epoch and event.seq > self.at.seq:
            if isinstance(self._phase, Collecting) and not isinstance(event, EventPlace):
                self._phase.rows.put_event(event)
            self._give(event)

    def _answered(self, answer: AnswerSoFar) -> None:
        if answer.kind == "snapshot":
            if not self._around.has_room:
                self._phase = Behind(needs_rows=True)
                return
            rows = answer.rows
            self._phase, self._is_whole = Following(), True
            self._give_snapshot(rows, answer.at)
        else:
            if isinstance(self._phase, Collecting) and not self._has_keys:
                # Else the rows that were given and the events after them count: a broker may retain older states.
                self._know(self._phase.rows.of(answer.at.epoch))
            self._phase, self._is_whole = Following(), True
            if self.at is None or self.at.epoch != answer.at.epoch or answer.at.seq > self.at.seq:
                self.at = answer.at
        self._older = 0
        self._tell()

    # Rows.

    def _heard(self) -> bool:
        """Tries to end the collection after a message; returns whether there is one."""
        if not isinstance(self._phase, Collecting):
            return False
        self._phase.heard_at = now = self._clock()
        if self._phase.first_at is None or self._phase.rests:
            self._phase.first_at, self._phase.rests = now, False
        self._try(self._phase, now)
        return True

    def _collect(self, rows: CollectedRows, key: Key, state: ReceivedState | EventPlace | None) -> None:
        match state:
            case None:
                rows.remove(key)
            case ReceivedState():
                rows.put_state(key, state)
            case EventPlace():
                rows.put_unreadable(key, state)

    def _try(self, collecting: Collecting, now: float) -> None:
        """Ends the collection when every row is there, asks for them when they do not come, or gives what there is."""
        info, rows = self._info, collecting.rows
        if collecting.question is not None and self.at is not None:
            return
        if info is not None and self._is_believed(info) and rows.is_whole(info):
            self._collected(collecting, Cursor(info.epoch, max(rows.newest(info.epoch), info.seq)), is_whole=True)
        elif collecting.question is None and collecting.is_quiet(now):
            if collecting.answerless or self._is_offline:
                self._give_what_is_there(collecting)
            else:
                self._ask(self.at)

    def _is_believed(self, info: NodeInfo) -> bool:
        """Returns whether `info` decides: that there are no rows at all, a node that is online has to answer itself."""
        return self._has_status and bool(info.rows or self._is_offline)

    def _give_what_is_there(self, collecting: Collecting) -> None:
        info, rows = self._info, collecting.rows
        epoch = rows.likely_epoch(info)
        if epoch is None:
            collecting.rests = True
            return
        newest = max(rows.newest(epoch), info.seq if info is not None and info.epoch == epoch else 0)
        is_whole = info is not None and info.epoch == epoch and len(rows.of(epoch)) == info.rows
        self._collected(collecting, Cursor(epoch, newest), is_whole=is_whole)

    def _collected(self, collecting: Collecting, upto: Cursor, *, is_whole: bool) -> None:
        """Ends the collection, which has every event up to `upto`."""
        at, rows = self.at, collecting.rows.of(upto.epoch)
        if at is not None and at.epoch == upto.epoch and at.seq >= upto.seq:
            # Nothing happened since.
            self._phase, self._is_whole = Following(), is_whole
            if is_whole:
                self._know(rows)
        elif at is not None and at.epoch >= upto.epoch and not collecting.answerless:
            # Of an older epoch are the states of a broker that was put back to an older store.
            if self._is_online:
                self._ask(at)
                return
            if not collecting.is_old(self._clock()):
                # It may be about to come back, and to have the events themselves.
                return
            self._give_rows(rows, upto, is_whole=is_whole)
        else:
            self._give_rows(rows, upto, is_whole=is_whole)
        self._older = 0
        self._tell()

    def _give_rows(self, rows: dict[Key, CollectedRow], upto: Cursor, *, is_whole: bool) -> None:
        if self._around.has_room:
            self._phase, self._is_whole = Following(), is_whole
            self._give_snapshot(rows, upto)
            self._early = {key: row.seq for key, row in rows.items()}

    def _from_retained(self) -> None:
        self._phase = Collecting(self._clock(), answerless=True)
        self._info = None
        self._around.states_again(self.node)
        self._tell()

    # Changes.

    def _is_of_other_epoch(self, epoch: str, *, live: bool) -> bool:
        """Returns whether a message belongs to another epoch than the last event; a newer one begins anew."""
        if self.at is None or epoch == self.at.epoch:
            return False
        if epoch > self.at.epoch and not isinstance(self._phase, Collecting):
            self._phase = Collecting(self._clock())
            self._tell()
        elif epoch < self.at.epoch and live and isinstance(self._phase, Following):
            self._is_older()
        return True

    def _follow(self, event: AnyEvent | EventPlace) -> None:
        at = self.at
        if at is None:
            return
        if event.seq <= at.seq:
            if not isinstance(event, EventPlace) and self._is_early(event):
                self._give_early(event)
        elif event.seq == at.seq + 1 or self.skips:
            self._early, self._older = {}, 0
            self._give(event)
        else:
            self._reached(event.seq)

    def _is_early(self, event: AnyEvent) -> bool:
        """Returns whether the snapshot, made of states, does not contain this event, though a newer one of another row.

        A broker that reads what is retained one by one, while a publisher sends, makes such a snapshot.
        """
        known = self._early.get(event.key) if event.key is not None else None
        return known is not None and event.seq > known

    def _reached(self, seq: int) -> None:
        """Takes the `seq` of an event that exists."""
        if self.at is not None and seq > self.at.seq:
            self.missed += 1
            self._ask(self.at)

    def _confirm(self, info: NodeInfo, *, live: bool) -> None:
        """Compares the place and the number of rows with those of `info`; where they differ, the node is asked."""
        at = self.at
        if at is None or info.rows is None or not isinstance(self._phase, Following):
            return
        self._doubt = None
        if info.seq == at.seq:
            self._older = 0
            if info.rows <= len(self._keys) <= info.rows + info.missing:
                self._is_whole = True
            else:
                self._doubt = info, self._clock()
        elif live and info.seq < at.seq:
            self._is_older()

    def _judge(self, info: NodeInfo) -> None:
        """Asks for the rows, once, where an `info` that was not followed by a change still counts others."""
        self._doubt = None
        at, rows = self.at, info.rows
        if at is None or info.seq != at.seq or rows is None or rows <= len(self._keys) <= rows + info.missing:
            return
        self._is_whole = False
        if self._rows_asked_for != at and self._is_online:
            self._rows_asked_for = at
            self._ask(None)
        self._tell()

    def _is_older(self) -> None:
        """Counts a message from before the last event; after several the node is asked, whose own word counts."""
        self._older += 1
        if self._older >= _MOST_OLDER:
            self._older = 0
            self._ask(None)

    def _give(self, event: AnyEvent | EventPlace) -> None:
        """Gives the next event to the reader, or notes that it has no room."""
        if isinstance(self._phase, Behind):
            return
        if not self._around.has_room:
            self._phase = Behind()
            self._tell()
            return
        self.at = Cursor(event.epoch, event.seq)
        if not isinstance(event, EventPlace):
            self._put(event)

    def _give_early(self, event: AnyEvent) -> None:
        """Gives an event from before `at`, or has the rows come again: it cannot be asked for alone."""
        if self._around.has_room:
            self._put(event)
        else:
            self._phase = Behind(needs_rows=True)
            self._tell()

    def _put(self, event: AnyEvent) -> None:
        if event.node != self.node:
            # As the topic has it: a journal keeps the events of a host that was renamed.
            event = event.replaced({"node": self.node})
        if event.key is not None:
            if isinstance(event, Deleted):
                self._keys.pop(event.key, None)
            else:
                self._keys[event.key] = event.seq
            if event.key in self._early:
                self._early[event.key] = event.seq
        self._around.put(event)

    def _give_snapshot(self, rows: dict[Key, CollectedRow], at: Cursor) -> None:
        cause: Cause = "overrun" if self._snapshots else "notification"
        self._snapshots += 1
        self._know(rows)
        self._early = {}
        self.at = at
        snapshot: SnapshotEvents[bytes] = snapshot_of(self.node, at, rows, cause)
        self._around.put(snapshot)

    def _know(self, rows: dict[Key, CollectedRow]) -> None:
        """Takes these for the rows that the reader has."""
        self._keys = {key: held.seq for key, held in rows.items()}
        self._has_keys = True

    def _tell(self) -> None:
        """Gives the node's status to the reader, when it differs."""
        is_following = isinstance(self._phase, Following)
        at = self.at or Cursor("", 0)
        status = NodeStatus(self.node, self._online, self._is_whole and is_following, at.epoch, at.seq, self.skips)
        told = self._told
        if told is None or (told.online, told.in_sync, told.epoch, told.skips) != (
            status.online,
            status.in_sync,
            status.epoch,
            status.skips,
        ):
            self._told = status
            self._around.put(status)
