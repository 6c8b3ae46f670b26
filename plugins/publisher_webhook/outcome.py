"""What an answer means: delivered, again later, never, or never anything again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from publisher import Ended, PublisherError, Rejected, Retry

SHOWN_BYTES = 1024
# A receiver may ask for a pause, but not for the end of deliveries by a typing error.
LONGEST_RETRY_AFTER = 3600.0
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class NotAnswered(PublisherError):  # noqa: N818 - it says what happened, like Retry and Rejected
    """There was no answer; the message says why. `reset` is whether the connection broke before any of an answer."""

    def __init__(self, reason: str, *, reset: bool = False) -> None:
        super().__init__(reason)
        self.reset = reset


@dataclass(frozen=True)
class Answer:
    """What came back: the status, `Retry-After` if there, and the start of the body."""

    status: int
    retry_after: str | None = None
    start: bytes = field(default=b"", repr=False)


def judge(answer: Answer, now: datetime, index: int = 0) -> None:
    """Return when the answer says that the message is safe; else raise Retry, Rejected or Ended at this index."""
    what = describe(answer)
    match answer.status:
        case status if 200 <= status < 300:
            return
        case HTTPStatus.GONE:
            raise Ended(f"the receiver wants nothing more until the configuration changes: {what}", index=index)
        case status if status >= 500 or status in _AGAIN:
            raise Retry(what, after=retry_after(answer.retry_after, now), index=index)
        case status if 300 <= status < 400:
            raise Rejected(f"redirects are not followed, set url to the new address: {what}", index=index)
        case _:
            raise Rejected(what, index=index)


def describe(answer: Answer) -> str:
    """The status and the first 1 KiB of the answer, as one line of text."""
    shown = " ".join(answer.start[:SHOWN_BYTES].decode(errors="replace").split())
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    return f"status {answer.status}{phrase}{shown and ': '}{shown}"


def retry_after(value: str | None, now: datetime) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3) in seconds, at most an hour; `None` when there is none that can be read."""
    seconds = None if value is None else _seconds(value.strip(), now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds(value: str, now: datetime) -> float | None:
    if value.isdecimal() and value.isascii():
        return float(value) if len(value) < 16 else math.inf
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # "-0000" is UTC without a zone
    return (aware - now).total_seconds()
