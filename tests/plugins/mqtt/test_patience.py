"""A process that stood still for longer than a broker may take: what came meanwhile is taken before it is judged."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from publisher_mqtt.client import inflight, loop
from publisher_mqtt.client.errors import BrokerError
from publisher_mqtt.client.inflight import InFlight
from publisher_mqtt.client.loop import NetworkLoop
from publisher_mqtt.messages import MqttMessage

if TYPE_CHECKING:
    from paho.mqtt.client import Client

MESSAGE = MqttMessage("a", b"", retain=False)


@pytest.fixture(autouse=True)
def hours_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = itertools.count(0.0, 3600.0)
    for module in (inflight, loop):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(hours)))


def test_an_acknowledgement_is_taken() -> None:
    sent: list[int] = []
    window = InFlight(lambda _, identifier: sent.append(identifier), lambda _: window.acknowledged(sent[0], 0), 9, 1.0)
    window.put(MESSAGE)
    window.wait()
    assert window.count == 0


def test_a_broker_that_acknowledges_nothing_is_given_up() -> None:
    window = InFlight(lambda _message, _identifier: None, lambda _: None, 9, 1.0)
    window.put(MESSAGE)
    with pytest.raises(BrokerError, match="acknowledged nothing for 1 s"):
        window.wait()


@pytest.mark.parametrize("answers", [True, False])
def test_an_answer_is_taken(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    network = NetworkLoop(cast("Client", SimpleNamespace(socket=object)), lambda _: None)
    turns: list[float] = []
    monkeypatch.setattr(network, "turn", turns.append)
    assert network.run(lambda: answers and bool(turns), 1.0) is answers
    assert turns == [0.0]
