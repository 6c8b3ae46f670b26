"""The notify sink keeps the promises of every sink, with a real HTTP server behind Apprise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from publisher.testing import SinkConformance
from publisher_notify.sink import NotifySink
from tests.fixtures.phone import taken
from tests.fixtures.webhook_server import Exchange, Receiver


class TestNotify(SinkConformance):
    sink = NotifySink

    @pytest.fixture(autouse=True)
    def destination(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def options(self) -> dict[str, Any]:
        return {"urls": [f"json://127.0.0.1:{self.receiver.port}/hook"], "title": "{id}"}

    def received(self) -> Sequence[str]:
        titles = [json.loads(request.body)["title"] for request in self.receiver.requests]
        return [event_id for title in titles for event_id in title.split(", ")]

    @contextmanager
    def broken(self) -> Iterator[None]:
        self.receiver.close()
        yield
        self.receiver.listen()

    @contextmanager
    def slow(self) -> Iterator[None]:
        def take_time(exchange: Exchange) -> None:
            exchange.server.closing.wait(0.02)
            taken(exchange)

        self.receiver.always = take_time
        yield
        self.receiver.always = taken


class TestNotifyTwoServices(TestNotify):
    """Both URLs lead to one receiver, so each message arrives twice."""

    def options(self) -> dict[str, Any]:
        url = f"json://127.0.0.1:{self.receiver.port}"
        return {"urls": [f"{url}/first", f"{url}/second"], "title": "{id}"}

    def received(self) -> Sequence[str]:
        requests = self.receiver.requests
        received = [
            [json.loads(request.body)["title"] for request in requests if request.target == target]
            for target in ("/first", "/second")
        ]
        assert received[0] == received[1]
        return [event_id for title in received[0] for event_id in title.split(", ")]
