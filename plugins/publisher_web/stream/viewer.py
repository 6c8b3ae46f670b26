"""One viewer of `/events`: what it missed or the snapshot, then the changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ..shown.interfaces import ShownInterfaces
from .messages import HEARTBEAT, RETRY, LastSeen, SseMessages, joined_pieces, node_message

_HEARTBEAT_SECONDS = 15.0


class PageViewer:
    """The state of one viewer, and the messages that it is sent. The server's loop.

    A viewer that stops reading holds up only itself: it waits in `pieces`, whatever is dropped meanwhile from the
    stream or from `reading` it no longer gets, and it begins again with the snapshot.
    """

    def __init__(self, shown: ShownInterfaces, last_seen: LastSeen | None, *, with_text: bool) -> None:
        self.seq: int | None = None
        """It has, or is being sent, everything up to this message; `None` when it needs the snapshot."""
        self.reading: SseMessages | None = None
        """The copy that it is being sent; the stream takes it away when there are too many."""
        self._waits_after: int | None = None
        """The newest message when it asked for the snapshot."""
        self._shown = shown
        self._stream = shown.stream
        self._last_seen = last_seen
        self._with_text = with_text
        self._round = self._stream.round

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields what is sent, for ever."""
        yield RETRY
        if self._last_seen is not None:
            await self._resume(self._last_seen)
            async for piece in self._copy(self._last_seen.seq):
                yield piece
            if self.seq is not None:
                yield self._nodes(in_sync=True)
        while True:
            if self.seq is None or not self._stream.reaches(self.seq):
                async for piece in self._snapshot(None):
                    yield piece
            elif self._is_behind and self.seq >= self._stream.round_seq:
                async for piece in self._snapshot(self._stream.beginning):
                    yield piece
            elif found := self._stream.next_piece(self.seq, of_last_round=self._is_behind, with_text=self._with_text):
                self.seq, piece = found
                yield piece
            elif not await self._stream.news(_HEARTBEAT_SECONDS):
                yield HEARTBEAT

    @property
    def _is_behind(self) -> bool:
        """True if a new round has begun, and it has yet to get the snapshot of that."""
        return self._round != self._stream.round

    @property
    def needs_after(self) -> int:
        """The last message that it has, or that the snapshot has that it waits for."""
        seq = self._waits_after if self.seq is None else self.seq
        return self._stream.seq if seq is None else seq

    async def _resume(self, last_seen: LastSeen) -> None:
        """Goes on after the last message that it has, if everything since then is there."""
        if last_seen.epoch != self._shown.epoch:
            return
        if self._stream.covers(last_seen.seq):
            self.seq = last_seen.seq
            if last_seen.seq < self._stream.round_seq:
                self._round -= 1
            return
        self._waits_after = self._stream.seq
        missed = await self._shown.missed(last_seen.seq)
        if missed is not None:
            self._take(missed)

    async def _snapshot(self, given: SseMessages | None) -> AsyncGenerator[bytes, None]:
        """Yields the given snapshot, else one of the rows as they are now."""
        yield self._nodes(in_sync=False)
        if given is None:
            self.seq, self._waits_after = None, self._stream.seq
            given = await self._shown.snapshot()
        self._round = self._stream.round
        self._take(given)
        async for piece in self._copy():
            yield piece
        if self.seq is not None:
            yield self._nodes(in_sync=self._shown.knows_rows(given))

    def _take(self, copy: SseMessages) -> None:
        self.seq, self.reading = copy.seq, copy
        self._stream.lend(copy)

    async def _copy(self, after: int = -1) -> AsyncGenerator[bytes, None]:
        """Yields the messages of a copy after this one; ends when the copy was taken away."""
        copy = self.reading
        if copy is None:
            return
        wanted = (message.encoded(with_text=self._with_text) for message in copy.messages if message.seq > after)
        for piece in joined_pieces(wanted):
            yield piece
            if self.reading is not copy:
                self.seq = None
                return
        self.reading = None

    def _nodes(self, *, in_sync: bool) -> bytes:
        return b"".join(node_message(node) for node in self._shown.nodes(self.seq or 0, in_sync=in_sync))
