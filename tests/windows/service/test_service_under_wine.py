"""The whole service under Windows Python: the stand-in, a real broker, an HTTP server and a file."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.brokers import Mosquitto
from tests.windows.messages import LONG, AllMessages, windows_path
from tests.windows.wine import Wine


class Hook(BaseHTTPRequestHandler):
    """Accepts each POST."""

    posted: queue.Queue[Any]
    # Wine may keep the connection of a killed process open for most of a minute.
    timeout = 4

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            body = b""
        if len(body) < length:
            # The publisher was killed while it sent this.
            return
        self.posted.put(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


class Publisher:
    """`publisher run` under Windows Python, controlled through the stand-in."""

    def __init__(self, wine: Wine, config: Path, *before: list[Any]) -> None:
        self.process = wine.python(
            "-m", "tests.windows.inside.drive", "run", "--config", windows_path(config), stdin=subprocess.PIPE
        )
        self.output: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        for line in (*before, ["go"]):
            self.do(*line)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.output.extend(line.decode(errors="replace") for line in self.process.stdout)

    def do(self, *call: Any) -> None:
        """Calls a method of the stand-in."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(call).encode() + b"\n")
        self.process.stdin.flush()

    def interrupt(self) -> tuple[int, str]:
        """Sends Ctrl+C; returns the status and the output."""
        self.process.send_signal(signal.SIGINT)
        return self._ended()

    def close(self) -> None:
        """Ends it as the Task Manager does, if it is still running."""
        if self.process.poll() is None:
            self.do("die")
        self._ended()

    def _ended(self) -> tuple[int, str]:
        status = self.process.wait(LONG)
        self._reader.join(LONG)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return status, "".join(self.output)


@pytest.fixture
def hook(wine: Wine) -> Iterator[type[Hook]]:
    handler: Any = type("OwnHook", (Hook,), {"posted": queue.Queue()})
    server = wine.netns.call(ThreadingHTTPServer, ("127.0.0.1", 0), handler)
    handler.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, broker: Mosquitto, hook: Any) -> Path:
    path = tmp_path / "publisher.toml"
    path.write_text(
        f"""
        node = "pc"
        [journal]
        path = '{windows_path(tmp_path / "journal.sqlite3")}'
        [sinks.home]
        type = "mqtt"
        url = "{broker.url}"
        keepalive = 5
        [sinks.hook]
        type = "webhook"
        url = "http://127.0.0.1:{hook.port}/"
        [sinks.log]
        type = "file"
        path = '{windows_path(tmp_path / "events.jsonl")}'
        """
    )
    return path


def _of(kind: str, cause: str = "notification") -> Callable[[str, Any], bool]:
    def wanted(topic: str, payload: Any) -> bool:
        return topic.endswith("/event") and (payload["notification_type"], payload["cause"]) == (kind, cause)

    return wanted


def _until_posted(hook: Any, wanted: Callable[[Any], bool]) -> None:
    while not wanted(hook.posted.get(timeout=LONG)):
        pass


ETHERNET: list[Any] = ["add", "Ethernet 2", ["inet", "inet6"]]


@pytest.mark.timeout(300)
def test_snapshot_events_and_will(wine: Wine, config: Path, subscriber: AllMessages, hook: Any, tmp_path: Path) -> None:
    with contextlib.closing(
        Publisher(wine, config, ETHERNET, ["add_address", "Ethernet 2", "192.0.2.10/24"])
    ) as publisher:
        state = subscriber.until(lambda topic, _: topic.endswith("/inet/state"))
        assert state["interface"]["alias"] == "Ethernet 2"
        assert state["addresses"][0]["address"] == "192.0.2.10"

        # Waits for the end of the snapshot: a change before it may be part of the snapshot, and no event.
        _until_posted(
            hook, lambda posted: posted["data"]["snapshot"]["position"] == posted["data"]["snapshot"]["count"]
        )

        publisher.do("change", "Ethernet 2", "inet", {"NlMtu": 1400, "report": True})
        event = subscriber.until(_of("parameter_notification"))
        assert event["changed"] == {"row.nl_mtu": {"before": 1500, "after": 1400}}
        _until_posted(hook, lambda posted: posted["id"] == event["id"])

        publisher.do("set_route", "Ethernet 2", "192.0.2.1", {"Metric": 5, "report": True})
        event = subscriber.until(_of("parameter_notification"))
        assert event["kinds"] == ["default_route_added"]
        assert event["default_routes"] == [{"next_hop": "192.0.2.1", "metric": 30, "protocol": "netmgmt"}]

        publisher.do("add", "Wi-Fi", ["inet"], {"report": True})
        assert subscriber.until(_of("add_instance"))["interface"]["alias"] == "Wi-Fi"
        publisher.do("remove", "Wi-Fi", {"report": True})
        assert subscriber.until(_of("delete_instance"))["interface"]["alias"] == "Wi-Fi"
    subscriber.until(lambda topic, payload: topic == "interfaces/pc/status" and payload == "offline")

    # Killed, and at the next start the mtu is another and the route is gone: the journal shows the changes.
    with contextlib.closing(
        Publisher(wine, config, ETHERNET, ["change", "Ethernet 2", "inet", {"NlMtu": 1300}])
    ) as again:
        event = subscriber.until(_of("parameter_notification", "startup"))
        assert event["changed"]["row.nl_mtu"] == {"before": 1400, "after": 1300}
        assert event["changed"]["default_routes.192.0.2.1"]["after"] is None
        _until_posted(hook, lambda posted: posted["id"] == event["id"])
        status, output = again.interrupt()
    assert status == 0, output
    assert "left: 0 tables, 0 registrations" in output
    assert subscriber.until(lambda topic, _: topic == "interfaces/pc/status") == "offline"
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert event["id"] in {line["id"] for line in lines}
