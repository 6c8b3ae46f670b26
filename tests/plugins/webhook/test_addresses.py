"""Hosts to which plain http may go."""

from __future__ import annotations

import pytest

from publisher_webhook.addresses import is_private


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        # RFC 6598: carriers, and every host of a tailnet.
        "100.64.0.0",
        "100.101.102.103",
        "100.127.255.255",
        "::1",
        "[::1]",
        "fd00::1",
        "fd7a:115c:a1e0::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "::ffff:10.0.0.1",
        "::ffff:100.64.0.1",
        "localhost",
        "nas",
        "NAS.",
        "homeassistant.local",
        "nas.lan",
        "Nas.Home.Arpa",
        "nas.office.internal",
        "printer.corp",
    ],
)
def test_these_are_private(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.32.0.1",
        "192.169.0.1",
        "2001:4860:4860::8888",
        "::ffff:8.8.8.8",
        "::ffff:100.128.0.1",
        # Notations of 8.8.8.8 that a resolver takes and that look like a single label.
        "134744072",
        "0x08080808",
        "8.8.2056",
        "010.8.8.8",
        "0x",
        "example.net",
        "local.example.net",
        "home.arpa.example.net",
        "x.arpa",
        "hook.locals",
    ],
)
def test_these_may_be_public(host: str) -> None:
    assert not is_private(host)
