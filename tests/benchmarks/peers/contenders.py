"""Programs that bring a link's change to an MQTT subscriber: ours, the pipe, and the script of pyroute2 and paho."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

from tests.benchmarks.program import Running, publisher, running, to_mqtt
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.netns import NetNs


class Contender(NamedTuple):
    """One program: the topic of its messages, the text in them by which a new MTU is found, and how it is run.

    In its first `begins` seconds it does more than later.
    """

    topic: str
    text: bytes
    run: Callable[[NetNs, Mosquitto], AbstractContextManager[Running]]
    begins: float = 0.0


@contextmanager
def _ours(netns: NetNs, broker: Mosquitto) -> Iterator[Running]:
    with publisher(netns, to_mqtt(broker)) as program:
        program.settled()
        yield program


@contextmanager
def _pipe(netns: NetNs, broker: Mosquitto) -> Iterator[Running]:
    to_broker = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "monitor", "-q", "1", "-l"]
    with ExitStack() as stack:
        monitor = stack.enter_context(running(netns, ["ip", "monitor", "link"], subprocess.DEVNULL))
        assert monitor.stdout is not None
        pipe = stack.enter_context(running(netns, to_broker, subprocess.DEVNULL, stdin=monitor.stdout))
        yield Running([monitor, pipe])


@contextmanager
def _script(netns: NetNs, broker: Mosquitto) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.benchmarks.peers.pyroute2_and_paho", str(broker.port)]
    with running(netns, command, subprocess.DEVNULL) as process:
        yield Running([process])


OURS = Contender("interfaces/+/+/inet/event", b'"after":%d}', _ours, begins=7.0)
PIPE = Contender("monitor", b"mtu %d ", _pipe)
SCRIPT = Contender("links/+", b'"IFLA_MTU": %d,', _script)
