"""One node, as its subscriber follows it: rows first, then every change; a gap is healed by a question. No I/O.

A node's events are numbered without a hole, so a hole is a loss: then the node is asked for the events since the last
one that was given. Meanwhile its events are dropped, since the answer has them too, and the first one after the answer
shows a hole if it does not. What cannot be healed so is healed by the rows. Anybody may have written what is received:
an epoch or a `seq` that was made up lasts until the node has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..events import AnyEvent, Key
from ..sink import Cursor
from .collected import CollectedRow, CollectedRows
from .doubts import Doubts
from .given import GivenRows, Surroundings
from .phases import Asking, Behind, Collecting, Following, Phase
from .questions import AnswerSoFar, OpenQuestion, Questions
from .received import AnswerPart, EventPlace, NodeInfo, ReceivedState

_MOST_ATTEMPTS, _MOST_FIRST_ATTEMPTS = 4, 2


class NodeFollower:
    """One node."""

    def __init__(
        self, node: str, around: Surroundings, clock: Callable[[], float], since: Cursor | None = None
    ) -> None:
        self.node = node
        self.skips = False
        self.missed = 0
        self._around = around
        self._clock = clock
        self._given = GivenRows(node, around, since)
        self._questions = Questions(node, around)
        self._doubts = Doubts(self._given)
        self._online = False
        # Of this connection: before, it is what was told last.
        self._has_status = False
        self._info: NodeInfo | None = None
        self._phase: Phase = Collecting(clock())
        # True when the node counts other rows than were given.
        self._is_miscounted = False

    @property
    def is_busy(self) -> bool:
        """False while there is nothing to wait for but messages."""
        match self._phase:
            case Following():
                return self._doubts.are_open
            case Collecting(rests=rests):
                return not rests
            case _:
                return True

    @property
    def row_count(self) -> int:
        """The rows that are held, or known."""
        held = len(self._phase.rows) if isinstance(self._phase, Collecting) else 0
        answer = self._question.answer if self._question is not None else None
        return max(held, len(self._given)) + (len(answer.rows) if answer is not None else 0)

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
        self._info, self._online, self._has_status = None, False, True
        self._given.forget()
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
            if key not in self._given and isinstance(self._phase, Following):
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
        if part.position == 0 and part.error is not None:
            self.refused()
            return
        if (event := question.take(part, self._clock())) is not None:
            self._give_missed(event)
        if question.answer is not None and question.answer.is_whole and self._question is question:
            self._answered(question.answer)

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
            case Following() if self._doubts.is_due(now):
                self._judge()
            case Behind(needs_rows=needs_rows) if self._around.has_room:
                if self._is_offline:
                    self._from_retained()
                else:
                    self._ask(None if needs_rows else self._since)

    # Questions.

    @property
    def _is_online(self) -> bool:
        return self._has_status and self._online

    @property
    def _is_offline(self) -> bool:
        return self._has_status and not self._online

    @property
    def _since(self) -> Cursor | None:
        """The last event that was given; `None` where rows may be missing besides."""
        return self._given.at if self._given.are_whole else None

    @property
    def _question(self) -> OpenQuestion | None:
        match self._phase:
            case Collecting(question=question) | Asking(question=question):
                return question
            case _:
                return None

    def _ask(self, since: Cursor | None) -> None:
        now = self._clock()
        question = self._questions.open(since, now)
        if isinstance(self._phase, Collecting):
            self._phase.question = question
        else:
            self._phase = Asking(question)
        self._tell()
        self._look_at(question, now)

    def _look_at(self, question: OpenQuestion, now: float) -> None:
        most = _MOST_FIRST_ATTEMPTS if isinstance(self._phase, Collecting) else _MOST_ATTEMPTS
        if not self._questions.look_at(question, now, self._given.at, most):
            self.refused()

    def _give_missed(self, event: AnyEvent | EventPlace) -> None:
        """Gives an event of an answer, unless it was given before."""
        at = self._given.at
        if at is not None and event.epoch == at.epoch and event.seq > at.seq:
            if isinstance(self._phase, Collecting) and not isinstance(event, EventPlace):
                self._phase.rows.put_event(event)
            self._give(event)

    def _answered(self, answer: AnswerSoFar) -> None:
        if answer.kind == "snapshot":
            if not self._around.has_room:
                self._phase = Behind(needs_rows=True)
                return
            self._phase, self._is_miscounted = Following(), False
            self._given.put_snapshot(answer.rows, answer.at)
        else:
            if isinstance(self._phase, Collecting) and not self._given.are_known:
                # Else the rows that were given and the events after them count: a broker may retain older states.
                self._given.know(self._phase.rows.of(answer.at.epoch))
            self._phase = Following()
            at = self._given.at
            if at is None or at.epoch != answer.at.epoch or answer.at.seq > at.seq:
                self._given.at = answer.at
        self._followed()

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
        if collecting.question is not None and self._given.at is not None:
            return
        info = self._info
        if info is not None and self._is_believed(info) and self._is_complete(collecting.rows, info):
            self._collected(collecting, info.epoch)
        elif collecting.question is None and collecting.is_quiet(now):
            if collecting.answerless or self._is_offline:
                epoch = collecting.rows.likely_epoch(info)
                collecting.rests = epoch is None
                if epoch is not None:
                    self._collected(collecting, epoch)
            else:
                self._ask(self._since)

    def _is_believed(self, info: NodeInfo) -> bool:
        """Returns whether `info` decides: that there are no rows at all, a node that is online has to answer itself."""
        return self._has_status and bool(info.rows or self._is_offline)

    def _is_complete(self, rows: CollectedRows, info: NodeInfo) -> bool:
        """Returns whether every row is there; of one that may still come, and is to be given, also every event."""
        at = self._given.at
        begins = at is None or at.epoch < info.epoch or not self._given.are_whole
        is_sure = rows.newest(info.epoch) <= rows.upto(info.epoch, info)
        return rows.is_whole(info) and (is_sure or not begins or self._is_offline)

    def _collected(self, collecting: Collecting, epoch: str) -> None:
        """Ends the collection with the rows of an epoch."""
        at, info, rows = self._given.at, self._info, collecting.rows.of(epoch)
        newest = max(collecting.rows.newest(epoch), info.seq if info is not None and info.epoch == epoch else 0)
        is_whole = info is not None and info.epoch == epoch and len(rows) == info.rows
        if at is None or at.epoch < epoch or (is_whole and not self._given.are_whole and at <= (epoch, newest)):
            self._give_rows(collecting, epoch, is_whole=is_whole)
        elif at.epoch == epoch and self._has_all(collecting, rows, newest):
            # Nothing happened since; a broker may have been put back to older states.
            self._phase = Following()
            if is_whole and not self._given.are_known:
                self._given.know(rows)
        elif self._is_online and not collecting.answerless:
            self._ask(self._since)
            return
        elif at.epoch > epoch and self._is_offline:
            # States of a broker that was put back to an older store, or of a node that was: only it can tell.
            collecting.rests = True
        elif collecting.answerless or collecting.is_old(self._clock()):
            self._give_rows(collecting, epoch, is_whole=is_whole)
        else:
            # It may be about to come back, and to have the events themselves.
            return
        self._followed()

    def _has_all(self, collecting: Collecting, rows: Mapping[Key, CollectedRow], newest: int) -> bool:
        """Returns whether nothing of these rows is news; of a node that cannot be asked, their own age counts."""
        at = self._given.at
        is_newest = self._given.are_whole and at is not None and at.seq >= newest
        answers = self._is_online and not collecting.answerless
        return is_newest or (not answers and self._given.has(rows))

    def _followed(self) -> None:
        """Notes that the node is followed from now on, and compares that with its `info`."""
        self._doubts.settle()
        if self._info is not None and self._given.are_known:
            self._confirm(self._info, live=False)
        self._tell()

    def _give_rows(self, collecting: Collecting, epoch: str, *, is_whole: bool) -> None:
        """Gives the rows, as of the newest event that they surely contain."""
        if self._around.has_room:
            at, seq = self._given.at, collecting.rows.upto(epoch, self._info)
            if at is not None and at.epoch == epoch:
                # Where some are missing, nobody knows which events they would contain.
                seq = max(seq, at.seq) if is_whole or self._info is None else at.seq
            self._phase, self._is_miscounted = Following(), False
            self._given.put_snapshot(collecting.rows.of(epoch), Cursor(epoch, seq), are_whole=is_whole)

    def _from_retained(self) -> None:
        self._phase = Collecting(self._clock(), answerless=True)
        self._info = None
        self._around.states_again(self.node)
        self._tell()

    # Changes.

    def _is_of_other_epoch(self, epoch: str, *, live: bool) -> bool:
        """Returns whether a message belongs to another epoch than the last event; a newer one begins anew."""
        at = self._given.at
        if at is None or epoch == at.epoch:
            return False
        if epoch > at.epoch and not isinstance(self._phase, Collecting):
            self._phase = Collecting(self._clock())
            self._tell()
        elif epoch < at.epoch and live and isinstance(self._phase, Following):
            self._is_older()
        return True

    def _follow(self, event: AnyEvent | EventPlace) -> None:
        at = self._given.at
        if at is None or event.seq <= at.seq:
            return
        if event.seq == at.seq + 1 or self.skips:
            self._doubts.settle()
            self._give(event)
        else:
            self._reached(event.seq)

    def _reached(self, seq: int) -> None:
        """Takes the `seq` of an event that exists."""
        at = self._given.at
        if at is not None and seq > at.seq:
            self.missed += 1
            self._ask(at)

    def _confirm(self, info: NodeInfo, *, live: bool) -> None:
        """Compares the place and the number of rows with those of `info`; where they differ, the node is asked."""
        at = self._given.at
        if at is None or info.rows is None or not isinstance(self._phase, Following):
            return
        if self._doubts.is_confirmed(info, self._clock()):
            self._is_miscounted = False
            if not self._given.are_whole:
                self._ask_for_rows()
        elif live and info.seq < at.seq:
            self._is_older()

    def _judge(self) -> None:
        """Asks for the rows, once, where an `info` that was not followed by a change still counts others."""
        if self._doubts.are_rows_missing():
            self._is_miscounted = True
            self._ask_for_rows()
            self._tell()

    def _ask_for_rows(self) -> None:
        """Asks for the rows, once as of each event."""
        if self._is_online and self._doubts.may_ask():
            self._ask(None)

    def _is_older(self) -> None:
        if self._doubts.is_older():
            self._ask(None)

    def _give(self, event: AnyEvent | EventPlace) -> None:
        """Gives the next event to the reader, or notes that it has no room."""
        if isinstance(self._phase, Behind):
            return
        if self._around.has_room:
            self._given.put(event)
        else:
            self._phase = Behind()
            self._tell()

    def _tell(self) -> None:
        """Gives the node's status to the reader, when it differs."""
        in_sync = self._given.are_whole and not self._is_miscounted and isinstance(self._phase, Following)
        self._given.put_status(online=self._online, in_sync=in_sync, skips=self.skips)
