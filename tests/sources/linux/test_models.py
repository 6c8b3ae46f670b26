"""Models that are made again: the members that differ are validated, each as the whole model validates it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from publisher.events import UNKNOWN, Address, Interface, IpInterfaceRow, Offload
from publisher.facts import Fact
from publisher.sources.linux.models import made

OFFLOAD = Offload(tl_datagram_checksum_supported=True)
ROW = {
    "family": "inet6",
    "interface_luid": "0006008000000000",
    "interface_index": 2,
    "forwarding_enabled": False,
    "router_discovery_behavior": "enabled",
    "zone_indices": (0,) * 16,
    "nl_mtu": 1500,
    "transmit_offload": OFFLOAD,
    "reachable_time": None,
}
INTERFACE = {
    "alias": "eth0",
    "type": 6,
    "kind": None,
    "physical_address": "52:54:00:12:34:56",
    "mtu": 1500,
    "admin_status": "up",
    "oper_status": "up",
    "media_connect_state": "connected",
    "last_link_speed": 10**10,
    "last_change": datetime(2026, 11, 27, tzinfo=UTC),
    "higher": ("0006008000000000",),
    "link_netnsid": None,
}
ADDRESS = {
    "address": "192.0.2.1",
    "prefix_length": 24,
    "scope": "global",
    "dad_state": "preferred",
    "valid_until": UNKNOWN,
    "preferred_until": None,
}
KINDS: list[tuple[type[Fact], dict[str, Any]]] = [(IpInterfaceRow, ROW), (Interface, INTERFACE), (Address, ADDRESS)]
# Among these each member has some that it accepts, and some that it does not.
CANDIDATES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        129,
        2**32,
        2**64,
        1.5,
        "1",
        b"1",
        "",
        "inet",
        "up",
        "enabled",
        "link",
        "down",
        "unknown",
        "tentative",
    ),
    *("52:54:00:12:34:57", "52-54", "0006008000000001", "000600800000000G", (), (1,) * 16, (1,) * 15, ["1"]),
    *(("0006008000000001",), ("x",), OFFLOAD, {}, UNKNOWN, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)),
]
MEMBERS = [
    pytest.param(model, values, name, id=f"{model.__name__}-{name}") for model, values in KINDS for name in values
]


@pytest.mark.parametrize(("model", "values", "name"), MEMBERS)
def test_a_member_that_differs_is_validated_as_the_whole_model_validates_it(
    model: type[Fact], values: dict[str, Any], name: str
) -> None:
    before, accepted, refused = made(model, values, None), 0, 0
    for candidate in CANDIDATES:
        if candidate == values[name]:
            continue
        changed = {**values, name: candidate}
        try:
            whole = model(**changed)
        except ValueError:
            refused += 1
            with pytest.raises(ValueError, match="validation error"):
                made(model, changed, before)
        else:
            accepted += 1
            assert made(model, changed, before) == whole
            assert made(model, changed, before).model_dump_json() == whole.model_dump_json()
    assert accepted
    assert refused
    assert before == model(**values)


@pytest.mark.parametrize(("model", "values"), KINDS)
def test_a_model_with_the_same_values_is_the_one_before(model: type[Fact], values: dict[str, Any]) -> None:
    before = made(model, values, None)
    assert made(model, dict(values), before) is before


@pytest.mark.parametrize(("model", "values"), KINDS)
def test_no_rule_of_these_models_is_about_several_members(model: type[Fact], values: dict[str, Any]) -> None:
    rules = model.__pydantic_decorators__
    assert not any((rules.validators, rules.field_validators, rules.root_validators, rules.model_validators))
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        made(model, {**values, "unknown": 1}, None)
