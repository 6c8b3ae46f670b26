"""Answers to `replay/get`, each whole on the sink's thread, so that none is older than an event sent before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from publisher import Cursor, SinkContext

from .messages import Message, Messages
from .replay import Inbox, answer_messages, answer_to, error_message, read_request, rest_after
from .retained import Planned

if TYPE_CHECKING:
    from .client.connection import Received
    from .options import MqttOptions
    from .topics import Topics


class Answering:
    """Takes requests on paho's thread and answers them on the sink's; `send` sends what it is given, if it can."""

    def __init__(
        self,
        options: MqttOptions,
        context: SinkContext,
        topics: Topics,
        messages: Messages,
        send: Callable[[Iterable[Planned]], None],
    ) -> None:
        self._options = options
        self._context = context
        self._topics = topics
        self._messages = messages
        self._send = send
        self._inbox = Inbox(options.replay, context.log)
        self._not_before = 0.0
        self.newest: Callable[[], Cursor | None] = lambda: None
        """What was published last, to tell without looking whether too much has happened since."""

    def arrived(self, message: Received) -> None:
        """Keep a request and have it answered, unless it is over a limit. paho's thread."""
        if self._inbox.put(message):
            self._context.call(self._answer)

    def _answer(self) -> None:
        """Answer the oldest request, unless answers have had their share of the time."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            self._context.call(self._answer, wait)
            return
        message, started = self._inbox.get(), time.monotonic()
        if message is not None:
            self._send(Planned(reply, None) for reply in self._replies(message))
            self._not_before = time.monotonic() + rest_after(time.monotonic() - started)

    def _replies(self, message: Received) -> Iterable[Message]:
        ask = read_request(message, self._topics, self._options.home_assistant.prefix)
        if isinstance(ask, str):
            self._inbox.drop(ask)
            return []
        if ask.request is None:
            return [error_message(ask, self._messages)]
        answer = answer_to(ask.request, self._context, self.newest(), self._options.replay)
        return answer_messages(ask, answer, self._messages)
