"""The harness itself: what a test does in its namespace stays there."""

from __future__ import annotations

import os
import socket

import pytest

from tests.netns import NetNs


def test_commands_calls_and_threads_are_inside(netns: NetNs) -> None:
    netns.veth("inside0", "inside1")
    seen: list[set[str]] = []
    netns.thread(lambda: seen.append({name for _, name in socket.if_nameindex()})).join()
    expected = {"lo", "inside0", "inside1"}
    assert seen == [expected]
    assert {name for _, name in netns.call(socket.if_nameindex)} == expected
    assert "inside0" in netns.run("ip -br link")
    assert "inside0" not in {name for _, name in socket.if_nameindex()}


def test_settings_are_the_namespaces_own(netns: NetNs) -> None:
    netns.veth()
    assert netns.sysctl("net/ipv4/conf/v0/forwarding", 1) == "1"
    assert not os.path.exists("/proc/sys/net/ipv4/conf/v0")  # noqa: PTH110 - a namespace's file, not a path to handle


def test_a_failing_command_says_why(netns: NetNs) -> None:
    with pytest.raises(AssertionError, match="does not exist"):
        netns.run("ip link show nosuch")
