"""Interfaces of containers and virtual machines, by what they are and by how they are called. No I/O.

Container engines and hypervisors add and remove them by the hundred (go-hass-agent#320: 3,293 entities).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Protocol

from .rows import Family

CONTAINER_INTERFACES = (
    *("veth*", "br-*", "docker*", "podman*", "cni*", "cbr[0-9]*", "nerdctl*"),
    # Kubernetes and its networks: Calico, Cilium, flannel, Weave, Antrea, kube-router, kube-proxy, Azure
    *("cali*", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "cilium_*", "lxc*", "flannel*", "flannel-*"),
    *("weave*", "vxlan-[0-9]*", "antrea-*", "kube-*", "nodelocaldns", "azv*", "genev_sys_*", "vxlan_sys_*"),
    # LXD, Incus, systemd-nspawn and systemd-vmspawn
    *("lxd*", "incus*", "ve-*", "vb-*", "vz-*", "vt-*"),
    # libvirt, Proxmox VE, OpenStack, Open vSwitch
    *("virbr*", "vnet*", "tap[0-9]*i[0-9]*", "fwbr*", "fwpr*", "fwln*"),
    *("tap????????-??", "qbr????????-??", "qvb????????-??", "qvo????????-??", "ovs-system"),
)
# Inside a container its own interface is a veth, too, whose other end is on the host.
_OWN_INTERFACES = ("eth*", "en*")


class ContainerMembers(Protocol):
    """The members of a row by which an interface of a container is recognised."""

    @property
    def alias(self) -> str: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def link_netnsid(self) -> int | None: ...
    @property
    def higher(self) -> tuple[str, ...]: ...
    @property
    def lower(self) -> tuple[str, ...]: ...
    @property
    def has_global_address(self) -> bool: ...


def matches(alias: str, patterns: tuple[str, ...]) -> bool:
    """Returns whether one of these shell patterns fits the whole alias."""
    return bool(patterns) and _compiled(patterns).match(alias) is not None


def has_container_name(alias: str) -> bool:
    """Returns whether container engines and hypervisors give such names."""
    return matches(alias, CONTAINER_INTERFACES)


def is_of_containers(
    rows: Mapping[Family, ContainerMembers], is_other: Callable[[str], bool], *, bridge_before: bool, announced: bool
) -> bool:
    """Returns whether the interface belongs to a container or a virtual machine, by its kind and its stack.

    - a veth with the other end in another network namespace, that is a bridge's port or has no address of its own;
    - a tun or tap that is a bridge's port, as a virtual machine has it;
    - a bridge of such ports only; without ports it is what it was (`bridge_before`).

    `is_other` returns the same for the LUID of another interface. What is `announced` stays when it only loses its
    addresses.
    """
    interface = next(iter(rows.values()))
    match interface.kind:
        case "veth" | "netkit" if interface.link_netnsid is not None:
            if matches(interface.alias, _OWN_INTERFACES):
                return False
            return bool(interface.higher) or not (announced or any(row.has_global_address for row in rows.values()))
        case "tun":
            return bool(interface.higher)
        case "bridge" | "openvswitch":
            return all(map(is_other, interface.lower)) if interface.lower else bridge_before
        case _:
            return False


@lru_cache(maxsize=16)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Returns the shell patterns as one expression: seven times as quick as one after the other, at each event."""
    return re.compile("|".join(map(translate, patterns)))
