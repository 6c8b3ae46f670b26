"""The uplinks of a node, and the count of its interfaces, in the retained `info`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from publisher.events import DefaultRoute, IpInterface
from publisher.testing import FakeSinkContext, make_event, make_row, make_snapshot
from publisher_mqtt.client.readback import ReadBack, RetainedMessages
from publisher_mqtt.messages import Messages, Topics
from publisher_mqtt.options import MqttOptions
from publisher_mqtt.retained import RetainedState

MESSAGES = Messages(MqttOptions(url="mqtt://h"), Topics("interfaces", "testnode"), "testnode")
HOP = "192.0.2.1"
MOBILE = make_row("wwan0", index=3, default_routes=[DefaultRoute(next_hop=None, metric=700)])
V6 = make_row("eth0", "inet6", default_routes=["fe80::1"])


def eth0(*routes: str | DefaultRoute, **members: Any) -> IpInterface:
    return make_row("eth0", default_routes=routes, **members)


class NothingElse(ReadBack):
    """A read-back that finds nothing."""

    def __init__(self) -> None:
        pass

    def read(self, _filters: object, _keep: object) -> RetainedMessages[Any]:
        return RetainedMessages({}, complete=True)


def board(*rows: IpInterface) -> RetainedState:
    one = RetainedState(MESSAGES, None, FakeSinkContext())
    for _ in one.plan(make_snapshot(rows)):
        pass
    return one


def told(one: RetainedState) -> dict[str, str | None]:
    uplinks = json.loads(one.info())["uplinks"]
    return {family: uplink and f"{uplink['alias']} {uplink['next_hop']}" for family, uplink in uplinks.items()}


def after(one: RetainedState, seq: int, row: IpInterface, what: Any = "parameter_notification") -> str | None:
    for _ in one.plan([make_event(seq, what, row, changed={})]):
        pass
    return told(one)["inet"]


def test_the_best_default_route_of_each_family_is_its_uplink() -> None:
    assert told(board(eth0(HOP), MOBILE, V6)) == {"inet": f"eth0 {HOP}", "inet6": "eth0 fe80::1"}
    assert told(board(MOBILE)) == {"inet": "wwan0 None", "inet6": None}
    assert told(board(eth0())) == {"inet": None, "inet6": None}


def test_the_uplink_follows_the_events() -> None:
    one = board(eth0(HOP), MOBILE)
    assert after(one, 1, eth0()) == "wwan0 None"
    assert after(one, 2, eth0(DefaultRoute(next_hop=HOP, metric=800))) == "wwan0 None"
    assert after(one, 3, eth0("192.0.2.254")) == "eth0 192.0.2.254"
    assert after(one, 4, eth0("192.0.2.254"), "delete_instance") == "wwan0 None"
    assert after(one, 5, MOBILE, "delete_instance") is None


def test_a_route_over_a_link_without_a_carrier_is_no_uplink() -> None:
    """Linux keeps it."""
    one = board(eth0(HOP), MOBILE)
    assert after(one, 1, eth0(HOP, connected=False)) == "wwan0 None"


def test_in_the_middle_of_a_snapshot_the_uplink_is_that_of_before() -> None:
    one = board(eth0(HOP), MOBILE)
    marker, mobile, ethernet = make_snapshot([MOBILE, eth0("192.0.2.254")], seq=5)
    for part in (marker, mobile):
        for _ in one.plan([part]):
            pass
        assert told(one)["inet"] == f"eth0 {HOP}"
    for _ in one.plan([ethernet]):
        pass
    assert told(one)["inet"] == "eth0 192.0.2.254"


@pytest.mark.parametrize(
    ("members", "uplink"),
    [({}, "eth0 192.0.2.1"), ({"epoch": "0" * 16}, None), ({"uplinks": {"inet": 7}}, None)],
    ids=["ours", "another journal's", "wrong"],
)
def test_after_a_restart_the_uplink_is_that_of_before_until_the_first_snapshot_is_whole(
    members: dict[str, Any], uplink: str | None
) -> None:
    """Home Assistant would tell of a change."""
    info = json.dumps(json.loads(board(eth0(HOP)).info()) | members).encode()
    again = RetainedState(MESSAGES, None, FakeSinkContext())
    again.read_back(NothingElse(), info)
    assert told(again)["inet"] == uplink
    for _ in again.plan(make_snapshot([MOBILE])):
        pass
    assert told(again)["inet"] == "wwan0 None"


def test_interfaces_are_counted_and_not_their_families() -> None:
    assert json.loads(board(eth0(), V6, MOBILE).info())["interfaces"] == 2
