"""The outcome of each response."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from publisher.sink import Ended, Rejected, Retry
from publisher_webhook.outcome import LONGEST_RETRY_AFTER, Response, describe, judge, retry_after

NOW = datetime(2026, 11, 22, 20, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_delivered(status: int) -> None:
    judge(Response(status), NOW)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
def test_these_are_tried_again(status: int) -> None:
    with pytest.raises(Retry) as caught:
        judge(Response(status, retry_after="7"), NOW, 3)
    assert (caught.value.after, caught.value.index) == (7.0, 3)
    with pytest.raises(Retry) as caught:
        judge(Response(status), NOW)
    assert caught.value.after is None


@pytest.mark.parametrize(
    "status", [100, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 413, 422, 451]
)
def test_these_are_rejected_with_the_status_and_the_start_of_the_answer(status: int) -> None:
    with pytest.raises(Rejected, match=f"status {status}.*: no such hook") as caught:
        judge(Response(status, start=b"no such hook"), NOW, 2)
    assert caught.value.index == 2
    assert ("redirects are not followed" in caught.value.reason) == (300 <= status < 400)


def test_410_ends_the_sink() -> None:
    with pytest.raises(Ended, match="status 410 Gone: bye") as caught:
        judge(Response(410, start=b"bye"), NOW, 1)
    assert caught.value.index == 1


def test_the_answer_is_shown_in_one_line_and_its_first_kibibyte() -> None:
    assert describe(Response(400, start=b"a\r\n b\xff")) == "status 400 Bad Request: a b\ufffd"
    assert describe(Response(499, start=b"x" * 5000)) == "status 499: " + "x" * 1024


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("3601", LONGEST_RETRY_AFTER),
        ("9" * 5000, LONGEST_RETRY_AFTER),
        ("Sun, 22 Nov 2026 20:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 20:00:30 GMT", 30.0),
        ("Sun Nov 22 20:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 19:00:00 GMT", 0.0),
        ("Mon, 22 Nov 2027 20:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Sun, 22 Nov 2026 20:00:30 -0000", 30.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("Sun, 99 Nov 2026 20:00:30 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
