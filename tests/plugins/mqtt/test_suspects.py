"""The search for the message over which a broker ends connections, as a table of what happened and what follows."""

from __future__ import annotations

import pytest

from publisher.testing import FakeSinkContext
from publisher_mqtt.client.suspects import Outstanding, Suspects
from publisher_mqtt.messages import MqttMessage

STATE = MqttMessage("n/a/state", b"x" * 5000, True)
SMALLER = STATE._replace(payload=b"x" * 500)
OTHER = MqttMessage("n/b/state", b"y" * 400, True)
EVENT = MqttMessage("n/a/event", b"e" * 700, False)
NEXT_EVENT = EVENT._replace(payload=b"f" * 800)


def suspects() -> Suspects:
    return Suspects(FakeSinkContext().log, lambda: 0.0)


def hung_up(found: Suspects, *messages: MqttMessage, acknowledged: bool = True) -> None:
    """Ends a connection over these messages; the broker is there again at once."""
    found.lost(Outstanding(messages, None, acknowledged))
    found.reachable()


def given_up(*messages: MqttMessage) -> Suspects:
    """Returns suspects of which each of these messages was found to be the reason."""
    found = suspects()
    for message in messages:
        for _ in range(2):
            hung_up(found, message)
    return found


def test_a_message_is_given_up_after_it_was_alone_twice() -> None:
    found = suspects()
    hung_up(found, STATE, OTHER)
    assert found.suspects(STATE)
    assert found.suspects(OTHER)
    found.acknowledged(OTHER)
    assert not found.suspects(OTHER)
    hung_up(found, STATE)
    assert found.refusal(STATE) is None
    hung_up(found, STATE)
    assert found.refusal(STATE)
    assert found.refusal(OTHER) is None


def test_a_broker_that_was_away_is_no_reason_against_a_message() -> None:
    found = suspects()
    for _ in range(10):
        found.lost(Outstanding((STATE,), None, acknowledged=True))
        found.unreachable()
        found.reachable()
    assert found.refusal(STATE) is None
    assert found.suspects(STATE)


def test_a_message_among_others_is_never_given_up() -> None:
    found = suspects()
    for _ in range(10):
        hung_up(found, STATE, OTHER)
    assert found.refusal(STATE) is None


def test_where_the_broker_takes_nothing_nothing_is_given_up() -> None:
    found = suspects()
    for _ in range(10):
        hung_up(found, STATE, acknowledged=False)
    assert found.refusal(STATE) is None


def test_the_end_of_a_connection_without_anything_outstanding_means_nothing() -> None:
    found = suspects()
    for _ in range(10):
        hung_up(found)
    assert not found


def test_a_subscription_is_given_up_after_two_times() -> None:
    found = suspects()
    for _ in range(2):
        assert found.filter_refusal("a/#") is None
        found.lost(Outstanding((), "a/#", acknowledged=False))
        found.reachable()
    assert found.filter_refusal("a/#")
    assert found.filter_refusal("b/#") is None


def test_a_smaller_state_that_is_taken_shows_that_the_size_was_the_reason() -> None:
    found = given_up(STATE)
    assert found.refusal(SMALLER) is None
    assert found.suspects(SMALLER), "it is sent alone"
    found.acknowledged(SMALLER)
    assert found.refusal(OTHER._replace(payload=STATE.payload)), "elsewhere too"
    assert found.refusal(OTHER._replace(payload=STATE.payload[1:])) is None


def test_a_size_that_the_broker_took_before_is_not_the_reason() -> None:
    found = given_up(STATE)
    found.took(6000)
    found.acknowledged(SMALLER)
    assert found.refusal(OTHER._replace(payload=STATE.payload)) is None
    assert found.refusal(STATE)


def test_the_next_event_of_a_topic_is_tried() -> None:
    found = given_up(EVENT)
    assert found.refusal(EVENT)
    assert found.refusal(NEXT_EVENT) is None
    assert found.suspects(NEXT_EVENT)
    found.acknowledged(NEXT_EVENT)
    assert not found.suspects(NEXT_EVENT)


def test_a_topic_of_which_two_events_are_given_up_takes_none() -> None:
    found = given_up(EVENT, NEXT_EVENT)
    assert found.refusal(EVENT._replace(payload=b"g" * 900))


def test_what_is_given_up_is_tried_again_after_an_hour() -> None:
    now = [0.0]
    found = Suspects(FakeSinkContext().log, lambda: now[0])
    for _ in range(2):
        hung_up(found, STATE)
    assert found.refusal(STATE)
    now[0] = 3601
    assert found.refusal(STATE) is None


def test_the_memory_is_bounded() -> None:
    found = suspects()
    for number in range(3000):
        hung_up(found, OTHER._replace(topic=f"n/{number}"), STATE)
    assert not found.suspects(OTHER._replace(topic="n/0"))
    assert found.suspects(OTHER._replace(topic="n/2999"))


@pytest.mark.parametrize(
    ("outstanding", "text"),
    [
        (Outstanding((STATE,), None, acknowledged=True), "n/a/state (5000 bytes)"),
        (Outstanding((STATE, OTHER), None, acknowledged=True), "n/a/state (5000 bytes) and 1 more"),
        (Outstanding((), "a/#", acknowledged=True), "the subscription to a/#"),
    ],
)
def test_what_was_outstanding_is_named(outstanding: Outstanding, text: str) -> None:
    assert str(outstanding) == text
