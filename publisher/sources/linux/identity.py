"""Identities of links: which are known by hardware, and which by kind and name. Pure.

docs/linux.md, "Identities", has the table of kinds.
"""

from __future__ import annotations

from ..identity import HARDWARE_KINDS, Identity, hardware_id, is_local
from .rows import bare_name, text
from .rtnetlink import Link

# ARPHRD_* (include/uapi/linux/if_arp.h) of hardware with the length of its addresses. All others have none, or one that
# is no hardware's: a tunnel's local address is told as its permanent address.
_ADDRESS_LENGTH = {
    1: 6,  # Ethernet
    24: 8,  # IEEE 1394
    32: 20,  # InfiniBand
    801: 6,  # IEEE 802.11, and the two kinds of headers of a monitor
    802: 6,
    803: 6,
    804: 8,  # IEEE 802.15.4
}
# Xen gives it to each of its back ends (xen-netback), QEMU its own prefix to each virtual card.
_XEN, _QEMU = bytes.fromhex("feffffffffff"), bytes.fromhex("525400")
_GROUP = 0x01
# Phones, modems, and a board that is itself such a device: many make up another address at each plug.
_MAKE_UP = ("usb", "gadget")


def burned_in(link: Link) -> bytes | None:
    """Returns the hardware address that was burned into this very link, None when the kernel reports none.

    What software makes on top of something else has no such address, or that of the link below.
    """
    address = link.permanent_address
    if not address or len(address) != _ADDRESS_LENGTH.get(link.hardware_type) or not any(address):
        return None
    if (text(link.kind) or "") not in HARDWARE_KINDS or link.lower not in (None, 0, link.ifindex):
        return None
    return None if len(address) == 6 and (address[0] & _GROUP or address == _XEN) else address


def identity_of(link: Link, if_type: int, dev_port: int | None = None) -> Identity:
    """Returns the facts by which the link is known again; `dev_port` is the number of the port in sysfs, if known."""
    kind, name, address = text(link.kind) or "", bare_name(link), burned_in(link)
    if address is None:
        return Identity(if_type, kind, name)
    made_up = text(link.parent_bus) in _MAKE_UP and is_local(address) and not address.startswith(_QEMU)
    return Identity(if_type, kind, name, hardware_id(address), _port_of(link, dev_port), lasting=not made_up)


def _port_of(link: Link, dev_port: int | None) -> str:
    """Returns the place of the link on its device; empty when nothing is known of it."""
    parent, port = text(link.parent_name) or "", text(link.port_name) or (str(dev_port) if dev_port else "")
    return f"{parent}/{port}" if parent or port else ""
