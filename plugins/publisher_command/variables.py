"""The environment of a program: few variables of publisher's own, and an event in the names of three dispatchers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from publisher import Address, Event

from .dispatchers import link_beat, networkmanager_action, transition

# Of publisher's own environment. Nothing else: it may hold secrets, as PUBLISHER_SINKS__HOME__PASSWORD.
_KEPT = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
# Without these, many programs of Windows do not start.
_KEPT_ON_WINDOWS = {
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME", "APPDATA",
    "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)",
}  # fmt: skip
# The kernel takes 128 KiB in one variable (MAX_ARG_STRLEN, execve(2)): 5,000 addresses are more. All are in the JSON.
MOST_ADDRESSES = 100
_LONGEST_TEXT = 1000
_TYPES = {6: "ether", 24: "loopback", 71: "wlan"}  # IANA's ifType


def surroundings(environment: Mapping[str, str], path: str, *, windows: bool) -> dict[str, str]:
    """Returns the variables that a program gets of publisher's own; `path` is its PATH where there is none."""
    kept = _KEPT | _KEPT_ON_WINDOWS if windows else _KEPT
    found = {name: value for name, value in environment.items() if name in kept or name.startswith("LC_")}
    return {"PATH": path} | found


def variables(event: Event) -> dict[str, str]:
    """Returns the variables of an event about an interface. Not for position 0 of a snapshot."""
    assert event.interface is not None, "position 0 of a snapshot is about no interface"
    own = {
        "EVENT_ID": event.id,
        "EVENT_SEQ": str(event.seq),
        "EVENT_TYPE": event.notification_type,
        "EVENT_CAUSE": event.cause,
        "EVENT_KINDS": " ".join(event.kinds),
        "EVENT_TEXT": event.text()[:_LONGEST_TEXT],
        "EVENT_NODE": event.node,
        "EVENT_LUID": str(event.luid),
        "EVENT_FAMILY": str(event.family),
    }
    # No value can hold NUL; Windows' aliases can.
    of_dispatchers = _networkd_dispatcher(event) | dict(_networkmanager(event)) | _ifplugd(event)
    return {name: value.replace("\0", "") for name, value in (own | of_dispatchers).items()}


def _addresses(event: Event) -> tuple[Address, ...]:
    """Returns the addresses after the event, the first hundred: none when the interface was removed."""
    return () if event.notification_type == "delete_instance" else event.addresses[:MOST_ADDRESSES]


def _gateways(event: Event) -> list[str]:
    routes = () if event.notification_type == "delete_instance" else event.default_routes
    return [route.next_hop for route in routes if route.next_hop]


def _networkd_dispatcher(event: Event) -> dict[str, str]:
    assert event.interface is not None
    state = transition(event).after
    addresses = [address.address for address in _addresses(event)]
    listed = " ".join(address for address in addresses if not address.startswith(("127.", "fe80:")))
    about: dict[str, Any] = {
        "Type": _TYPES.get(event.interface.type or 0, ""),
        "OperationalState": state,
        "AdministrativeState": "",
        "State": state,
        "Address": addresses,
        "Gateway": _gateways(event),
    }
    return {
        "IFACE": event.interface.alias,
        "STATE": state,
        "OperationalState": state,
        # networkd's setup state and the network's name are not known: empty, as that dispatcher has them then.
        "AdministrativeState": "",
        "ESSID": "",
        "ADDR": next(iter(addresses), ""),
        "IP_ADDRS" if event.family == "inet" else "IP6_ADDRS": listed,
        "json": json.dumps(about),
    }


def _networkmanager(event: Event) -> Iterator[tuple[str, str]]:
    assert event.interface is not None
    yield "DEVICE_IFACE", event.interface.alias
    yield "DEVICE_IP_IFACE", event.interface.alias
    if action := networkmanager_action(event):
        yield "NM_DISPATCHER_ACTION", action
    prefix, nowhere = ("IP4", "0.0.0.0") if event.family == "inet" else ("IP6", "::")
    gateway = next(iter(_gateways(event)), nowhere)
    yield f"{prefix}_NUM_ADDRESSES", str(len(_addresses(event)))
    yield f"{prefix}_GATEWAY", gateway
    for number, address in enumerate(_addresses(event)):
        yield f"{prefix}_ADDRESS_{number}", f"{_with_prefix(address)} {gateway}"


def _ifplugd(event: Event) -> dict[str, str]:
    before, after = link_beat(event)
    return {"IFPLUGD_PREVIOUS": before, "IFPLUGD_CURRENT": after}


def _with_prefix(address: Address) -> str:
    return f"{address.address}/{address.prefix_length}"
