"""The observers of a soak: who reads a file, answers a webhook, is run as a program, subscribes at the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

import publisher
from publisher.client import NodeStatus
from tests.fixtures.netns import NetNs
from tests.fixtures.webhook_server import Behaviour, Exchange, Receiver, answer, ok
from tests.soak.stream import Stream

_LOOK_SECONDS = 0.05


class Lines:
    """Reads the lines of a file as it grows, from its beginning, on a thread of its own."""

    def __init__(self, path: Path, stream: Stream) -> None:
        self.stream = stream
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"reads {path.name}")
        self._thread.start()

    def _follow(self) -> None:
        while not self._path.exists():
            if self._over.wait(_LOOK_SECONDS):
                return
        with self._path.open("rb") as file:
            rest = b""
            while not self._over.wait(_LOOK_SECONDS):
                *lines, rest = (rest + file.read()).split(b"\n")
                for line in lines:
                    self.stream.take(line)

    def close(self) -> None:
        """Ends the reading."""
        self._over.set()
        self._thread.join()


class Hook:
    """A receiver of webhooks that behaves as it is told, and takes what it answers with success."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.behaviour: Behaviour = ok
        self._receiver = Receiver(always=self._answer)
        self.url = self._receiver.url

    def _answer(self, exchange: Exchange) -> None:
        behaviour = self.behaviour
        if behaviour in (ok, self.slow):
            self.stream.take(exchange.request.body)
        behaviour(exchange)
        # Of a soak of hours, no request is kept.
        self._receiver.requests.clear()

    def slow(self, exchange: Exchange) -> None:
        """Answers after 0.3 s."""
        exchange.server.closing.wait(0.3)
        ok(exchange)

    def hang(self, exchange: Exchange) -> None:
        """Does not answer until it is well again."""
        while self.behaviour == self.hang and not exchange.server.closing.wait(_LOOK_SECONDS):
            pass
        exchange.keep = False

    refuse = staticmethod(answer(503))

    def leave(self) -> None:
        """Closes all connections, and accepts none."""
        self._receiver.close()

    def come_back(self) -> None:
        """Accepts connections again."""
        self._receiver.listen()

    def close(self) -> None:
        """Ends it."""
        self._receiver.close()


class Subscriber:
    """`publisher.subscribe` at the broker, read on a thread of its own."""

    def __init__(self, url: str, stream: Stream, inside: NetNs) -> None:
        self.stream = stream
        self.is_slow = False
        self.in_sync = False
        self.seq = 0
        self._over = threading.Event()
        self._subscription = inside.in_thread(publisher.subscribe, url)
        self._thread = threading.Thread(target=self._read, name="subscriber")
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            if self.is_slow:
                self._over.wait(_LOOK_SECONDS)
                continue
            for entry in self._subscription.read(0.2):
                if isinstance(entry, NodeStatus):
                    self.in_sync, self.seq = entry.in_sync and entry.online, entry.seq
                else:
                    self.stream.take(entry.json_bytes)

    def close(self) -> None:
        """Ends the subscription."""
        self._over.set()
        self._thread.join()
        self._subscription.close()


class Retained:
    """What is retained below a topic now: a client that has just come."""

    def __init__(self, inside: NetNs, port: int, topic: str) -> None:
        self.topics: dict[str, bytes] = {}
        self._inside, self._port, self._topic = inside, port, topic

    def read(self, is_whole: Callable[[dict[str, bytes]], bool], seconds: float) -> dict[str, bytes]:
        """Returns it by topic, as soon as it is whole, at the latest after so many seconds."""
        return self._inside.in_thread(self._read, is_whole, seconds)

    def _read(self, is_whole: Callable[[dict[str, bytes]], bool], seconds: float) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        news = threading.Condition()

        def take(_client: Client, _userdata: object, message: MQTTMessage) -> None:
            with news:
                found[message.topic] = bytes(message.payload)
                if not message.payload:
                    del found[message.topic]
                news.notify()

        client = Client(CallbackAPIVersion.VERSION2)
        client.on_message = take
        client.connect("127.0.0.1", self._port)
        client.subscribe(self._topic, qos=1)
        client.loop_start()
        with news, suppress(KeyError):
            news.wait_for(lambda: is_whole(found), seconds)
        client.disconnect()
        client.loop_stop()
        return found
