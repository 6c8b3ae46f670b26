"""A viewer that comes back to a copy of the stream which lags waits for it, and does not take it for an older one.

The copy is a mirror at a leaf node, whose messages have the places and times of the stream, as a replica's have: how
long a replica of a cluster lags is up to the servers, and mostly it is milliseconds. The fleet's kill test has those.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher import Backoff
from publisher.client import subscription
from publisher.client.ordered_nodes import OrderedNodes
from publisher.testing import make_event, make_row, make_snapshot
from publisher_nats.subscriber import transport
from tests.fixtures.bucket_writer import BucketWriter
from tests.fixtures.nats import NatsServer
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.subscribed import SubscribedReader

NODE = "testnode"
STREAMS = ("KV_interfaces", "KV_interfaces_status")
# More than the viewer knows of the stream: nothing of that is in the copy.
MANY = 3 * transport._MOST_KNOWN


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[NatsServer, NatsServer]]:
    """The server with the streams, and one that has a mirror of each."""
    port = free_port()
    listen = f'leafnodes {{ listen: "127.0.0.1:{port}" }}'
    remote = f'leafnodes {{ remotes = [{{ url: "nats-leaf://127.0.0.1:{port}" }}] }}'
    first = NatsServer(tmp_path / "first", name="first", config=listen, jetstream="domain: hub")
    copy = NatsServer(tmp_path / "copy", name="copy", config=remote, jetstream="domain: copy")
    with first, copy, BucketWriter(first.url) as writer, BucketWriter(copy.url) as mirrors:
        wait_for(lambda: first.asked("leafz").get("leafnodes"), what="the leaf node's connection")
        writer.make(history=-1)
        writer.put(*make_snapshot([make_row("eth0")], 5))
        for name in STREAMS:
            made = {"name": name, "mirror": {"name": name, "external": {"api": "$JS.hub.API"}}, "allow_direct": True}
            mirrors.api(f"STREAM.CREATE.{name}", made | {"allow_msg_ttl": True, "storage": "file"})
        wait_for(lambda: last_of(mirrors) == last_of(writer), what="the copy of the first rows")
        yield first, copy


def last_of(writer: BucketWriter) -> int:
    """Returns the number of the stream's last message."""
    return int(writer.api("STREAM.INFO.KV_interfaces", {})["state"]["last_seq"])


def test_a_copy_that_lags_is_waited_for(
    servers: tuple[NatsServer, NatsServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, copy = servers
    monkeypatch.setattr(subscription, "_BACKOFF", Backoff(0.02, 0.2))
    monkeypatch.setattr(random, "shuffle", lambda _addresses: None)  # the first server is tried first
    monkeypatch.setattr(transport, "_CATCH_UP_SECONDS", 100.0)  # a leaf node takes longer to connect than a replica
    begun: list[OrderedNodes] = []
    begin = OrderedNodes.begin

    def counted(nodes: OrderedNodes) -> None:
        begun.append(nodes)
        begin(nodes)

    monkeypatch.setattr(OrderedNodes, "begin", counted)
    with SubscribedReader(f"{first.url},{copy.url.removeprefix('nats://')}") as reader:
        reader.until(lambda: reader.rows)
        copy.kill()
        with BucketWriter(first.url) as writer:
            writer.put(*(make_event(seq) for seq in range(6, 6 + MANY)))
        reader.until(lambda: reader.changes[-1:] == [5 + MANY])
        first.kill()
        copy.start()
        link = wait_for(lambda: link_of(reader, copy), what="the viewer at the copy")
        reader.until(lambda: link._rows.is_caught_up or "put back" in caplog.text)
        assert link._is_unproven, "the copy has a message that the viewer knows"
        first.start()
        with BucketWriter(first.url) as writer:
            writer.put(make_event(6 + MANY))
        reader.until(lambda: reader.changes[-1:] == [6 + MANY], seconds=90)
        assert link_of(reader, copy) is link, "the viewer did not stay at the copy"
        assert reader.changes == list(range(6, 7 + MANY))
        assert reader.snapshots == 1
    assert "put back" not in caplog.text
    assert len(begun) == 1, "everything was read again"


def link_of(reader: SubscribedReader, server: NatsServer) -> transport.NatsLink | None:
    """Returns the viewer's link to this server, once there is one."""
    link = reader.subscription._driver._link
    assert link is None or isinstance(link, transport.NatsLink)
    return link if link is not None and str(server.port) in link._connection.name else None
