"""Messages that the broker refuses: which of them stop a batch, and which are logged and left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from publisher import Log, Rejected, Retry

if TYPE_CHECKING:
    from .inflight import Refusal

# MQTT 5, 3.4.2.1: topic name invalid, packet too large, payload format invalid. Sending it again would not help.
TOO_LARGE = 0x95
_FOR_GOOD = frozenset({0x90, TOO_LARGE, 0x99})
_MOST_WARNINGS = 100


class Refusals:
    """Judges refusals; `give_up_discovery` is given each refused topic, and returns whether it gave up something."""

    def __init__(self, log: Log, give_up_discovery: Callable[[str], bool]) -> None:
        self._log = log
        self._give_up_discovery = give_up_discovery
        self._warned: set[str] = set()

    def judge(self, refusal: Refusal) -> None:
        """Raises Rejected for an event that is refused for good, and Retry for permissions that may be corrected."""
        if refusal.tag is None or (refusal.code in _FOR_GOOD and not refusal.topic.endswith("/event")):
            self.note(refusal)
        elif refusal.code in _FOR_GOOD:
            raise Rejected(refusal.text, index=refusal.tag)
        else:
            raise Retry(refusal.text)

    def note(self, refusal: Refusal) -> None:
        """Logs a refusal; discovery that is refused is given up until the next start."""
        self.warn_once(refusal.text)
        if self._give_up_discovery(refusal.topic):
            self._log.warning("Home Assistant discovery is off: the broker refuses its topics")

    def warn_once(self, line: str) -> None:
        """Logs a line that was not logged before."""
        # Bounded: the sender of a replay request chooses the topic of the answer, and so a topic that may be refused.
        if line not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(line)
            self._log.warning("%s", line)
