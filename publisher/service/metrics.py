"""Metrics for Prometheus, made from `Service.status` at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from ..config.settings import split_address
from ..delivery.status import State
from ..errors import ConfigurationError, PublisherError
from ..terminal import printable

if TYPE_CHECKING:
    from prometheus_client.core import Metric


@contextmanager
def serve_metrics(address: str, status: Callable[[], Mapping[str, Any]]) -> Iterator[int]:
    """Serves metrics on `host:port` until the block ends; yields the port, which the system chooses for port 0.

    Raises ConfigurationError without prometheus-client, PublisherError when the address cannot be listened on.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise ConfigurationError(
            "metrics.address needs prometheus-client: pip install 'interface-publisher[metrics]'"
        ) from None
    registry = CollectorRegistry()
    registry.register(_Status(status))
    host, port = split_address(address)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise PublisherError(f"metrics cannot be served on {address}: {error.strerror}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Status:
    """Collects the service's status. Called by the server's threads."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        status = self._status()
        about = {name: printable(str(status[name])) for name in ("version", "node", "epoch") if name in status}
        yield InfoMetricFamily("publisher", "Version, node and epoch of the publisher", about)
        yield GaugeMetricFamily(
            "publisher_start_time_seconds", "Time of the start, in seconds since 1970", status["started"]
        )
        if "seq" in status:
            yield CounterMetricFamily("publisher_events", "Events in this epoch", status["seq"])
            yield CounterMetricFamily(
                "publisher_dropped", "Updates lost while the journal took nothing", status["dropped"]
            )
            yield GaugeMetricFamily(
                "publisher_trouble", "1 while the journal cannot be written", bool(status["trouble"])
            )
        yield from _of_sinks({printable(name): sink for name, sink in status.get("sinks", {}).items()})


# Members of `SinkStatus`, the status of one sink.
_COUNTS = {
    "delivered": "Events that the sink confirmed",
    "failures": "Deliveries that failed and are retried",
    "rejected": "Events that the destination refused for good",
    "dead_letters_dropped": "Refused events that were dropped for newer ones",
}
_LEVELS = {
    "behind": "Events that the sink has not confirmed yet",
    "dead_letters": "Refused events that are kept",
    "last_delivery": "Time when the sink last confirmed an event, in seconds since 1970",
}


def _of_sinks(sinks: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, StateSetMetricFamily

    for member, meaning in _COUNTS.items():
        counter = CounterMetricFamily(f"publisher_sink_{member}", meaning, labels=["sink"])
        for name, sink in sinks.items():
            counter.add_metric([name], sink[member])
        yield counter
    for member, meaning in _LEVELS.items():
        gauge = GaugeMetricFamily(f"publisher_sink_{member}", meaning, labels=["sink"])
        for name, sink in sinks.items():
            if sink[member] is not None:
                gauge.add_metric([name], sink[member])
        yield gauge
    states = StateSetMetricFamily("publisher_sink_state", "The state of the sink", labels=["sink"])
    for name, sink in sinks.items():
        states.add_metric([name], {state: state == sink["state"] for state in get_args(State)})
    yield states
