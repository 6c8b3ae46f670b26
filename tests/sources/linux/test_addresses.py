"""Addresses: the members of an Address for each kind of received message."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from publisher.sources.linux.addresses import address_values, own_address
from tests.fixtures.netlink_records import an_address

NOW = datetime(2026, 11, 22, 20, 4, 12, tzinfo=UTC)

TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE, PERMANENT, MANAGETEMPADDR, STABLE_PRIVACY = (
    0x01,
    0x08,
    0x20,
    0x40,
    0x80,
    0x100,
    0x800,
)
LO, RA, LL = 1, 2, 3
EUI64, OTHER = "fd00::5054:ff:fe12:3456", "fd00::1"


def values(text: str, **members: Any) -> dict[str, Any]:
    return address_values(an_address(text, **members), NOW)


@pytest.mark.parametrize(
    ("text", "flags", "protocol", "origins"),
    [
        ("192.0.2.1", PERMANENT, None, ("manual", "manual")),
        ("192.0.2.1", 0, None, ("other", "other")),
        ("127.0.0.1", PERMANENT, None, ("well_known", "well_known")),
        ("127.0.0.2", PERMANENT, None, ("well_known", "well_known")),
        # IFA_F_SECONDARY is the bit of IFA_F_TEMPORARY.
        ("192.0.2.51", TEMPORARY, None, ("other", "other")),
        ("192.0.2.51", TEMPORARY | PERMANENT, None, ("manual", "manual")),
        ("169.254.7.7", TEMPORARY | STABLE_PRIVACY | MANAGETEMPADDR, None, ("other", "other")),
        # Kernels before 5.18 have no IFA_PROTO.
        ("::1", PERMANENT, None, ("well_known", "well_known")),
        ("fe80::ba27:ebff:fe11:2233", PERMANENT, None, ("well_known", "link_layer_address")),
        ("fe80::9c1e:7a:b0c:1", PERMANENT | STABLE_PRIVACY, None, ("well_known", "random")),
        ("febf::ba27:ebff:fe11:2233", PERMANENT, None, ("well_known", "link_layer_address")),
        ("fe80::1", PERMANENT, None, ("manual", "manual")),
        ("fec0::ba27:ebff:fe11:2233", PERMANENT, None, ("manual", "manual")),
        ("::1", PERMANENT, LO, ("well_known", "well_known")),
        ("fe80::1", PERMANENT, LL, ("well_known", "other")),
        ("fe80::5054:ff:fe12:3456", PERMANENT, LL, ("well_known", "link_layer_address")),
        ("fe80::1", PERMANENT | STABLE_PRIVACY, LL, ("well_known", "random")),
        (EUI64, MANAGETEMPADDR, None, ("router_advertisement", "link_layer_address")),
        (EUI64, 0, RA, ("router_advertisement", "link_layer_address")),
        (OTHER, TEMPORARY, None, ("router_advertisement", "random")),
        (OTHER, TEMPORARY, RA, ("router_advertisement", "random")),
        (OTHER, STABLE_PRIVACY | MANAGETEMPADDR, None, ("router_advertisement", "random")),
        (OTHER, STABLE_PRIVACY, RA, ("router_advertisement", "random")),
        (EUI64, TEMPORARY, RA, ("router_advertisement", "random")),
        (OTHER, PERMANENT, None, ("manual", "manual")),
        (OTHER, PERMANENT | MANAGETEMPADDR, None, ("manual", "manual")),
        (OTHER, 0, None, ("other", "other")),
    ],
)
def test_the_origins_of_prefix_and_identifier(
    text: str, flags: int, protocol: int | None, origins: tuple[str, str]
) -> None:
    found = values(text, flags=flags, protocol=protocol)
    assert (found["prefix_origin"], found["suffix_origin"]) == origins


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (PERMANENT, "preferred"),
        (DEPRECATED, "deprecated"),
        (TENTATIVE, "tentative"),
        (TENTATIVE | DEPRECATED, "tentative"),
        (DADFAILED | TENTATIVE, "duplicate"),
    ],
)
def test_the_state_of_duplicate_address_detection(flags: int, state: str) -> None:
    assert values("fd00::1", flags=flags)["dad_state"] == state


@pytest.mark.parametrize(
    ("number", "scope"),
    [
        (0, "global"),
        (1, "organization"),
        (199, "organization"),
        (200, "site"),
        (253, "link"),
        (254, "interface"),
        (255, "interface"),
    ],
)
def test_the_scope(number: int, scope: str) -> None:
    assert values("fd00::1", scope=number)["scope"] == scope


def test_only_a_link_local_ipv6_address_has_a_scope_id() -> None:
    assert values("fe80::1", index=7, scope=253)["scope_id"] == 7
    assert values("fd00::1", index=7, scope=0)["scope_id"] is None
    assert values("169.254.0.1", index=7, scope=253)["scope_id"] is None


def test_lifetimes_are_the_moments_of_their_end_and_none_is_for_ever() -> None:
    found = values("192.0.2.1", valid=900, preferred=800)
    assert found["valid_until"] == NOW + timedelta(seconds=900)
    assert found["preferred_until"] == NOW + timedelta(seconds=800)
    found = values("192.0.2.1", valid=0xFFFF_FFFF, preferred=0)
    assert (found["valid_until"], found["preferred_until"]) == (None, NOW)


def test_flags_of_32_bits_go_before_those_of_8_bits() -> None:
    assert values("fd00::1", short_flags=PERMANENT, flags=DEPRECATED)["dad_state"] == "deprecated"
    assert values("fd00::1", short_flags=DEPRECATED, flags=None)["dad_state"] == "deprecated"


def test_on_a_point_to_point_link_the_address_of_this_end_counts() -> None:
    peer = socket.inet_pton(socket.AF_INET, "192.0.2.10")
    own = an_address("192.0.2.9", address=peer, prefix_length=32)
    assert own_address(own) == socket.inet_pton(socket.AF_INET, "192.0.2.9")
    assert address_values(own, NOW)["address"] == "192.0.2.9"
    assert values("fd00::1")["address"] == "fd00::1"
