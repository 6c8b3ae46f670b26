"""The webhook sink: one request at a time, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from publisher import Ended, Event, Rejected, Retry, Sink

from .cloudevents import BATCH_EVENTS, FORMATS, Message, batch, batches
from .credentials import Credentials, load_credentials
from .options import WebhookOptions
from .outcome import Answer, NotAnswered, judge
from .signature import sign

if TYPE_CHECKING:
    from .http import Poster


class WebhookSink(Sink):
    """POST each event to a URL, as CloudEvents, signed by Standard Webhooks."""

    Options = WebhookOptions
    options: WebhookOptions
    # Each event is confirmed by itself: a stop or a crash amid a batch would repeat what was delivered of it.
    batch_size = 1
    _credentials: Credentials
    _poster: Poster | None = None
    _ended: str | None = None

    def open(self) -> None:
        """Read the secrets and get ready; nothing is sent. Raises ConfigurationError."""
        # Imported here: a configuration is checked without urllib3.
        from .http import Poster

        self._credentials = load_credentials(self.options)
        self._poster = Poster(self.options)
        if self.options.batch:
            self.batch_size = BATCH_EVENTS

    def publish(self, events: Sequence[Event]) -> None:
        """Post the events, one request after the other; a request takes at most `timeout` seconds.

        The files with secrets are read anew each time, so that a rotated one counts without a restart.
        """
        self._credentials = load_credentials(self.options)
        if not self.options.batch:
            as_message = FORMATS[self.options.format]
            for index, event in enumerate(events):
                self._post(as_message(event), index)
            return
        index = 0
        for part in batches(events):
            self._post_batch(part, index)
            index += len(part)

    def close(self) -> None:
        if self._poster is not None:
            self._poster.close()

    def check(self) -> str:
        """Returns the receiver's answer to an OPTIONS request; no event is sent.

        Raises ConfigurationError for files that cannot be used, and Retry when nobody answers.
        """
        from .http import Poster

        self._credentials = load_credentials(self.options)
        self._poster = Poster(self.options)
        try:
            answer = self._hidden(self._poster.probe(self._credentials.headers))
        except NotAnswered as error:
            raise Retry(self._credentials.hide(str(error))) from None
        signed = "signed" if self._credentials.keys else "not signed"
        return f"{self.options.origin} answers (to OPTIONS: status {answer.status}); requests are {signed}"

    def _post_batch(self, events: Sequence[Event], index: int) -> None:
        try:
            self._post(batch(events), index)
        except Rejected:
            if len(events) == 1:
                raise
            # One event may have spoilt the batch: each by itself shows which.
            for offset, event in enumerate(events):
                self._post(batch([event]), index + offset)

    def _post(self, message: Message, index: int) -> None:
        assert self._poster is not None
        if self._ended is not None:
            raise Ended(self._ended, index=index)
        try:
            answer = self._poster.post(self._headers(message), message.body)
        except NotAnswered as error:
            raise Retry(self._credentials.hide(str(error)), index=index) from None
        try:
            judge(self._hidden(answer), datetime.now(UTC), index)
        except Ended as error:
            # Nothing is sent after this, not even a dead letter that somebody wants to be sent again.
            self._ended = error.reason
            raise

    def _headers(self, message: Message) -> dict[str, str]:
        headers = self._credentials.headers | message.headers
        if self._credentials.keys:
            timestamp = int(time.time())
            headers["webhook-id"] = message.id
            headers["webhook-timestamp"] = str(timestamp)
            headers["webhook-signature"] = sign(self._credentials.keys, message.id, timestamp, message.body)
        return headers

    def _hidden(self, answer: Answer) -> Answer:
        return replace(answer, start=self._credentials.hide(answer.start.decode(errors="replace")).encode())
