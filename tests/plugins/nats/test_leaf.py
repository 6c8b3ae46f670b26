"""A viewer at a leaf node reads the bucket of the hub, whose JetStream domain its URL names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

import publisher
from publisher import PublisherError
from publisher.testing import make_event, make_row, make_snapshot
from tests.fixtures.bucket_writer import BucketWriter
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.subscribed import SubscribedReader
from tests.fixtures.tmux import Terminal

PUBLISHER = (sys.executable, "-m", "publisher")
ETH0 = make_row("eth0")


class Site(NamedTuple):
    """A leaf node with a JetStream of its own, and a writer of the hub's buckets."""

    hub: NatsServer
    leaf: NatsServer
    writer: BucketWriter

    @property
    def url(self) -> str:
        return f"{self.leaf.url}?domain=hub"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port = free_port()
    hub = NatsServer(
        tmp_path / "hub", name="hub", config=f'leafnodes {{ listen: "127.0.0.1:{port}" }}', jetstream="domain: hub"
    )
    remote = f'leafnodes {{ remotes = [{{ url: "nats-leaf://127.0.0.1:{port}" }}] }}'
    leaf = NatsServer(tmp_path / "leaf", name="leaf", config=remote, jetstream="domain: leaf")
    with hub, leaf, BucketWriter(hub.url) as writer:
        wait_for(lambda: hub.asked("leafz").get("leafnodes"), what="the leaf node's connection")
        writer.make()
        writer.status("nas", lease=300)
        writer.put(*make_snapshot([ETH0], 5, node="nas"))
        yield Site(hub, leaf, writer)


def test_the_rows_the_changes_and_what_was_missed_come_through_a_leaf_node(site: Site) -> None:
    with SubscribedReader(site.url) as reader:
        reader.until(lambda: (nas := reader.subscription.nodes.get("nas")) and nas.in_sync and nas.online)
        site.writer.put(make_event(6, node="nas"))
        reader.until(lambda: reader.changes == [6])
        place = reader.subscription.nodes["nas"]
    site.writer.put(make_event(7, node="nas"), make_event(8, node="nas"))
    with SubscribedReader(site.url, since={"nas": (place.epoch, 6)}) as reader:
        reader.until(lambda: reader.changes == [7, 8])
        assert reader.snapshots == 0
    with pytest.raises(PublisherError, match="no JetStream domain 'nowhere' is reached from there"):
        publisher.subscribe(f"{site.leaf.url}?domain=nowhere")
    with pytest.raises(PublisherError, match="no stream KV_interfaces"):
        publisher.subscribe(site.leaf.url)


@pytest.mark.skipif(sys.platform == "win32", reason="tmux is not on Windows")
def test_watch_shows_the_hub(site: Site, tmp_path: Path) -> None:
    with closing(Terminal(tmp_path, os.environ)) as terminal:
        terminal.run(*PUBLISHER, "watch", f"'{site.url}'")
        terminal.wait(lambda screen: re.search(r"^eth0 +up", screen, re.MULTILINE))
        terminal.press("q")
