"""The outcome of each response."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime

import pytest

from publisher.sink import Ended, Rejected, Retry
from publisher_webhook.outcome import LONGEST_RETRY_AFTER, RefusalPeriod, Response, describe, judge, retry_after

NOW = datetime(2026, 11, 22, 20, 0, 0, tzinfo=UTC)


def refused_for_good() -> RefusalPeriod:
    return RefusalPeriod(0.0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_delivered(status: int) -> None:
    judge(Response(status), NOW, refused_for_good())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
def test_these_are_tried_again(status: int) -> None:
    with pytest.raises(Retry) as caught:
        judge(Response(status, retry_after=("7",)), NOW, refused_for_good(), 3)
    assert (caught.value.after, caught.value.index) == (7.0, 3)
    with pytest.raises(Retry) as caught:
        judge(Response(status), NOW, refused_for_good())
    assert caught.value.after is None


@pytest.mark.parametrize("status", [400, 406, 409, 411, 412, 413, 414, 415, 417, 422, 431, 451])
def test_these_are_about_the_event_and_rejected_with_the_start_of_the_answer(status: int) -> None:
    with pytest.raises(Rejected, match=f"status {status}.*: no such luid") as caught:
        judge(Response(status, start=b"no such luid"), NOW, RefusalPeriod(3600.0), 2)
    assert caught.value.index == 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 407, 421, 426])
def test_these_are_about_the_destination_and_tried_again_for_a_while(status: int) -> None:
    moments = iter([0.0, 59.0, 60.0, 61.0, 62.0, 63.0])
    refusals = RefusalPeriod(60.0, lambda: next(moments))
    for _ in range(2):
        with pytest.raises(Retry, match=f"status {status}.*: no such hook") as caught:
            judge(Response(status, start=b"no such hook", retry_after=("9",)), NOW, refusals, 2)
        assert (caught.value.index, caught.value.after) == (2, 9.0)
        assert ("redirects are not followed: set url" in str(caught.value)) == (300 <= status < 400)
        assert ("check the token" in str(caught.value)) == (status in (401, 403))
    for _ in range(2):  # not another minute for each event
        with pytest.raises(Rejected, match=f"status {status}.*: no such hook"):
            judge(Response(status, start=b"no such hook"), NOW, refusals)
    # An outage leaves it open; what the receiver accepts, or an event that it judges, begins it anew.
    with pytest.raises(Retry):
        judge(Response(503), NOW, refusals)
    with pytest.raises(Rejected):
        judge(Response(status), NOW, refusals)
    judge(Response(204), NOW, refusals)
    with pytest.raises(Retry):
        judge(Response(status), NOW, refusals)


def test_410_ends_the_sink() -> None:
    with pytest.raises(Ended, match="status 410 Gone: bye") as caught:
        judge(Response(410, start=b"bye"), NOW, RefusalPeriod(3600.0), 1)
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
        ("Sun Nov  1 20:00:30 2026", 0.0),
        ("Sun, 22 Nov 2026 19:00:00 GMT", 0.0),
        ("Mon, 22 Nov 2027 20:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:60 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_RETRY_AFTER),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Sunday, 22-Nov-94 20:00:30 GMT", 0.0),
        ("Sun, 22 Nov 2026 20:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 21:00:30 +0100", 30.0),
        ("Sun, 22 Nov 2026 20:00:30 +9999", None),
        ("Sun, 22 Nov 2026 20:00:30 +0060", None),
        ("Sun, 22 Nov 2026 20:00:30 +99999999999999999999", None),
        ("Sun, 22 Nov 0000 20:00:30 GMT", None),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("5, 7", None),
        ("\u0663", None),
        ("Sun, 99 Nov 2026 20:00:30 GMT", None),
        ("Sun, 22 Foo 2026 20:00:30 GMT", None),
        ("Sun, 22 Nov 2026 20:00:61 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(value: str, seconds: float | None) -> None:
    assert retry_after([value], NOW) == seconds


def test_of_several_retry_after_the_longest_counts_and_none_is_none() -> None:
    assert retry_after([], NOW) is None
    assert retry_after(["soon", "5", "Sun, 22 Nov 2026 20:00:30 GMT", "-1"] * 20, NOW) == 30.0


def test_whatever_retry_after_is_nothing_escapes() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        text = list(chance.choice(["Sun, 22 Nov 2026 20:00:30 GMT", "Sun Nov 22 20:00:30 2026", "120", "+0100"]))
        for _ in range(chance.randrange(5)):
            text[chance.randrange(len(text))] = chance.choice([*string.printable, "9" * 30, "", "\u0663", "\ud800"])
        seconds = retry_after(["".join(text)], NOW)
        assert seconds is None or 0.0 <= seconds <= LONGEST_RETRY_AFTER
