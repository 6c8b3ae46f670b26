"""The identity of the present boot of the operating system."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform == "win32":

    def boot_id() -> str:
        """Returns a text that differs after every boot; empty when the system has none.

        Windows has no boot id: the minute in which it started, by its clock now. A clock that is set makes
        it differ too, which costs a snapshot and nothing else.
        """
        import ctypes
        import time

        tick_count = ctypes.WinDLL("kernel32").GetTickCount64
        tick_count.restype = ctypes.c_uint64
        return f"minute {int(time.time() - tick_count() / 1000) // 60}"

else:

    def boot_id() -> str:
        """Returns a text that differs after every boot (random(4), /proc interfaces); empty when there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return ""
