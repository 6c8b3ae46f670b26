"""The messages that a broker refuses: which stop a batch, which are logged and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from publisher import Log, Rejected, Retry

from .reason_codes import HUNG_UP, Meaning, reason_for

if TYPE_CHECKING:
    from ..messages import MqttMessage

_MOST_WARNINGS = 100
_MOST_HUNG_UP = 3


class Refusal(NamedTuple):
    """A message that the broker refuses (MQTT 5, 3.4.2.1), or that is not sent since it would."""

    message: MqttMessage
    tag: Any
    code: int
    reason: str

    @property
    def meaning(self) -> Meaning:
        """The consequence of the refusal."""
        return reason_for(self.code).meaning

    @property
    def text(self) -> str:
        """The refusal as a line for people."""
        return f"the broker refuses {self.message.topic}: {self.reason}"


class Refusals:
    """Judges refusals; `give_up_discovery` is given each refused topic, and returns whether it gave up something."""

    def __init__(self, log: Log, give_up_discovery: Callable[[str], bool]) -> None:
        self._log = log
        self._give_up_discovery = give_up_discovery
        self._warned: set[str] = set()
        self._hung_up: set[str] = set()

    def judge(self, refusals: Sequence[Refusal]) -> list[Refusal]:
        """Returns those that the broker may take later, after logging the others.

        Raises, for the first event concerned, Rejected when it is refused for good, and Retry when it may be taken
        later, as when permissions are corrected.
        """
        of_events = [(one.tag.at, one) for one in refusals if one.tag is not None and one.tag.at is not None]
        others = [one for one in refusals if one.tag is None or one.tag.at is None]
        again = [refusal for refusal in others if not self._is_settled(refusal)]
        for index, refusal in sorted(of_events, key=lambda entry: entry[0]):
            if refusal.meaning != "never":
                raise Retry(refusal.text, index=index)
            if refusal.tag.state_of is None:
                raise Rejected(refusal.text, index=index)
            self.warn_once(refusal.text, about=refusal.message.topic)
        return again

    def _is_settled(self, refusal: Refusal) -> bool:
        """Logs a refusal that concerns no event; returns False when the broker may take the message later."""
        topic = refusal.message.topic
        if refusal.code == HUNG_UP:
            # One may be too large; each more would cost two connections.
            self._hung_up.add(topic)
            is_off = len(self._hung_up) >= _MOST_HUNG_UP
        else:
            self.warn_once(refusal.text, about=f"{topic} {refusal.code}")
            is_off = refusal.meaning == "permission"
        if is_off and self._give_up_discovery(topic):
            self._log.warning("Home Assistant discovery is off: the broker refuses its topics")
        return refusal.meaning != "again"

    def warn_once(self, line: str, about: str = "") -> None:
        """Logs a line unless it, or another about the same thing, was logged before."""
        # Bounded: a host may have thousands of rows, and each of them has topics.
        about = about or line
        if about not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(about)
            self._log.warning("%s", line)
