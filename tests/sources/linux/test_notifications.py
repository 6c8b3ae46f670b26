"""The socket that receives notifications of a real kernel."""

from __future__ import annotations

import logging
import sys
from contextlib import closing

import pytest

from publisher.sources.linux.rtnetlink import Decoder
from tests.fixtures.linux_source import Following
from tests.fixtures.netns import NetNs
from tests.fixtures.still_links import add_still_pair

if sys.platform == "linux":
    from publisher.sources.linux.notifications import MOST_DATAGRAMS, NotificationSocket
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_it_is_known_whether_more_wait_than_is_received_at_once(netns: NetNs, beyond: int) -> None:
    def opened() -> NotificationSocket:
        return NotificationSocket(Decoder(), 1 << 22, logging.getLogger("publisher"))

    netns.ip("link add v0 type ifb")
    with closing(netns.call(opened)) as notifications:
        netns.ip(*(f"link set v0 mtu {1400 + number}" for number in range(MOST_DATAGRAMS + beyond)))
        received = notifications.receive()
        found = len(received.messages), received.more, len(notifications.receive().messages)
    assert found == (MOST_DATAGRAMS + min(beyond, 0), beyond > 0, max(beyond, 0))


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_changes_that_are_as_many_as_are_received_at_once_are_one_event_each(
    netns: NetNs, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    add_still_pair(netns)
    monkeypatch.setattr("publisher.sources.linux.notifications.MOST_DATAGRAMS", at_once)
    with Following(netns) as following:
        following.settled()
        netns.ip(*(f"link set v0 mtu {1400 + number}" for number in range(10)))
        mtus = [event.interface.mtu for event in following.settled() if event.interface and event.family == "inet6"]
    assert mtus == [1400 + number for number in range(10)]
