"""1,000 nodes on one broker, simulated: what one real node retains, published by 1,000 connections at once."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.benchmarks.figures import Figure
from tests.benchmarks.program import broker_in, namespace, publisher, to_mqtt
from tests.benchmarks.subscriber import CONNECT, LOOKS, PUBACK, Message, packet, retained, split, text

_RETAINED = 0x33  # PUBLISH with QoS 1 and the flag


def measure(nodes: int = 1000) -> list[Figure]:
    """Takes the retained messages of a host with ten Ethernets, their peers and a loopback."""
    # The peers' names are those of containers: Home Assistant's discovery leaves them out.
    links = (f"link add eth{n} type veth peer name veth{n}" for n in range(10))
    with namespace(*links) as netns:
        with broker_in(netns) as broker, publisher(netns, to_mqtt(broker)) as program:
            program.settled()
            messages = netns.in_thread(retained, broker.port, "#")
        with broker_in(netns) as broker:
            seconds = netns.in_thread(storm, broker.port, messages, nodes)
            for _ in range(LOOKS):
                lost = nodes * len(messages) - len(netns.in_thread(retained, broker.port, "#"))
                if not lost:
                    break
    size = sum(len(message.topic) + len(message.payload) for message in messages)
    what = f"{nodes:,} nodes on one broker, all connect at once"
    return [
        Figure("retained by a node with ten Ethernets and their peers", size / 1e3, "KB", 65),
        Figure(f"{what}: the last acknowledgement", seconds, "s", 5),
        Figure(f"{what}: retained messages lost", lost, "", 0),
    ]


class Node:
    """The connection of a node that publishes."""

    def __init__(self, port: int, messages: Sequence[Message], name: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.unacknowledged = len(messages)
        self._rest = b""
        # A client may publish before its CONNECT is answered: MQTT 3.1.1, 3.1.4.
        self._to_send = packet(0x10, CONNECT + text(name)) + b"".join(
            packet(_RETAINED, text(topic.replace("bench", name)) + number.to_bytes(2) + payload)
            for number, (topic, payload, _) in enumerate(messages, 1)
        )

    def proceed(self, events: int) -> int:
        """Sends or receives; returns the events that it waits for, 0 when everything is acknowledged."""
        if events & selectors.EVENT_WRITE:
            self._to_send = self._to_send[self.socket.send(self._to_send) :]
        if events & selectors.EVENT_READ:
            *packets, (_, self._rest) = split(self._rest + self.socket.recv(65536))
            self.unacknowledged -= sum(kind == PUBACK for kind, _ in packets)
        if not self.unacknowledged:
            return 0
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._to_send else 0)


def storm(port: int, messages: Sequence[Message], count: int) -> float:
    """Connects every node; returns the seconds until the last acknowledgement."""
    begun = time.perf_counter()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number in range(count):
            node = Node(port, messages, f"node{number:04d}")
            stack.callback(node.socket.close)
            selector.register(node.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, node)
        while selector.get_map():
            ready = selector.select(20)
            assert ready, "the broker does not go on"
            for key, events in ready:
                if wanted := key.data.proceed(events):
                    selector.modify(key.fileobj, wanted, key.data)
                else:
                    selector.unregister(key.fileobj)
        return time.perf_counter() - begun
