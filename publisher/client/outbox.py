"""The events that wait for a subscription's reader: bounded, and given out in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..events import AnyEvent, SnapshotEvents
from ..garbage import uncollected

MOST_WAITING = 2_000
"""With so many events the reader is behind; an event takes about 6 KiB, and more with many addresses."""
# 35 KiB: an event with 2,000 addresses takes 700 KiB, and counts as 21.
_ADDRESSES_AS_ONE = 100
# So many are given at once: a reader that draws takes no more between two pictures.
_MOST_TAKEN = 1_000


@dataclass(frozen=True)
class NodeStatus:
    """A node, as its subscriber knows it.

    `in_sync` is true when every row of it was given, and nothing is known to be missing. `epoch` and `seq` are those of
    the last event. `skips` is true where the publisher's sink has a filter: then holes in `seq` are no loss.
    """

    node: str
    online: bool
    in_sync: bool
    epoch: str = ""
    seq: int = 0
    skips: bool = False


Entry = AnyEvent | NodeStatus
Waiting = Entry | SnapshotEvents[bytes]


class Outbox:
    """A queue with one writer, the subscription's thread, and one reader.

    A snapshot waits as the JSON of its rows, and its events are made when they are taken.
    """

    def __init__(self, roomy: Callable[[], object]) -> None:
        """`roomy` is called by the reader when it has taken so much that a writer without room may go on."""
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        # Of each node, the last status that waits; and those that a newer one has replaced.
        self._newest: dict[str, NodeStatus] = {}
        self._dropped: set[int] = set()
        self._count = 0
        self._was_full = False
        self._roomy = roomy
        # The reader's own: the snapshot that it has begun.
        self._snapshot: Sequence[AnyEvent] = ()
        self._position = 0
        self._listener: Callable[[], object] = lambda: None
        self._error: BaseException | None = None
        self.closed = False

    @property
    def has_room(self) -> bool:
        """False while too much waits: from then on until the reader has taken half of it."""
        with self._changed:
            self._was_full = self._count >= (MOST_WAITING // 2 if self._was_full else MOST_WAITING)
            return not self._was_full

    def listen(self, listener: Callable[[], object]) -> None:
        """Has a function called after each entry and at the end, on the thread that made it."""
        self._listener = listener

    def notify(self) -> None:
        """Calls the listener."""
        self._listener()

    def put(self, entry: Waiting) -> None:
        """Adds an entry; where much waits, the newest status of a node replaces the one before."""
        with self._changed:
            if self.closed:
                return
            if isinstance(entry, NodeStatus):
                if self._count >= MOST_WAITING:
                    self._drop_status(entry.node)
                self._newest[entry.node] = entry
            self._waiting.append(entry)
            self._count += _size(entry)
            self._changed.notify_all()
        self._listener()

    def _drop_status(self, node: str) -> None:
        """Has the last status of a node not given; it stays in its place for a while, since a search costs more."""
        if (known := self._newest.pop(node, None)) is not None:
            self._dropped.add(id(known))
            self._count -= 1
        if len(self._dropped) > MOST_WAITING:
            self._waiting = deque(one for one in self._waiting if id(one) not in self._dropped)
            self._dropped.clear()

    def end(self, error: BaseException | None = None) -> None:
        """Ends the queue: at once, or with an error behind what waits. Any thread, and more than once."""
        with self._changed:
            if error is None:
                self.closed = True
                self._waiting.clear()
                self._newest.clear()
                self._dropped.clear()
                self._count = 0
            else:
                self._error = error
            self._changed.notify_all()
        self._listener()

    def take(self, seconds: float, most: int = _MOST_TAKEN) -> list[Entry]:
        """Returns what waits, at most `most` entries; waits at most so long for the first one.

        Returns nothing after `end`, or raises its error. The reader's thread.
        """
        if taken := self._taken_rows(most):
            return taken
        with self._changed:
            if not (self._waiting or self.closed or self._error) and seconds > 0:
                self._changed.wait(seconds)
            taken = self._taken(most)
            has_room = self._was_full and self._count < MOST_WAITING // 2
            error = None if taken or self._snapshot or self.closed else self._error
        if error is not None:
            raise error
        if has_room:
            self._roomy()
        return taken or self._taken_rows(most)

    def _taken(self, most: int) -> list[Entry]:
        """Takes what waits, up to a snapshot; a snapshot that comes first is begun."""
        taken: list[Entry] = []
        while self._waiting and len(taken) < most:
            if isinstance(entry := self._waiting[0], SnapshotEvents):
                if taken:
                    break
                self._snapshot, self._position = entry, 0
            elif id(entry) in self._dropped:
                self._dropped.discard(id(self._waiting.popleft()))
                continue
            else:
                taken.append(entry)
            self._waiting.popleft()
            if isinstance(entry, NodeStatus) and self._newest.get(entry.node) is entry:
                del self._newest[entry.node]
            self._count -= _size(entry)
            if self._snapshot:
                break
        return taken

    @uncollected()
    def _taken_rows(self, most: int) -> list[Entry]:
        """Makes the next events of the snapshot, outside the lock: the writer does not wait for that."""
        if self.closed or not self._snapshot:
            return []
        taken = list(self._snapshot[self._position : self._position + most])
        self._position += len(taken)
        if self._position >= len(self._snapshot):
            self._snapshot = ()
        return [*taken]


def _size(entry: Waiting) -> int:
    match entry:
        case SnapshotEvents():
            return len(entry)
        case NodeStatus():
            return 1
        case _:
            return 1 + (len(entry.addresses) + len(entry.default_routes)) // _ADDRESSES_AS_ONE
