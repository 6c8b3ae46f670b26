"""The nats sink keeps the promises of every sink, on one server and on three."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from publisher.events import Event
from publisher.testing.conformance import SinkConformance
from publisher_nats import forgetting
from publisher_nats.sink import NatsSink
from tests.faults import changing
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_bucket import BucketReader
from tests.fixtures.poll import wait_for

_NUMBERS = itertools.count()


@contextlib.contextmanager
def stuttering(server: NatsServer) -> Iterator[None]:
    def stutter() -> None:
        server.pause()
        threading.Event().wait(0.05)  # the fault itself: a server that hangs for a moment
        server.resume()

    with changing(stutter, pause=0.01):
        yield


class _NatsConformance(SinkConformance):
    sink = NatsSink
    reader: BucketReader
    urls: list[str]

    @pytest.fixture(autouse=True)
    def _no_grace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # For a sink that is about to connect, which no test here has.
        monkeypatch.setattr(forgetting, "_GRACE_SECONDS", 0.0)

    def options(self) -> dict[str, Any]:
        return {"servers": self.urls, "bucket": self.reader.bucket, "timeout": 5}

    def received(self) -> Sequence[str]:
        return [value["id"] for one in self.reader.stored("*.*.*") if one.value for value in [one.json]]

    def kept(self) -> object:
        return {key: one.value for key, one in self.reader.rows().items()}

    def assert_snapshot(self, snapshot: Sequence[Event]) -> None:
        wanted = {f"testnode.{event.luid}.{event.family}": event for event in snapshot if event.row is not None}
        # The copy that is read may have the last one a moment later.
        wait_for(lambda: self.reader.rows("testnode.*.*").keys() == wanted.keys(), what=f"the rows {wanted.keys()}")
        held = self.reader.rows("testnode.*.*")
        assert {key: one.json["row"] for key, one in held.items()} == {
            key: json.loads(event.json_bytes)["row"] for key, event in wanted.items()
        }

    def assert_events(self, events: Sequence[Event]) -> None:
        # A bucket keeps 64 values of a key, and the longest tail has more of one row.
        super().assert_events(events[-60:])


class TestOnOneServer(_NatsConformance):
    @pytest.fixture(autouse=True)
    def destination(self, nats_server: NatsServer) -> Iterator[None]:
        self.server, self.urls = nats_server, [nats_server.url]
        self.reader = BucketReader(nats_server.url, f"one{next(_NUMBERS)}")
        yield
        self.reader.close()

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        self.server.kill()
        yield
        self.server.start()

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        with stuttering(self.server):
            yield


class TestOnThreeServers(_NatsConformance):
    @pytest.fixture(autouse=True)
    def destination(self, nats_cluster: NatsCluster) -> Iterator[None]:
        self.cluster, self.urls = nats_cluster, nats_cluster.urls
        self.reader = BucketReader(nats_cluster.urls, f"three{next(_NUMBERS)}")
        yield
        self.reader.close()

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        self.cluster.kill()
        yield
        self.cluster.start()

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        with stuttering(self.cluster.servers[0]):
            yield
