"""Thirteen checks of the `mqtt` sink on one broker: `publisher run` and the broker in a network namespace.

Each raises when it does not hold. They run in this order, on one publisher and one broker.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.fixtures.brokers import Broker
from tests.fixtures.mqtt_subscriber import Heard, Subscriber
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for

ROOT = "interfaces/nas"


class House:
    """A broker and a publisher whose interfaces the checks change."""

    def __init__(self, netns: NetNs, folder: Path, broker: Broker, protocol: str) -> None:
        self.netns, self.folder, self.broker, self.protocol = netns, folder, broker, protocol
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds = 20.0
        """The longest wait: longer than any of these brokers needs."""

    def is_spoken(self) -> bool:
        """Returns whether the broker grants a subscription in this version of MQTT."""
        try:
            with self.subscribed("x"):
                return True
        except AssertionError:
            return False

    def start(self) -> None:
        """Starts the publisher, and waits until it is online."""
        lines = ['node = "nas"', f'journal.path = "{self.folder}/journal.sqlite3"', "[sinks.home]", 'type = "mqtt"']
        lines += [f'url = "{self.broker.url}"', f'protocol = "{self.protocol}"']
        if self.broker.login:
            lines += ['username = "{}"\npassword = "{}"'.format(*self.broker.login)]
        (self.folder / "publisher.toml").write_text("\n".join(lines))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PUBLISHER_")}
        with self.subscribed(f"{ROOT}/#") as subscriber, (self.folder / "publisher.log").open("ab") as log:
            command = [sys.executable, "-m", "publisher", "run", "--config", str(self.folder / "publisher.toml")]
            self.process = self.netns.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            self.wait(lambda: any(_is(heard, "status", b"online") for heard in subscriber.messages), "online")
            self.wait(lambda: subscriber.of("/info"), "info")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the publisher, if it runs."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    @contextlib.contextmanager
    def subscribed(self, *filters: str, qos: int = 1) -> Iterator[Subscriber]:
        """Subscribes with MQTT 3.1.1, unless the publisher uses 5."""
        subscriber = self.netns.call(Subscriber, self.broker, *filters, qos=qos, protocol=self.protocol)
        try:
            yield subscriber
        finally:
            subscriber.close()

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Waits for a condition."""
        wait_for(condition, timeout=self.seconds, what=what)

    def states(self, qos: int = 1) -> set[str]:
        """Returns the topics of retained states that a new wildcard subscriber receives before a second of silence."""
        with self.subscribed(f"{ROOT}/+/+/state", qos=qos) as subscriber:
            with contextlib.suppress(AssertionError):
                while True:
                    more = partial(self._has_more, subscriber, len(subscriber.messages))
                    wait_for(more, timeout=1.0, what="a late message")
            return {heard.topic for heard in subscriber.messages if heard.payload}

    @staticmethod
    def _has_more(subscriber: Subscriber, known: int) -> bool:
        return len(subscriber.messages) > known

    def rows(self) -> set[str]:
        """Returns the topics of the states that there should be, from /proc."""
        told = self.netns.run([sys.executable, "-m", "publisher", "snapshot", "--json", "--config",
                               str(self.folder / "publisher.toml")])  # fmt: skip
        return {f"{ROOT}/{row['luid']}/{row['family']}/state" for row in json.loads(told)}

    def assert_states(self, qos: int = 1) -> None:
        """Checks that exactly the states of the present rows are retained."""
        rows = self.rows()
        self.wait(lambda: self.states(qos) == rows, f"the states of the {len(rows)} rows and no other")

    def retained(self, end: str, payload: bytes) -> None:
        """Waits until a new subscriber of this topic receives this payload."""
        with self.subscribed(f"{ROOT}/{end}") as subscriber:
            self.wait(lambda: any(_is(heard, end, payload) for heard in subscriber.messages), f"{end} {payload!r}")


def _is(heard: Heard, end: str, payload: bytes) -> bool:
    return heard.topic == f"{ROOT}/{end}" and heard.payload == payload


def online(house: House) -> None:
    house.start()
    house.retained("status", b"online")


def late_subscriber_qos_1(house: House) -> None:
    house.assert_states(1)


def late_subscriber_qos_0(house: House) -> None:
    house.assert_states(0)


