"""paho-mqtt at its quickest: QoS 1 messages from memory, until each is acknowledged. Nothing subscribes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

# paho's own window is slower (docs/mqtt.md), so this is outside of it.
_WINDOW = 200


def seconds(port: int, payloads: Sequence[bytes]) -> float:
    """Publishes them to the broker on 127.0.0.1; returns the seconds from the first to the last acknowledgement."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)
    acknowledged, connected = threading.Semaphore(_WINDOW), threading.Event()
    client.on_publish = lambda *_: acknowledged.release()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    connection = client.socket()
    assert isinstance(connection, socket.socket)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.loop_start()
    assert connected.wait(10)
    begun = time.perf_counter()
    for number, payload in enumerate(payloads):
        acknowledged.acquire()
        client.publish(f"alone/{number % 50:016x}/inet/event", payload, qos=1)
    for _ in range(_WINDOW):
        acknowledged.acquire()
    ended = time.perf_counter()
    client.disconnect()
    client.loop_stop()
    return ended - begun
