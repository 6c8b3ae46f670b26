"""The filter of the notification socket: of messages about routes the kernel delivers those about default routes only.

A classic BPF program (socket(7), SO_ATTACH_FILTER; include/uapi/linux/filter.h). It needs no privilege, and what it
drops takes no room in the receive buffer. docs/linux.md, "Default routes", has the figures.
"""

from __future__ import annotations

import ctypes
import struct
from typing import NamedTuple

from .routes import RT_TABLE_MAIN
from .rtnetlink import RTM_DELROUTE, RTM_NEWROUTE

SO_ATTACH_FILTER = 26
_LOAD_HALF, _LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
# Offsets in struct nlmsghdr and in struct rtmsg behind it.
_TYPE, _PREFIX_LENGTH, _TABLE = 4, 17, 20
_WHOLE, _NOTHING = 0xFFFF_FFFF, 0


class _Instruction(NamedTuple):
    """An instruction; the jumps count from the next one."""

    code: int
    if_true: int
    if_false: int
    value: int


def _in_network_order(number: int) -> int:
    """Returns a number of the host's byte order as a load shows it: BPF takes all for network order."""
    return int.from_bytes(struct.pack("=H", number), "big")


PROGRAM = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        _Instruction(_LOAD_HALF, 0, 0, _TYPE),
        _Instruction(_JUMP_IF_EQUAL, 1, 0, _in_network_order(RTM_NEWROUTE)),
        _Instruction(_JUMP_IF_EQUAL, 0, 4, _in_network_order(RTM_DELROUTE)),
        _Instruction(_LOAD_BYTE, 0, 0, _PREFIX_LENGTH),
        _Instruction(_JUMP_IF_EQUAL, 0, 3, 0),
        _Instruction(_LOAD_BYTE, 0, 0, _TABLE),
        _Instruction(_JUMP_IF_EQUAL, 0, 1, RT_TABLE_MAIN),
        _Instruction(_RETURN, 0, 0, _WHOLE),
        _Instruction(_RETURN, 0, 0, _NOTHING),
    )
)
"""Delivers a message unless it is about a route that is not a default route of the main table."""


class FilterArgument:
    """The argument of SO_ATTACH_FILTER (struct sock_fprog); the program is in memory as long as this object is."""

    def __init__(self) -> None:
        self._program = ctypes.create_string_buffer(PROGRAM, len(PROGRAM))
        self.bytes = struct.pack("@HP", len(PROGRAM) // 8, ctypes.addressof(self._program))
