"""Metrics over HTTP, as Prometheus reads them."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from dataclasses import asdict
from typing import Any

import pytest

from publisher.delivery.status import SinkStatus
from publisher.errors import PublisherError
from publisher.service.metrics import serve_metrics
from tests.fixtures.ports import free_port

pytest.importorskip("prometheus_client")

STATUS: dict[str, Any] = {
    "version": "1.2", "pid": 1, "started": 1000.5, "node": "nas", "epoch": "01926f6e8c7e4b3f", "seq": 42,
    "dropped": 3, "trouble": None,
    "sinks": {
        "home": asdict(SinkStatus(state="following", delivered=40, behind=2, last_delivery=2000.0)),
        'we"ird': asdict(SinkStatus(state="retrying", failures=7, error="secret reason")),
    },
}  # fmt: skip


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def test_metrics_of_the_service_and_its_sinks() -> None:
    status = dict(STATUS)
    with serve_metrics("127.0.0.1:0", lambda: status) as port:
        metrics = scrape(port)
        status["seq"] = 43
        assert scrape(port)["publisher_events_total"] == 43
    assert metrics['publisher_info{epoch="01926f6e8c7e4b3f",node="nas",version="1.2"}'] == 1
    assert metrics["publisher_events_total"] == 42
    assert metrics["publisher_dropped_total"] == 3
    assert metrics["publisher_trouble"] == 0
    assert metrics['publisher_sink_delivered_total{sink="home"}'] == 40
    assert metrics['publisher_sink_behind{sink="home"}'] == 2
    assert metrics['publisher_sink_failures_total{sink="we\\"ird"}'] == 7
    assert metrics['publisher_sink_last_delivery{sink="home"}'] == 2000.0
    assert 'publisher_sink_last_delivery{sink="we\\"ird"}' not in metrics
    assert metrics['publisher_sink_state{publisher_sink_state="retrying",sink="we\\"ird"}'] == 1
    assert metrics['publisher_sink_state{publisher_sink_state="following",sink="we\\"ird"}'] == 0
    assert not any("reason" in name for name in metrics)


def test_metrics_of_a_service_that_is_not_ready_yet() -> None:
    with serve_metrics("127.0.0.1:0", lambda: {"version": "1.2", "pid": 1, "started": 1000.5}) as port:
        assert scrape(port)["publisher_start_time_seconds"] == 1000.5


def test_an_address_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(PublisherError, match=f"cannot be served on {address}"), serve_metrics(address, dict):
            pass


def test_the_port_is_free_again_at_the_end() -> None:
    port = free_port()
    for _ in range(2):
        with serve_metrics(f"127.0.0.1:{port}", lambda: STATUS) as served:
            assert served == port


def test_without_prometheus_client_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from publisher.errors import ConfigurationError\n"
        "from publisher.service.metrics import serve_metrics\n"
        "try:\n  serve_metrics('127.0.0.1:0', dict).__enter__()\n"
        "except ConfigurationError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'interface-publisher[metrics]'" in done.stderr
    assert done.returncode == 1
