"""The messages that viewers have yet to get: one copy for all of them, bounded."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .messages import PIECE, SseMessage, SseMessages
from .shared import Held

if TYPE_CHECKING:
    from .viewer import PageViewer

# The newest messages, for those who return: so many, and so many bytes.
_KEPT, _KEPT_BYTES = 512, 1 << 20
# For viewers that are slower, more are kept; whoever has not read those gets the snapshot.
_MOST, _MOST_BYTES = 4096, 8 << 20
# A viewer that stops reading holds what it was being sent. Of such copies there are only so many at a time.
_COPIES = 3


class EventStream:
    """The newest messages in order of `seq`, for viewers that each follow at their own pace. The server's loop.

    A message is kept while it is among the newest, and while a viewer has yet to get it, within bounds; a viewer
    that has not got one that is dropped needs the snapshot. Each needs it, too, when a new round begins with one.
    """

    def __init__(self) -> None:
        self.round = 0
        self.round_seq = -1
        """The last event before this round."""
        self.seq = -1
        """The newest message's."""
        self._beginning: Held[SseMessages] = Held()
        self.viewers: set[PageViewer] = set()
        self._first: int | None = None
        """All messages after this one were taken; `None` before the first."""
        self._dropped = -1
        self._seqs: list[int] = []
        self._messages: list[SseMessage] = []
        self._bytes = 0
        self._joined: dict[tuple[int, bool, bool], tuple[int, bytes]] = {}
        self._news: asyncio.Future[None] | None = None
        self._copies: list[SseMessages] = []

    def add(self, messages: Sequence[SseMessage]) -> None:
        """Takes new messages; those that it had are left out: after a failure the journal repeats them."""
        new = [message for message in messages if message.seq > self.seq]
        if not new:
            return
        if self._first is None:
            self._first = new[0].seq - 1
        self._seqs += [message.seq for message in new]
        self._messages += new
        self._bytes += sum(message.size for message in new)
        self.seq = new[-1].seq
        self._joined.clear()
        self._trim()
        self._tell()

    def begin_again(self, snapshot: SseMessages) -> None:
        """Gives each viewer this snapshot, between the events that it has and those after it."""
        self.round += 1
        self.round_seq = snapshot.seq
        self._beginning.hold(snapshot)
        self.seq = max(self.seq, snapshot.seq)
        if self._first is None:
            self._first = self.seq
        self._joined.clear()
        self._tell()

    @property
    def beginning(self) -> SseMessages | None:
        """The snapshot of this round, for those who have everything before it; `None` when it is held no longer."""
        return self._beginning.value if self.reaches(self.round_seq) else None

    def reaches(self, seq: int) -> bool:
        """Returns whether everything that came after this message is still here, or yet to come."""
        return seq >= self._dropped

    def covers(self, seq: int) -> bool:
        """Returns whether somebody who returns with this as the last message can go on from here."""
        return self._first is not None and max(self._first, self._dropped) <= seq <= self.seq

    def next_piece(self, after: int, *, of_last_round: bool, with_text: bool) -> tuple[int, bytes] | None:
        """Returns the next messages after this one as they are sent, with the last one's seq; `None` without any.

        Viewers that are at the same message get the same bytes.
        """
        key = (after, of_last_round, with_text)
        if key not in self._joined:
            parts, size, seq = [], 0, after
            end = bisect_right(self._seqs, self.round_seq) if of_last_round else len(self._seqs)
            for message in self._messages[bisect_right(self._seqs, after) : end]:
                parts.append(message.encoded(with_text=with_text))
                size, seq = size + len(parts[-1]), message.seq
                if size >= PIECE:
                    break
            if not parts:
                return None
            if len(self._joined) >= 16:
                self._joined.clear()
            self._joined[key] = (seq, b"".join(parts))
        return self._joined[key]

    async def news(self, seconds: float) -> bool:
        """Waits for new messages; returns whether there are some within so many seconds."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._news,), timeout=seconds)
        return bool(done)

    def lend(self, copy: SseMessages) -> None:
        """Notes a copy that viewers are being sent; where there are too many, those of the oldest must begin again."""
        in_use = {id(viewer.reading) for viewer in self.viewers}
        self._copies = [one for one in self._copies if id(one) in in_use and one is not copy]
        while len(self._copies) >= _COPIES:
            oldest = self._copies.pop(0)
            for viewer in self.viewers:
                if viewer.reading is oldest:
                    viewer.reading = None
        self._copies.append(copy)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _trim(self) -> None:
        """Drops the oldest messages that are not needed, and those beyond the bounds."""
        needed = min((viewer.needs_after for viewer in self.viewers), default=self.seq)
        count, size = 0, self._bytes
        for message in self._messages:
            left = len(self._messages) - count
            if (left <= _KEPT and size <= _KEPT_BYTES) or left == 1:
                break
            if message.seq > needed and left <= _MOST and size <= _MOST_BYTES:
                break
            count, size = count + 1, size - message.size
        if count:
            self._dropped = self._seqs[count - 1]
            del self._seqs[:count], self._messages[:count]
            self._bytes = size
