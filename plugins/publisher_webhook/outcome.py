"""Maps responses to outcomes: delivered, Retry, Rejected or Ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from publisher import Ended, PublisherError, Rejected, Retry

SHOWN_BYTES = 1024
# A receiver may ask for a pause; a typing error there must not end deliveries.
LONGEST_RETRY_AFTER = 3600.0
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_CREDENTIALS = "check the token, the headers and the secret"
_ADDRESS = "check url"
# These are about the destination and not about the event: a receiver that is redeployed, a token that was rotated, a
# proxy or a login page before it. Redirects are among them.
_ABOUT_THE_DESTINATION = {
    HTTPStatus.UNAUTHORIZED: _CREDENTIALS,
    HTTPStatus.PAYMENT_REQUIRED: "check the account there",
    HTTPStatus.FORBIDDEN: _CREDENTIALS,
    HTTPStatus.NOT_FOUND: _ADDRESS,
    HTTPStatus.METHOD_NOT_ALLOWED: _ADDRESS,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "check the credentials for the proxy",
    HTTPStatus.MISDIRECTED_REQUEST: _ADDRESS,
    HTTPStatus.UPGRADE_REQUIRED: _ADDRESS,
    **dict.fromkeys(range(300, 400), "redirects are not followed: set url to the new address"),
}


class NotAnswered(PublisherError):  # noqa: N818 - named like Retry and Rejected
    """No response came; the message has the reason. `reset` means that the connection broke before any of it."""

    def __init__(self, reason: str, *, reset: bool = False) -> None:
        super().__init__(reason)
        self.reset = reset


@dataclass(frozen=True)
class Response:
    """A response: its status, the values of its `Retry-After`, and the start of its body."""

    status: int
    retry_after: tuple[str, ...] = ()
    start: bytes = field(default=b"", repr=False)


class RefusalPeriod:
    """The refusals in a row that are about the destination: they are tried again for `seconds`, then rejected."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: float | None = None

    def end(self) -> None:
        """Notes that the destination accepts requests."""
        self._since = None

    def wait(self) -> bool:
        """Notes a refusal; returns whether it is tried again."""
        now = self._clock()
        if self._since is None:
            self._since = now
        return now - self._since < self._seconds


def judge(response: Response, now: datetime, refusals: RefusalPeriod, index: int = 0) -> None:
    """Returns when the receiver has the event; else raises Retry, Rejected or Ended at this index."""
    what = describe(response)
    status = response.status
    if remedy := _ABOUT_THE_DESTINATION.get(status):
        what = f"the receiver refuses requests, {remedy}: {what}"
        if refusals.wait():
            raise Retry(what, after=retry_after(response.retry_after, now), index=index)
        raise Rejected(what, index=index)
    if status >= 500 or status in _AGAIN:
        raise Retry(what, after=retry_after(response.retry_after, now), index=index)
    refusals.end()
    if status == HTTPStatus.GONE:
        raise Ended(f"the receiver takes no more events: {what}", index=index)
    if not 200 <= status < 300:
        raise Rejected(what, index=index)


def describe(response: Response) -> str:
    """Returns the status and the first 1 KiB of the body, as one line of text."""
    shown = " ".join(response.start[:SHOWN_BYTES].decode(errors="replace").split())
    try:
        phrase = f" {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = ""
    return f"status {response.status}{phrase}{shown and ': '}{shown}"


def retry_after(values: Iterable[str], now: datetime) -> float | None:
    """Returns `Retry-After` (RFC 9110, 10.2.3) in seconds, 0 to an hour; `None` when it is missing or invalid.

    Of several headers, the longest pause counts.
    """
    pauses = [seconds for value in values if (seconds := _seconds(value.strip(" \t"), now)) is not None]
    return min(max(0.0, *pauses), LONGEST_RETRY_AFTER) if pauses else None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATES = tuple(
    re.compile(form, re.ASCII)
    for form in (
        # IMF-fixdate, also with an offset as e-mail has it; RFC 850; asctime: the three of RFC 9110, 5.6.7.
        r"[A-Z][a-z]{2}, (?P<day>\d{1,2}) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d) "
        r"(?:GMT|UTC|(?P<zone>[+-]\d{4}))",
        r"[A-Z][a-z]{5,8}, (?P<day>\d\d)-(?P<month>[A-Z][a-z]{2})-(?P<year>\d\d) (?P<clock>\d\d:\d\d:\d\d) GMT",
        r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?P<clock>\d\d:\d\d:\d\d) (?P<year>\d{4})",
    )
)


def _seconds(value: str, now: datetime) -> float | None:
    if re.fullmatch(r"[0-9]+", value):
        return float(value) if len(value) < 16 else LONGEST_RETRY_AFTER
    match = next(filter(None, (form.fullmatch(value) for form in _DATES)), None)
    moment = _moment(match.groupdict(), now) if match else None
    return None if moment is None else (moment[0] - now - moment[1]).total_seconds()


def _moment(parts: dict[str, str | None], now: datetime) -> tuple[datetime, timedelta] | None:
    """Returns the date and its offset from UTC; `None` when there is no such date or offset."""
    zone = parts.get("zone") or "+0000"
    hours, minutes, seconds = (int(part) for part in str(parts["clock"]).split(":"))
    try:
        month = _MONTHS.index(str(parts["month"])) + 1
        year = int(str(parts["year"]))
        # Two digits are of the century that puts the date at most 50 years ahead (RFC 9110, 5.6.7).
        if len(str(parts["year"])) == 2:
            year += now.year // 100 * 100
            year -= 100 if year > now.year + 50 else 0
        # 60 is a leap second.
        moment = datetime(year, month, int(str(parts["day"])), hours, minutes, min(seconds, 59), tzinfo=UTC)
    except ValueError:
        return None
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    if seconds > 60 or zone[3:] > "59" or offset >= timedelta(days=1):
        return None
    return moment, -offset if zone[0] == "-" else offset
