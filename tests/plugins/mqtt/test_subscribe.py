"""`publisher.subscribe` over real brokers."""

from __future__ import annotations

from pathlib import Path

import publisher
from publisher.client import NodeStatus, Rows
from publisher.events import AnyEvent
from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.mqtt_host import MqttHost


def taken(subscription: publisher.Subscription, count: int) -> list[AnyEvent]:
    """Returns the next events."""
    return [next(subscription) for _ in range(count)]


def test_the_rows_come_first_and_then_every_change(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker) as host:
        host.put(make_row("eth0"), make_row("eth1", index=3))
        host.quiet()
        rows = Rows()
        with publisher.subscribe(broker.url) as subscription:
            for event in taken(subscription, 3):
                rows.apply(event)
            host.put(make_row("eth0", nl_mtu=1300))
            [change] = taken(subscription, 1)
            rows.apply(change)
            while not (status := subscription.nodes["testnode"]).in_sync:
                subscription.read(1.0)
    assert change.text() == "eth0 IPv4 mtu 1300, was 1500"
    assert sorted(row.row.nl_mtu or 0 for row in rows.values()) == [1300, 1500]
    assert status == NodeStatus("testnode", online=True, in_sync=True, epoch=change.epoch, seq=change.seq)
