"""Tells systemd how the service is doing: sd_notify(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Notifier:
    """Sends states to the socket that NOTIFY_SOCKET names; without one it does nothing. Any thread."""

    def __init__(self, environment: Mapping[str, str], pid: int, log: FilteringBoundLogger) -> None:
        address = environment.get("NOTIFY_SOCKET", "") if sys.platform != "win32" else ""
        # "@" stands for the NUL with which an abstract address begins: unix(7).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._log = log
        self.watchdog_seconds = _watchdog_seconds(environment, pid) if address else None

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Started, or reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """On the way out."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if sys.platform == "win32" or not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.sendto(state.encode(), self._address)
        except OSError as error:
            self._log.warning("systemd cannot be told", state=state.partition("\n")[0], reason=str(error))


def _watchdog_seconds(environment: Mapping[str, str], pid: int) -> float | None:
    """How often at least systemd wants to hear that we are alive; `None` when it does not, or means another process."""
    microseconds, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (microseconds.isdecimal() and int(microseconds) and meant == str(pid)):
        return None
    return int(microseconds) / 1e6
