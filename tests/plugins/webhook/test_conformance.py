"""The webhook keeps the promises of every sink."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from publisher.testing import SinkConformance
from publisher_webhook.sink import WebhookSink
from tests.fixtures.webhook_server import Exchange, Receiver, ok
from tests.plugins.webhook.conftest import SECRET


class TestWebhook(SinkConformance):
    sink = WebhookSink

    @pytest.fixture(autouse=True)
    def destination(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def options(self) -> dict[str, Any]:
        return {"url": self.receiver.url, "secret": SECRET}

    def received(self) -> Sequence[str]:
        posted = [request for request in self.receiver.requests if request.method == "POST"]
        return [event["id"] for request in posted for event in _events(json.loads(request.body))]

    @contextmanager
    def broken(self) -> Iterator[None]:
        self.receiver.close()
        yield
        self.receiver.listen()

    @contextmanager
    def slow(self) -> Iterator[None]:
        def take_time(exchange: Exchange) -> None:
            exchange.server.closing.wait(0.02)
            ok(exchange)

        self.receiver.always = take_time
        yield
        self.receiver.always = ok


class TestWebhookInBatches(TestWebhook):
    def options(self) -> dict[str, Any]:
        return super().options() | {"batch": True}


class TestWebhookAsText(TestWebhook):
    """A line has no id: that of the signature is the event's."""

    def options(self) -> dict[str, Any]:
        return super().options() | {"format": "text", "snapshot": True}

    def received(self) -> Sequence[str]:
        return [request.headers["webhook-id"] for request in self.receiver.requests if request.method == "POST"]


def _events(body: Any) -> list[Any]:
    return body if isinstance(body, list) else [body]
