"""Private hosts: those that a request reaches without crossing the internet. Decides where plain http may go."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SHARED = IPv4Network("100.64.0.0/10")  # RFC 6598; also the addresses of a tailnet
_SITE_LOCAL = IPv6Network("fec0::/10")  # RFC 3879; old, and still in use
# RFC 6761, RFC 6762 with its appendix G; and RFC 8375's home.arpa below.
_PRIVATE_DOMAINS = {"localhost", "local", "intranet", "internal", "private", "corp", "home", "lan"}


def is_private(host: str | IPv4Address | IPv6Address) -> bool:
    """Returns whether the host, an address or a name, is this one or in its private network.

    A name is private by its domain, or when it is a single label; whatever ends in a number is an address in some
    notation (`127.1`, `0x7f000001`), and is private only when it is written as usual.
    """
    address = host if isinstance(host, IPv4Address | IPv6Address) else _address(host)
    if address is not None:
        return _is_private_address(address)
    assert isinstance(host, str)
    labels = host.lower().removesuffix(".").split(".")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return False
    return len(labels) == 1 or labels[-1] in _PRIVATE_DOMAINS or labels[-2:] == ["home", "arpa"]


def is_address(host: str) -> bool:
    """Returns whether the host is an address as it is usually written, and no name."""
    return _address(host) is not None


def _is_private_address(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_private_address(address.ipv4_mapped)
        return address.is_private or address.is_link_local or address in _SITE_LOCAL
    return address.is_private or address.is_link_local or address in _SHARED


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None
