"""The tests that the author of a sink writes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from publisher_ntfy import NtfySink  # type: ignore[import-not-found, unused-ignore]  # where it is installed

from publisher.testing import SinkConformance


class Topic(BaseHTTPRequestHandler):
    """An ntfy topic, which keeps the ids that it received."""

    ids: list[str]
    status = 200
    seconds = 0.0

    def do_POST(self) -> None:
        time.sleep(self.seconds)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.status == 200:
            self.ids.append(json.loads(body)["id"])
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


class TestNtfySink(SinkConformance):
    sink = NtfySink

    @pytest.fixture(autouse=True)
    def destination(self) -> Iterator[None]:
        self.topic: type[Topic] = type("ThisTopic", (Topic,), {"ids": []})
        with ThreadingHTTPServer(("127.0.0.1", 0), self.topic) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/interfaces"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield
            server.shutdown()
            thread.join()

    def options(self) -> dict[str, Any]:
        return {"topic": self.url}

    def received(self) -> list[str]:
        return list(self.topic.ids)

    @contextmanager
    def broken(self) -> Iterator[None]:
        self.topic.status = 503
        yield
        self.topic.status = 200

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.topic.seconds = 0.02
        yield
        self.topic.seconds = 0.0
