"""The webhook keeps the promises of every sink."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from publisher_webhook.sink import WebhookSink
from tests.fixtures.http_conformance import HttpConformance
from tests.fixtures.webhook_server import ok
from tests.plugins.webhook.conftest import SECRET


class TestWebhook(HttpConformance):
    sink = WebhookSink
    answer = staticmethod(ok)

    def options(self) -> dict[str, Any]:
        return {"url": self.receiver.url, "secret": SECRET}

    def received(self) -> Sequence[str]:
        posted = [request for request in self.receiver.requests if request.method == "POST"]
        return [event["id"] for request in posted for event in _events(json.loads(request.body))]


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
