"""The workers, woken in turn: each wakes the next one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, zip_longest

from .inbox import Inbox

# One works while the other waits for its destination.
_AT_ONCE = 2


class Relay:
    """Wakes workers in the order of the configuration. The core's thread calls it.

    All get the note, and two are woken; a worker that wakes begins with waking the next one that waits. When 50 are
    woken at once, they all ask for the interpreter at each system call of any, and each has its event when nearly all
    have it: a file sink beside 49 others had it after 6.3 ms, and after 2.7 in turn, of which 2.0 are its own
    (docs/performance.md).

    None is left out: one that does not wait looks for news before it does, and is passed over. Nobody waits for a
    worker, since it wakes the next one before it does anything else. When the order changes meanwhile, two are woken
    anew.
    """

    def __init__(self) -> None:
        self._inboxes: Sequence[Inbox] = ()

    def order(self, inboxes: Sequence[Inbox]) -> None:
        """Has these woken from now on, in this order."""
        self._inboxes = inboxes
        for inbox, following in zip_longest(inboxes, inboxes[1:]):
            inbox.following = following
        self._rouse()  # those that were to be woken in the order before

    def wake(self) -> None:
        """Wakes all: the journal has something new."""
        for inbox in self._inboxes:
            inbox.note_news()
        self._rouse()

    def _rouse(self) -> None:
        woken = (inbox for inbox in self._inboxes if inbox.rouse())
        list(islice(woken, _AT_ONCE))
