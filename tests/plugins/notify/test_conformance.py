"""The notify sink keeps the promises of every sink, with a real HTTP server behind Apprise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from publisher_notify.sink import NotifySink
from tests.fixtures.http_conformance import HttpConformance
from tests.fixtures.phone import taken


class TestNotify(HttpConformance):
    sink = NotifySink
    answer = staticmethod(taken)

    def options(self) -> dict[str, Any]:
        return {"urls": [f"json://127.0.0.1:{self.receiver.port}/hook"], "title": "{id}"}

    def received(self) -> Sequence[str]:
        titles = [json.loads(request.body)["title"] for request in self.receiver.requests]
        return [event_id for title in titles for event_id in title.split(", ")]


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
