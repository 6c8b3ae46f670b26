"""Identities: the facts by which an interface is known again, and the number that they lead to. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

# Small numbers look made up, and a number of 0 is no number: `NET_LUID` has 24 bits for it.
FIRST_NUMBER, LAST_NUMBER = 0x8000, 0xFF_FFFF
HARDWARE_KINDS = ("", "ipoib")
"""The kinds (IFLA_INFO_KIND) of hardware: none, and InfiniBand's. A link of another kind is made by software."""
_LOCALLY_ADMINISTERED = 0x02
_INFINIBAND_LENGTH, _GUID = 20, slice(12, 20)


class Identity(NamedTuple):
    """The facts by which an interface is known again: its hardware, else its kind and name.

    `address` is the burned-in hardware address; it is empty for what software makes, and where the kernel reports none.
    `port` tells apart interfaces that share an address; it is empty where nothing does. `lasting`: the address is the
    same at the next plug.
    """

    if_type: int
    kind: str
    name: bytes
    address: bytes = b""
    port: str = ""
    lasting: bool = True

    def number_by_address(self) -> int:
        """Returns the first choice for `net_luid_index` of hardware."""
        return _number(b"address", self.kind.encode(), self.address)

    def number_by_name(self) -> int:
        """Returns the first choice for `net_luid_index` of everything else."""
        return _number(b"name", self.kind.encode(), self.name)


def is_local(address: bytes) -> bool:
    """Returns whether an administrator or a program chose this address, and not the maker of the hardware."""
    return len(address) == 6 and bool(address[0] & _LOCALLY_ADMINISTERED)


def hardware_id(address: bytes) -> bytes:
    """Returns the part of a hardware address that stays: all of it, but for InfiniBand's.

    The rest of that is the number of a queue, another one at each start, and the subnet (RFC 4391, 9.1.1).
    """
    return address[_GUID] if len(address) == _INFINIBAND_LENGTH else address


def _number(*facts: bytes) -> int:
    digest = blake2b(b"".join(len(fact).to_bytes(2, "big") + fact for fact in facts), digest_size=8).digest()
    return FIRST_NUMBER + int.from_bytes(digest, "big") % (LAST_NUMBER - FIRST_NUMBER + 1)
