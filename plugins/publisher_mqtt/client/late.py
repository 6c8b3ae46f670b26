"""Messages that have to wait: retained ones that a broker sends late, and ours that it refused for the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from publisher import SinkContext

from ..found import contents_of, no_wildcards
from .errors import BrokerError
from .later import Later

if TYPE_CHECKING:
    from ..messages import Topics
    from ..retained import Planned, RetainedState
    from .readback import ReadBack
    from .refusals import Refusals

Send = Callable[[Iterable["Planned"]], None]

# So often, and so many times in a row without a message, retained messages that come late are taken.
_LATE_SECONDS, _LATE_ROUNDS = 1.0, 5


class LateRetained:
    """Reads back, and takes the retained messages that some brokers send after the fence (aedes does).

    On the sink's thread.

    `present` returns the read-back in use and whether the session is ready; `None` without a connection. `has_info`
    returns whether the broker acknowledged our `info`; `failed` is called when the connection ends over a message.
    """

    def __init__(
        self,
        context: SinkContext,
        topics: Topics,
        retained: RetainedState,
        refusals: Refusals,
        present: Callable[[], tuple[ReadBack, bool] | None],
        has_info: Callable[[], bool],
        send: Send,
        failed: Callable[[BrokerError], None],
    ) -> None:
        self._topics = topics
        self._retained = retained
        self._refusals = refusals
        self._present = present
        self._has_info = has_info
        self._send = send
        self._failed = failed
        self._rounds = 0
        self._had_info = True
        self._job = Later(context, self._take)

    def read(self, readback: ReadBack, info: bytes | None) -> None:
        """Reads what the broker retains, then looks for late messages until none came for a while.

        `info` is the retained one, as a subscription to that topic alone received it. Raises BrokerError.
        """
        contents = self._retained.read_back(readback, info)
        root, self._had_info = self._topics.root, bool(info)
        if not contents.has_wildcards:
            self._refusals.warn_once(no_wildcards(self._topics))
        elif not contents.complete:
            self._refusals.warn_once(
                f"cannot read back everything under {root}: states of removed interfaces may stay there"
            )
        self._rounds = _LATE_ROUNDS
        self._job.after(_LATE_SECONDS)

    def _take(self) -> None:
        present = self._present()
        if present is None:
            return
        readback, is_ready = present
        found = readback.late()
        self._rounds = _LATE_ROUNDS if found else self._rounds - 1
        if found:
            self._send(self._retained.late(contents_of(self._topics, found), ready=is_ready))
        if self._rounds > 0 or not (self._had_info or is_ready):
            self._job.after(_LATE_SECONDS)
        elif self._had_info:
            readback.end()
        else:
            self._look_for_own(readback)

    def _look_for_own(self, readback: ReadBack) -> None:
        """Reads back what was just published, since nothing was retained before that could have shown a fault."""
        try:
            contents = self._retained.finder.read_own(readback)
        except BrokerError as error:
            self._failed(error)
            return
        readback.end()
        if self._has_info() and contents.complete and not contents.own:
            self._refusals.warn_once(no_wildcards(self._topics))
        self._had_info = True


class Postponed:
    """Messages that the broker refused for the moment: sent again after a while, unless newer ones replaced them."""

    def __init__(self, context: SinkContext, send: Send) -> None:
        self._send = send
        self._messages: dict[str, Planned] = {}
        self._job = Later(context, self._send_again)

    def clear(self) -> None:
        """Forgets them: with a new connection everything that is missing is published."""
        self._messages.clear()

    def add(self, planned: Iterable[Planned], seconds: float) -> None:
        """Sends these again after so many seconds."""
        added = {one.message.topic: one for one in planned}
        if added:
            self._messages |= added
            self._job.after(seconds)

    def passing(self, planned: Iterable[Planned]) -> Iterator[Planned]:
        """Yields messages that are sent now, and forgets what they replace."""
        for one in planned:
            if self._messages:
                self._messages.pop(one.message.topic, None)
            yield one

    def _send_again(self) -> None:
        messages, self._messages = self._messages, {}
        self._send(messages.values())