def twenty_live_events(house: House) -> None:
    with house.subscribed(f"{ROOT}/+/inet/event") as subscriber:
        for number in range(20):
            house.netns.ip(f"link set e0 mtu {1400 + number}")
        house.wait(lambda: len(_mtus(subscriber)) >= 20, "20 events")
        assert _mtus(subscriber) == list(range(1400, 1420)), "not in order"


def _mtus(subscriber: Subscriber) -> list[int]:
    changes = [heard.json["changed"].get("interface.mtu") for heard in subscriber.messages]
    return [change["after"] for change in changes if change]


def properties(house: House) -> None:
    with house.subscribed(f"{ROOT}/+/inet/event") as subscriber:
        house.netns.ip("link set e0 mtu 1300")
        house.wait(lambda: subscriber.messages, "an event")
        assert subscriber.messages[0].properties.ContentType == "application/json"


def new_interface(house: House) -> None:
    house.netns.ip("link add n0 type veth peer name n1")
    house.assert_states()


def deleted_interface(house: House) -> None:
    house.netns.ip("link del n0")
    house.assert_states()


def _answers(house: House, request: dict[str, Any]) -> list[Any]:
    """Asks for a replay; returns the answer after its head, each part checked for its correlation data."""
    client = f"check-{secrets.token_hex(3)}"
    with house.subscribed(f"{ROOT}/replay/{client}") as subscriber:
        properties: dict[str, Any] = {}
        if subscriber.mqtt5:
            properties = {"ResponseTopic": f"{ROOT}/replay/{client}", "CorrelationData": b"7"}
        subscriber.publish(f"{ROOT}/replay/get", json.dumps(request | {"client": client}), **properties)
        house.wait(lambda: subscriber.messages, "the head of the answer")
        count = subscriber.messages[0].json["count"]
        house.wait(lambda: len(subscriber.messages) > count, f"{count} parts")
        if subscriber.mqtt5:
            assert {heard.properties.CorrelationData for heard in subscriber.messages} == {b"7"}
        return [heard.json["event"] for heard in subscriber.messages[1:]]


def replay_of_all(house: House) -> None:
    told = {(event["luid"], event["family"]) for event in _answers(house, {}) if event["luid"]}
    assert len(told) == len(house.rows()), f"{len(told)} rows of {len(house.rows())}"


def replay_since(house: House) -> None:
    with house.subscribed(f"{ROOT}/info") as subscriber:
        house.wait(lambda: subscriber.messages, "info")
        info = subscriber.messages[-1].json
    house.netns.ip("link set e0 mtu 1310")
    since = {"since": {"epoch": info["epoch"], "seq": info["seq"]}}
    house.wait(lambda: any("interface.mtu" in event["changed"] for event in _answers(house, since)), "the event since")


def will_after_kill(house: House) -> None:
    house.end(signal.Signals["SIGKILL"])
    house.retained("status", b"offline")
    house.start()


def gone_while_away(house: House) -> None:
    house.netns.ip("link add g0 type veth peer name g1")
    house.assert_states()
    house.end()
    house.netns.ip("link del g0")
    house.start()
    house.assert_states()


def store_lost(house: House) -> None:
    house.broker.kill()
    for path in house.folder.glob("broker/*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    house.netns.call(house.broker.start)
    house.wait(lambda: _is_online(house), "online")
    house.assert_states()


def _is_online(house: House) -> bool:
    with contextlib.suppress(AssertionError, OSError):
        house.retained("status", b"online")
        return True
    return False


def clean_stop(house: House) -> None:
    house.end()
    house.retained("status", b"offline")


CHECKS: tuple[Callable[[House], None], ...] = (
    online, late_subscriber_qos_1, late_subscriber_qos_0, twenty_live_events, properties, new_interface,
    deleted_interface, replay_of_all, replay_since, will_after_kill, gone_while_away, store_lost, clean_stop,
)  # fmt: skip


def run_checks(house: House) -> dict[str, str]:
    """Returns the outcome of each check by its name: empty, or the reason for which it does not hold.

    When the publisher does not come online, nothing else is tried.
    """
    outcomes: dict[str, str] = {}
    for check in CHECKS:
        if check is properties and house.protocol != "5":
            continue
        name = check.__name__.replace("_", " ")
        try:
            check(house)
            outcomes[name] = ""
        except (AssertionError, OSError, KeyError, ValueError) as error:
            outcomes[name] = str(error).splitlines()[0] or type(error).__name__
            if check is online:
                break
    house.end()
    return outcomes
