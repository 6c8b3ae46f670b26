"""The webhook sink: one request at a time, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from publisher import Ended, Event, Rejected, Retry, Sink, SinkContext
from publisher.text import joined

from .authentication import Authentication, load_authentication
from .cuts import Cuts
from .formats import BATCH_EVENTS, FORMATS, Payload, batch, content_type, text
from .options import WebhookOptions
from .outcome import NotAnswered, RefusalPeriod, Response, judge
from .signature import sign

if TYPE_CHECKING:
    from .http import Poster

# Both families of a change are one line, so they are to come in one batch, of which a crash repeats the whole.
_TEXT_EVENTS = 8


class WebhookSink(Sink):
    """Posts each event to a URL, as a CloudEvent, signed by Standard Webhooks."""

    Options = WebhookOptions
    options: WebhookOptions
    # Each event is confirmed by itself: after a stop or a crash within a batch, delivered events would be repeated.
    batch_size = 1
    _authentication: Authentication
    _poster: Poster | None = None
    _ended: str | None = None

    def __init__(self, options: WebhookOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._cuts = Cuts()
        self._refusals = RefusalPeriod(options.retry_refusals.total_seconds())

    def open(self) -> None:
        """Reads the secrets and prepares the connection; sends nothing. Raises ConfigurationError."""
        self._prepare()
        if self.options.batch:
            self.batch_size = BATCH_EVENTS
        elif self.options.format == "text":
            self.batch_size = _TEXT_EVENTS

    def publish(self, events: Sequence[Event]) -> None:
        """Posts the events, one request after the other; a request takes at most `timeout` seconds.

        The files with secrets are read again each time, so a new secret counts without a restart.
        """
        self._authentication = load_authentication(self.options)
        if self.options.batch:
            self._post_batches(events)
        elif self.options.format == "text":
            self._post_texts(events)
        else:
            as_payload = FORMATS[self.options.format]
            for index, event in enumerate(events):
                self._post(as_payload(event), index)

    def _post_texts(self, events: Sequence[Event]) -> None:
        places = {event.id: index for index, event in enumerate(events)}
        for change in joined(events):
            self._post(text(change), places[change[0].id])

    def _post_batches(self, events: Sequence[Event]) -> None:
        index = 0
        while index < len(events):
            part = self._cuts.next(events[index:])
            self._post_batch(part, index)
            index += len(part)

    def close(self) -> None:
        """Closes the connection."""
        if self._poster is not None:
            self._poster.close()

    def check(self) -> str:
        """Returns the receiver's status for an OPTIONS request; no event is sent.

        Raises ConfigurationError for files that cannot be used, and Retry when no response comes.
        """
        poster = self._prepare()
        try:
            response = self._masked(poster.probe(self._authentication.headers))
        except NotAnswered as error:
            raise Retry(self._authentication.mask(str(error))) from None
        signed = "signed" if self._authentication.keys else "not signed"
        return (
            f"{self.options.origin} answers (to OPTIONS: status {response.status}); requests are {signed}, "
            f"as {content_type(self.options.format, batch=self.options.batch)}"
        )

    def _prepare(self) -> Poster:
        # Imported here: a configuration is validated without urllib3.
        from .http import Poster

        self._authentication = load_authentication(self.options)
        self._poster = Poster(self.options)
        return self._poster

    def _post_batch(self, part: Sequence[Event], index: int) -> None:
        try:
            self._post(batch(part), index)
        except Rejected:
            self._cuts.settle(part)
            if len(part) == 1:
                raise
            # One event may have spoilt the batch: posted one by one, the receiver shows which.
            self._cuts.split(part)
            for offset, event in enumerate(part):
                self._post_batch([event], index + offset)
        else:
            self._cuts.settle(part)

    def _post(self, payload: Payload, index: int) -> None:
        assert self._poster is not None
        if self._ended is not None:
            raise Ended(self._ended, index=index)
        try:
            response = self._poster.post(self._headers(payload), payload.body)
        except NotAnswered as error:
            raise Retry(self._authentication.mask(str(error)), index=index) from None
        try:
            judge(self._masked(response), datetime.now(UTC), self._refusals, index)
        except Ended as error:
            # Nothing is sent after this, not even a dead letter on request.
            self._ended = error.reason
            raise

    def _headers(self, payload: Payload) -> dict[str, str]:
        headers = self._authentication.headers | payload.headers
        if self._authentication.keys:
            timestamp = int(time.time())
            headers["webhook-id"] = payload.id
            headers["webhook-timestamp"] = str(timestamp)
            headers["webhook-signature"] = sign(self._authentication.keys, payload.id, timestamp, payload.body)
        return headers

    def _masked(self, response: Response) -> Response:
        # A receiver under development answers with all that it was sent.
        return replace(response, start=self._authentication.mask(response.start.decode(errors="replace")).encode())
