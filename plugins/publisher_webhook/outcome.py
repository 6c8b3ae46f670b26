"""Maps responses to outcomes: delivered, Retry, Rejected or Ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from publisher import Ended, PublisherError, Rejected, Retry

SHOWN_BYTES = 1024
# A receiver may ask for a pause; a typing error there must not end deliveries.
LONGEST_RETRY_AFTER = 3600.0
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class NotAnswered(PublisherError):  # noqa: N818 - named like Retry and Rejected
    """No response came; the message has the reason. `reset` means that the connection broke before any of it."""

    def __init__(self, reason: str, *, reset: bool = False) -> None:
        super().__init__(reason)
        self.reset = reset


@dataclass(frozen=True)
class Response:
    """A response: its status, its `Retry-After`, and the start of its body."""

    status: int
    retry_after: str | None = None
    start: bytes = field(default=b"", repr=False)


def judge(response: Response, now: datetime, index: int = 0) -> None:
    """Returns when the receiver has the event; else raises Retry, Rejected or Ended at this index."""
    what = describe(response)
    match response.status:
        case status if 200 <= status < 300:
            return
        case HTTPStatus.GONE:
            raise Ended(f"the receiver takes no more events: {what}", index=index)
        case status if status >= 500 or status in _AGAIN:
            raise Retry(what, after=retry_after(response.retry_after, now), index=index)
        case status if 300 <= status < 400:
            raise Rejected(f"redirects are not followed, set url to the new address: {what}", index=index)
        case _:
            raise Rejected(what, index=index)


def describe(response: Response) -> str:
    """Returns the status and the first 1 KiB of the body, as one line of text."""
    shown = " ".join(response.start[:SHOWN_BYTES].decode(errors="replace").split())
    try:
        phrase = f" {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = ""
    return f"status {response.status}{phrase}{shown and ': '}{shown}"


def retry_after(value: str | None, now: datetime) -> float | None:
    """Returns `Retry-After` (RFC 9110, 10.2.3) in seconds, at most an hour; `None` when it is missing or invalid."""
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
