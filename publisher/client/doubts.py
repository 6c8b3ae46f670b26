"""The doubts about one node: an `info` that counts other rows, and messages from before the last event. No I/O."""

from __future__ import annotations

from ..sink import Cursor
from .given import GivenRows
from .received import NodeInfo

# New rows are counted in `info` before their states come, and `info` comes again after a quiet second.
_DOUBT_SECONDS = 2.0
# A message of an older epoch may be late; so many in a row show that the epoch that is known was made up.
_MOST_OLDER = 5


class Doubts:
    """Compares what a node says with what was given."""

    def __init__(self, given: GivenRows) -> None:
        self._given = given
        # An `info` that counts other rows than these, and when it came.
        self._info: tuple[NodeInfo, float] | None = None
        self._older = 0
        self._rows_asked_for: Cursor | None = None

    @property
    def are_open(self) -> bool:
        """True while an `info` waits to be judged."""
        return self._info is not None

    def settle(self) -> None:
        """Notes that the node's own word, or its next event, has come."""
        self._older = 0

    def is_confirmed(self, info: NodeInfo, now: float) -> bool:
        """Returns whether an `info` counts the given rows, as of the last event; one that does not is in doubt."""
        self._info = None
        at = self._given.at
        if at is None or info.rows is None or info.seq != at.seq:
            return False
        self._older = 0
        if not self._counts_as_many(info):
            self._info = info, now
        return self._info is None

    def is_due(self, now: float) -> bool:
        """Returns whether the doubt is old enough: no change followed."""
        return self._info is not None and now - self._info[1] >= _DOUBT_SECONDS

    def are_rows_missing(self) -> bool:
        """Ends the doubt; returns whether the rows are others than the node has."""
        info, self._info = self._info, None
        at = self._given.at
        if info is None or at is None or info[0].seq != at.seq:
            return False
        return not self._counts_as_many(info[0])

    def may_ask(self) -> bool:
        """Returns whether the rows were not yet asked for because of a doubt, as of the last event."""
        if self._rows_asked_for == self._given.at:
            return False
        self._rows_asked_for = self._given.at
        return True

    def is_older(self) -> bool:
        """Counts a message from before the last event; returns whether the node is to be asked: its own word counts."""
        self._older += 1
        if self._older < _MOST_OLDER:
            return False
        self._older = 0
        return True

    def _counts_as_many(self, info: NodeInfo) -> bool:
        return info.rows is not None and info.rows <= len(self._given) <= info.rows + info.missing
