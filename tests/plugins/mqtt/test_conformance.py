"""The conformance test that every sink is held to."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from publisher.events import Event
from publisher.testing.conformance import SinkConformance
from tests.faults import changing
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import QuickSink
from tests.fixtures.mqtt_subscriber import Subscriber, retained, states
from tests.fixtures.poll import wait_for


class TestMqttSink(SinkConformance):
    sink = QuickSink

    @pytest.fixture(autouse=True)
    def destination(self, tmp_path: Path) -> Iterator[None]:
        self.ids: list[str] = []
        with Mosquitto(tmp_path) as self.broker:
            self._subscribe()
            yield
            self.subscriber.close()

    def _subscribe(self) -> None:
        self.subscriber = Subscriber(self.broker, "interfaces/testnode/+/+/event", "fence")

    def options(self) -> dict[str, Any]:
        return {"url": self.broker.url, "timeout": 5}

    def received(self) -> Sequence[str]:
        fences = len(self.subscriber.of("fence"))
        self.subscriber.publish("fence", b"x")
        wait_for(lambda: len(self.subscriber.of("fence")) > fences, what="everything that was sent before")
        return self.ids + [heard.json["id"] for heard in self.subscriber.of("/event")]

    def kept(self) -> object:
        return retained(self.broker, "#")

    def assert_snapshot(self, snapshot: Sequence[Event]) -> None:
        rows = {f"{event.luid}/{event.family}": event for event in snapshot if event.row is not None}
        held = states(self.broker)
        assert held.keys() == rows.keys()
        for key, event in rows.items():
            assert held[key]["row"] == json.loads(event.json_bytes)["row"]

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        # What the broker acknowledged to the sink need not have reached the subscriber when it is killed.
        self.ids = list(self.received())
        self.broker.kill()
        self.subscriber.close()
        yield
        self.broker.start()
        self._subscribe()

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        def stutter() -> None:
            self.broker.freeze()
            threading.Event().wait(0.05)  # the fault itself: a broker that hangs for a moment
            self.broker.thaw()

        with changing(stutter, pause=0.01):
            yield
