"""A publisher in a process of its own, that a test can kill: it changes its interfaces until it is told to end."""

from __future__ import annotations

import random
from multiprocessing.connection import Connection
from pathlib import Path

from publisher.testing import make_row
from tests.plugins.mqtt.host import Host


def publish_until(end: Connection, directory: Path, url: str) -> None:
    """Change and publish until something comes, then end well."""
    with Host(directory, url) as host:
        # The first time, the snapshot of the empty table, so that every change after it is an event.
        host.quiet()
        while not end.poll(0.005):
            change(host)
        host.quiet()


def change(host: Host) -> None:
    """One random change of up to twenty interfaces: made, changed or deleted."""
    index = random.randrange(2, 22)
    row = make_row(f"eth{index}", index=index, nl_mtu=random.randrange(1280, 9000))
    if random.random() < 0.2:
        host.remove(row.key)
    else:
        host.put(row)
