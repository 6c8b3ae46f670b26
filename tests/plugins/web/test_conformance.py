"""The page keeps the promises of every sink: its destination is a viewer that is there all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from publisher import Event
from publisher.testing import FakeSinkContext, SinkConformance
from publisher_web.sink import WebSink
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.sse import SseClient, dialled


class _Screen:
    """A viewer that connects again whenever a sink is open, and shows the ids of all events."""

    def __init__(self) -> None:
        self.port = free_port()
        self.ids: list[str] = []
        self.journal: list[Event] = []
        self.last_id: str | None = None
        self.is_slow = threading.Event()

    def connect(self) -> SseClient:
        """Connects, and reads until it is in sync."""
        headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        client = SseClient(self.port, headers=headers)
        client.until(lambda: any(message.data.get("in_sync") for message in client.messages), "the rows")
        return client

    def read(self, client: SseClient) -> None:
        """Reads until the connection is closed."""

        def shown() -> bool:
            messages, client.messages = client.messages, []
            self.ids += [message.data["id"] for message in messages if message.name == "message"]
            self.last_id = client.last_id
            if self.is_slow.is_set():
                threading.Event().wait(0.02)
            return False

        with suppress(OSError):
            client.until(shown, "", timeout=120)


class TestWeb(SinkConformance):
    exclusive = True

    @pytest.fixture(autouse=True)
    def screen(self) -> None:
        screen = self._screen = _Screen()

        class WatchedSink(WebSink):
            """Has its viewer as soon as it is open, and shows to it what is published."""

            def __init__(self, options: Any, context: FakeSinkContext) -> None:
                super().__init__(options, context)
                # As a worker does: the journal has what was published, and jobs run.
                self._jobs = ThreadPoolExecutor(1)
                context.journal = screen.journal
                context.call = self._run_job  # type: ignore[method-assign]  # a fake

            def _run_job(self, job: Callable[[], object], delay: float = 0.0) -> None:  # noqa: ARG002  # as a context
                self._jobs.submit(job)

            def open(self) -> None:
                super().open()
                self._client = screen.connect()
                self._reading = threading.Thread(target=screen.read, args=(self._client,))
                self._reading.start()

            def publish(self, events: Sequence[Event]) -> None:
                screen.journal += [event for event in events if event.snapshot is None]
                super().publish(events)
                wait_for(lambda: not events or events[-1].id in screen.ids, what="the last event")

            def close(self) -> None:
                super().close()
                self._jobs.shutdown()
                if hasattr(self, "_reading"):
                    self._reading.join(60)
                    self._client.close()

        self.sink = WatchedSink

    def options(self) -> dict[str, Any]:
        return {"address": f"127.0.0.1:{self._screen.port}"}

    def received(self) -> Sequence[str]:
        return self._screen.ids

    @contextmanager
    def slow(self) -> Iterator[None]:
        self._screen.is_slow.set()
        try:
            yield
        finally:
            self._screen.is_slow.clear()


def test_nothing_listens_while_no_sink_is_open() -> None:
    with pytest.raises(OSError, match="refused"):
        dialled(free_port())
