"""A host whose interfaces a test changes: table, journal and the real worker with the real sink."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import structlog
from structlog.testing import CapturingLogger

from publisher.delivery import Worker
from publisher.events import Event, IpInterface, Key
from publisher.journal import Journal
from publisher.sink import Sink, SinkContext
from publisher.sources import Remove, Resync, Upsert
from publisher.table import Stamp, Table
from publisher.testing import make_row
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.sink import MqttSink
from tests.brokers import Broker
from tests.plugins.mqtt.subscribing import states
from tests.waiting import wait_for


class QuickSink(MqttSink):
    """The sink, less patient: a test restarts brokers more often than people do."""

    backoff_seconds: ClassVar[tuple[float, float]] = (0.02, 0.2)
    birth_delay_seconds: ClassVar[float] = 0.2


class Host:
    """`with Host(directory, broker) as host:` runs a worker; `broker` may be down."""

    def __init__(
        self, directory: Path, broker: Broker | str, *, node: str = "testnode", name: str = "home", **options: Any
    ):
        url = broker if isinstance(broker, str) else broker.url
        protocol = "5" if isinstance(broker, str) else broker.protocols[0]
        self.options = MqttOptions(**({"url": url, "protocol": protocol} | options))
        self._directory, self.node, self._name = directory, node, name
        self.calls = CapturingLogger()
        self.sink: MqttSink | None = None

    def __enter__(self) -> Host:
        self.journal = Journal.open(self._directory / f"{self.node}-{self._name}.journal", node=self.node)
        rows = self.journal.rows()
        self.table = Table(rows, Stamp(self.node, self.journal.epoch, self.journal.seq))
        if rows is None:
            self.table.apply(Resync((), "startup"))
            self.journal.replace_rows([])
        log = structlog.wrap_logger(self.calls, processors=[], wrapper_class=structlog.make_filtering_bound_logger(20))
        self.worker = Worker(
            self._name,
            self._make,
            destination=self.options.destination,
            fingerprint="x",
            journal=self.journal,
            log=log.bind(),
        )
        self.worker.start()
        return self

    def _make(self, context: SinkContext) -> Sink:
        self.sink = QuickSink(self.options, context)
        return self.sink

    def __exit__(self, *_: object) -> None:
        self.worker.stop(20)
        self.journal.close()

    def apply(self, *updates: Upsert | Remove | Resync) -> list[Event]:
        """Changes that happen in one batch."""
        events = [event for update in updates for event in self.table.apply(update)]
        self.journal.append(events)
        self.worker.wake()
        return events

    def put(self, *rows: IpInterface) -> list[Event]:
        return self.apply(*(Upsert(row) for row in rows))

    def remove(self, *keys: Key) -> list[Event]:
        return self.apply(*(Remove(*key) for key in keys))

    def quiet(self, timeout: float = 30.0) -> None:
        """Wait until everything is delivered."""
        wait_for(self.is_quiet, timeout=timeout, what=f"delivery: {self.worker.status()} {self.logged()[-5:]}")

    def is_quiet(self) -> bool:
        status = self.worker.status()
        return status.seq == self.journal.seq and status.behind == 0 and status.state == "following"

    def expected(self) -> dict[str, Any]:
        """What the retained states should say, without the seq and time at which they were said."""
        rows = self.journal.rows() or []
        return {f"{row.luid}/{row.family}": row.model_dump(mode="json") for row in rows}

    def logged(self) -> list[str]:
        return [str(call.kwargs) for call in self.calls.calls]


def said(broker: Broker, root: str = "interfaces/testnode") -> dict[str, Any]:
    """What the retained states say."""
    return {
        key: {name: value for name, value in state.items() if name not in ("seq", "time")}
        for key, state in states(broker, root).items()
    }


def some_rows(count: int) -> Iterable[IpInterface]:
    """As many interfaces, each in one family."""
    return (make_row(f"eth{number}", index=number + 2, addresses=["192.0.2.1/24"]) for number in range(count))


@contextlib.contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    """The broker is away meanwhile."""
    broker.kill()
    yield
    broker.start()
