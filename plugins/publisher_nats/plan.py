"""The messages for a batch of events: which keys, in which order, and where the position moves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from publisher import Cursor, Event

from .messages import NatsMessage
from .names import NodeSubjects

OPERATION = "KV-Operation"


@dataclass(frozen=True)
class KeyWrite:
    """One message, and what is true when it is stored."""

    message: NatsMessage | None
    """None where the position alone moves."""
    done: int
    """So many events of the batch are stored then."""
    cursor: Cursor | None
    """The last event that the bucket then holds whole; None within a snapshot."""
    event_id: str = ""


class SnapshotRows:
    """The keys of the snapshot that is being written, over as many batches as it takes."""

    def __init__(self, subjects: NodeSubjects) -> None:
        self._subjects = subjects
        self._id = ""
        self._seen: set[str] | None = None

    def take(self, event: Event) -> None:
        """Notes a row of a snapshot."""
        assert event.snapshot is not None, "it is of a snapshot"
        if event.snapshot.position == 0:
            self._id, self._seen = event.snapshot.id, set()
        elif event.snapshot.id != self._id:
            self._seen = None  # its beginning is not known: nothing is deleted for it
        if self._seen is not None and event.luid is not None and event.family is not None:
            self._seen.add(self._subjects.row(event.luid, event.family))

    def missing(self, subjects: Iterable[str]) -> list[str]:
        """Returns those of the bucket's keys of the node that the snapshot does not have."""
        if self._seen is None:
            return []
        return sorted(one for one in subjects if self._subjects.is_row(one) and one not in self._seen)


def is_end(event: Event) -> bool:
    """Returns whether this is the last event of a snapshot."""
    return event.snapshot is not None and event.snapshot.position == event.snapshot.count


def step_of(event: Event, index: int, subjects: NodeSubjects) -> KeyWrite:
    """Returns the step that stores an event, the one at `index` of its batch."""
    cursor = Cursor(event.epoch, event.seq) if event.snapshot is None or is_end(event) else None
    if event.luid is None or event.family is None:
        return KeyWrite(None, index + 1, cursor, event.id)
    headers = {OPERATION: "DEL"} if event.notification_type == "delete_instance" else {}
    message = NatsMessage(subjects.row(event.luid, event.family), event.json_bytes, headers)
    return KeyWrite(message, index + 1, cursor, event.id)


def chunks(steps: Sequence[KeyWrite], most: int) -> Iterable[Sequence[KeyWrite]]:
    """Yields the steps in parts of at most so many."""
    for start in range(0, len(steps), most):
        yield steps[start : start + most]
