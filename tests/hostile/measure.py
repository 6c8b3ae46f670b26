"""Changes of one interface, and the moments at which their events arrive at each healthy sink."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.fixtures.webhook_server import Exchange, ok

_SIOCSIFMTU = 0x8922  # linux/sockios.h
_FIRST_MTU, _MTUS = 1300, 50_000
LINK = "mark"


class Arrivals:
    """The events that one sink delivered, in order, with the moment of each."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}  # in order
        self.moments: dict[tuple[int, str], float] = {}

    def take(self, event: dict[str, object]) -> None:
        """Notes an event about the link; a repeat is dropped, as a subscriber does."""
        now = time.monotonic()
        interface, identity = event.get("interface"), str(event.get("id"))
        if not isinstance(interface, dict) or event.get("snapshot") or interface.get("alias") != LINK:
            return
        if identity not in self.ids:
            self.ids[identity] = None
            self.moments[int(interface["mtu"]), str(event["family"])] = now


class File(Arrivals):
    """Reads a file sink's file as it grows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="file")
        self._thread.start()

    def _follow(self) -> None:
        with self._path.open("rb") as file:
            rest = b""
            while not self._over.is_set():
                rest += file.read()
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    self.take(json.loads(line))
                self._over.wait(0.002)

    def close(self) -> None:
        """Ends the reading."""
        self._over.set()
        self._thread.join()


class Subscriber(Arrivals):
    """Subscribes to the events of a broker, and believes those of one epoch."""

    def __init__(self, port: int, epoch: str) -> None:
        super().__init__()
        self._epoch = epoch
        self._granted = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._granted.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("interfaces/nas/+/+/event", qos=1)
        self._client.loop_start()
        assert self._granted.wait(60)

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._epoch.encode() in message.payload:  # the hostile publisher knows another
            self.take(json.loads(message.payload))

    def close(self) -> None:
        """Ends the subscription."""
        self._client.disconnect()
        self._client.loop_stop()


class Hook(Arrivals):
    """The behaviour of a receiver that answers well."""

    def __call__(self, exchange: Exchange) -> None:
        ok(exchange)
        self.take(json.loads(exchange.request.body)["data"])


class Changes:
    """Changes of the link's MTU, each to a value that it did not have for a long time. In the link's namespace."""

    def __init__(self) -> None:
        self.made: list[tuple[int, float]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _change(self, mtu: int) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        import fcntl

        fcntl.ioctl(self._socket, _SIOCSIFMTU, struct.pack("16si12x", LINK.encode(), mtu))

    def make(self, seconds: float, every: float) -> Sequence[tuple[int, float]]:
        """Makes changes for so many seconds; returns the MTU and the moment of each."""
        begin, first = time.monotonic(), len(self.made)
        while (now := time.monotonic()) < begin + seconds:
            mtu = _FIRST_MTU + len(self.made) % _MTUS
            self._change(mtu)
            self.made.append((mtu, now))
            time.sleep(max(0.0, begin + (len(self.made) - first) * every - time.monotonic()))
        return self.made[first:]

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class Latencies:
    """The latencies of a sink's events, by phase."""

    def __init__(self) -> None:
        self._phases: dict[bool, list[list[float]]] = defaultdict(list)

    def add(self, hostile: bool, made: Sequence[tuple[int, float]], arrivals: Arrivals) -> None:
        """Adds a phase with the events of these changes, which have arrived."""
        found = (arrivals.moments[mtu, family] - moment for mtu, moment in made for family in ("inet", "inet6"))
        self._phases[hostile].append(sorted(found))

    def quantile(self, hostile: bool, share: float, of_phases: Callable[[list[float]], float]) -> float:
        """Returns the seconds within which this share of a phase's events arrived, as `min` or `median` of the phases.

        What else the machine does meanwhile, it does not in each of a few phases, and not in half of many.
        """
        return of_phases([ordered[int((len(ordered) - 1) * share)] for ordered in self._phases[hostile]])


Toggle = Callable[[bool], None]
"""Begins and ends to be hostile."""
