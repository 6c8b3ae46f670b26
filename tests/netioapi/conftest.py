"""A network namespace with a pair of links, for the tests of the calls on Linux."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "linux":
    from tests.fixtures.netns import NetNs
    from tests.fixtures.poll import wait_for

    @pytest.fixture
    def netns_with_eth7(inside_netns: NetNs) -> NetNs:
        """The links eth7 and eth8, two ends of one pair, without addresses; the test's function runs inside."""
        inside_netns.ip("link set lo up", "link add eth7 type veth peer name eth8")
        inside_netns.ip("link set eth7 addrgenmode none", "link set eth8 addrgenmode none")
        inside_netns.ip("link set eth7 up", "link set eth8 up")
        # The kernel reports the carrier a moment later; a test would take it for a change of its own.
        wait_for(lambda: inside_netns.run("ip -j link").count('"operstate":"UP"') == 2, what="the carrier")
        return inside_netns
