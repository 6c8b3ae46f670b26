"""The kinds of links of Linux: how each is made with `ip`, and how it is to appear."""

from __future__ import annotations

from typing import NamedTuple

# ifType of IANA.
LOOPBACK, ETHERNET, VIRTUAL, WIFI, TUNNEL, VLAN, AGGREGATE, BRIDGE = 24, 6, 53, 71, 131, 135, 161, 209


class LinkSpec(NamedTuple):
    """A link: its name, its ifType, its kind for Linux, and the commands of `ip` that make it."""

    name: str
    type: int
    kind: str
    commands: tuple[str, ...]

    @property
    def stands_on(self) -> set[str]:
        """The other links that the commands name."""
        words = {word for command in self.commands for word in command.split()}
        return words & {link.name for link in LINKS if link.name != self.name}


class Card(NamedTuple):
    """An emulated network card, or adapter: its name here, QEMU's device, its drivers, and its hardware address."""

    name: str
    device: str
    drivers: str
    address: str

    def plugged(self, place: str) -> str:
        """Returns QEMU's device in this place: a slot, or a port."""
        return f"{self.device},mac={self.address},{place}"


def _link(name: str, if_type: int, kind: str, options: str = "", *more: str, on: str = "") -> LinkSpec:
    below = f"link {on} " if on else ""
    return LinkSpec(name, if_type, kind, (f"link add {below}name {name} type {kind} {options}", *more))


# Below the links that need one, which not all share; they stay when those are deleted.
BASES = tuple(f"link {words}" for base in "012" for words in (f"add base{base} type dummy", f"set base{base} up"))
_IPV4, _IPV6 = "local 10.0.0.1 remote 10.0.0.2", "local fd00::1 remote fd00::2"

LINKS = (
    _link("dummy7", VIRTUAL, "dummy"),
    _link("base0.10", VLAN, "vlan", "id 10", on="base0"),
    _link("bond7", AGGREGATE, "bond", "mode active-backup"),
    _link("slave7", VIRTUAL, "dummy", "", "link set slave7 master bond7"),
    _link("team7", AGGREGATE, "team"),
    _link("bridge7", BRIDGE, "bridge"),
    _link("veth7", VIRTUAL, "veth", "peer name veth8", "link set veth8 master bridge7"),
    _link("wg-home", TUNNEL, "wireguard"),
    _link("vrf7", VIRTUAL, "vrf", "table 7"),
    _link("gre7", TUNNEL, "gre", _IPV4),
    _link("gretap7", TUNNEL, "gretap", _IPV4),
    _link("erspan7", TUNNEL, "erspan", f"seq key 7 {_IPV4} erspan_ver 1"),
    _link("ipip7", TUNNEL, "ipip", _IPV4),
    _link("sit7", TUNNEL, "sit", _IPV4),
    _link("ip6tnl7", TUNNEL, "ip6tnl", _IPV6),
    _link("ip6gre7", TUNNEL, "ip6gre", _IPV6),
    _link("ip6gretap7", TUNNEL, "ip6gretap", _IPV6),
    _link("ip6erspan7", TUNNEL, "ip6erspan", f"seq key 7 {_IPV6} erspan_ver 1"),
    _link("vti7", TUNNEL, "vti", f"{_IPV4} key 7"),
    _link("vti67", TUNNEL, "vti6", f"{_IPV6} key 7"),
    _link("xfrm7", TUNNEL, "xfrm", "dev base0 if_id 7"),
    _link("geneve7", TUNNEL, "geneve", "id 7 remote 10.0.0.2"),
    _link("vxlan7", TUNNEL, "vxlan", "id 7 remote 10.0.0.2 dstport 4789"),
    _link("macvlan7", VIRTUAL, "macvlan", on="base0"),
    _link("macvtap7", VIRTUAL, "macvtap", on="base0"),
    _link("macsec7", VIRTUAL, "macsec", on="base2"),
    _link("ipvlan7", VIRTUAL, "ipvlan", on="base1"),
    _link("ifb7", VIRTUAL, "ifb"),
    _link("vcan7", VIRTUAL, "vcan"),
    _link("vxcan7", VIRTUAL, "vxcan", "peer name vxcan8"),
    _link("batadv7", VIRTUAL, "batadv"),
    _link("nlmon7", VIRTUAL, "nlmon"),
    LinkSpec("tun7", TUNNEL, "tun", ("tuntap add dev tun7 mode tun",)),
    LinkSpec("tap7", VIRTUAL, "tun", ("tuntap add dev tap7 mode tap",)),
)

CARDS = (
    Card("virtio", "virtio-net-pci", "virtio_net", "52:54:00:00:00:01"),
    Card("e1000", "e1000", "e1000", "00:1b:21:00:00:02"),
    Card("usb", "usb-net", "xhci_pci cdc_ether", "00:1b:21:00:00:03"),
)
VIRTIO, E1000, USB = CARDS
