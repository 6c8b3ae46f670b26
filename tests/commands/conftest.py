"""A publisher to run, and a service that runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from publisher.sources import Remove, Resync
from tests.commands.running import ETH0, ETH0_6, FILE_SINK, FOREVER, WLAN0, Publisher, events_in
from tests.waiting import wait_for


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    publisher = Publisher(tmp_path)
    publisher.updates(Resync((ETH0, ETH0_6, WLAN0), "startup"))
    yield publisher
    for process in publisher.started:
        process.kill()
        process.communicate()


@pytest.fixture
def service(publisher: Publisher) -> Callable[..., subprocess.Popen[str]]:
    """Starts the service with a file sink; returns when the snapshot is in the file."""

    def start(*arguments: object, sinks: str = FILE_SINK, **environment: str) -> subprocess.Popen[str]:
        publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"), last_at=FOREVER)
        publisher.configure(sinks)
        process = publisher.start("run", *arguments, **environment)
        wait_for(
            lambda: len(events_in(publisher.folder / "out.jsonl")) >= 3 or process.poll() is not None, what="snapshot"
        )
        return process

    return start
