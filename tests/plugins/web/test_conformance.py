"""The page keeps the promises of every sink: its destination is a viewer that is there all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from publisher import Event
from publisher.testing import SinkConformance
from publisher_web.sink import WebSink
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.sse import Sse, SseClient, dialled


class _Screen:
    """A viewer that connects again whenever it can, and shows the ids of all events."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ids: list[str] = []
        self.pause = threading.Event()
        self.pause.set()
        self.last_id: str | None = None
        self._client: SseClient | None = None
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Connects, and reads on a thread until the connection is closed."""
        headers = {} if self.last_id is None else {"Last-Event-ID": self.last_id}
        client = self._client = SseClient(self.port, headers=headers)
        client.until(lambda: any(message.name == "node" for message in client.messages), "the state of the node")
        self._thread = threading.Thread(target=self._read, args=(client,))
        self._thread.start()

    def _read(self, client: SseClient) -> None:
        def shown() -> bool:
            self.pause.wait(30)
            messages, client.messages = client.messages, []
            self._show(messages)
            self.last_id = client.last_id
            return False

        try:
            client.until(shown, "", timeout=120)
        except (OSError, ValueError):
            return

    def _show(self, messages: Sequence[Sse]) -> None:
        self.ids += [message.data["id"] for message in messages if message.name == "message"]

    def close(self) -> None:
        self.pause.set()
        if self._thread is not None:
            self._thread.join(30)
        if self._client is not None:
            self._client.close()


class TestWeb(SinkConformance):
    exclusive = True

    @pytest.fixture(autouse=True)
    def screen(self) -> Iterator[None]:
        screen = self._screen = _Screen(free_port())

        class WatchedSink(WebSink):
            """Has its viewer as soon as it is open, and shows to it what is published."""

            def open(self) -> None:
                super().open()
                screen.watch()

            def publish(self, events: Sequence[Event]) -> None:
                super().publish(events)
                wait_for(lambda: not events or not screen.pause.is_set() or events[-1].id in screen.ids, timeout=20)

            def close(self) -> None:
                super().close()
                screen.close()

        self.sink = WatchedSink
        yield
        screen.close()

    def options(self) -> dict[str, Any]:
        return {"address": f"127.0.0.1:{self._screen.port}"}

    def received(self) -> Sequence[str]:
        return self._screen.ids

    @contextmanager
    def slow(self) -> Iterator[None]:
        """The viewer stops reading: nobody waits for it."""
        self._screen.pause.clear()
        try:
            yield
        finally:
            self._screen.pause.set()

    def assert_events(self, events: Sequence[Event]) -> None:
        wanted = [event.id for event in events]
        wait_for(lambda: list(self.received())[-len(wanted) :] == wanted, timeout=10, what=f"{wanted}")


def test_nothing_listens_while_no_sink_is_open() -> None:
    with pytest.raises(OSError, match="refused"):
        dialled(free_port())
