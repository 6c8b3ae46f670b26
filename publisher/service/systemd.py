"""Reports the state of the service to systemd: sd_notify(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping

from ..terminal import printable

log = logging.getLogger("publisher")
_STATUS_SECONDS = 1.0
# A receiver that takes nothing (its queue is full) holds up neither the main loop nor the end.
_SEND_SECONDS = 0.1


class Notifier:
    """Sends states to the socket that NOTIFY_SOCKET names; without one it does nothing.

    The service's main loop calls `turned`; any thread may call the rest. `summary` returns the status in one line.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        pid: int,
        summary: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address = environment.get("NOTIFY_SOCKET", "") if sys.platform != "win32" else ""
        # "@" stands for the NUL with which an abstract address begins: unix(7).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._summary = summary
        self._clock = clock
        self._is_ready = False
        self._watchdog_seconds = watchdog_seconds(environment, pid)
        self._alive_at = self._status_at = float("-inf")
        self._status: str | None = None
        self._failed: set[str] = set()
        self._reload_error: str | None = None

    def turned(self) -> None:
        """Reports that the main loop goes round, as often as systemd needs it: ready at first, alive, the status."""
        if not self._address:
            return
        now = self._clock()
        if not self._is_ready and now >= self._status_at + _STATUS_SECONDS:
            self._is_ready = self._send("READY=1")
        if self._watchdog_seconds and now >= self._alive_at + self._watchdog_seconds / 2:
            self._alive_at = now
            self._send("WATCHDOG=1")
        if now >= self._status_at + _STATUS_SECONDS:
            self._status_at = now
            self._send_status()

    def reloading(self) -> None:
        """Reports that the configuration is being read again; `reloaded` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, error: str | None) -> None:
        """Reports that the reload is over; an error is part of the status until a reload succeeds."""
        self._reload_error = error
        self._send("READY=1")

    def stopping(self) -> None:
        """Reports that the service is about to end."""
        self._send("STOPPING=1")

    def _send_status(self) -> None:
        status = self._summary()
        if self._reload_error:
            status = f"{status}; the configuration was not reloaded: {self._reload_error}"
        status = printable(status.replace("\n", " "))  # systemctl shows it
        if status != self._status and self._send(f"STATUS={status}"):
            self._status = status

    def _send(self, state: str) -> bool:
        """Returns whether the message was sent; a failure is logged once for each variable."""
        if sys.platform == "win32" or not self._address:
            return True
        variable = state.partition("=")[0]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_SEND_SECONDS)
                channel.sendto(state.encode(errors="replace"), self._address)
        except OSError as error:
            text = "%s cannot be sent to systemd (NOTIFY_SOCKET): %s"
            log.log(logging.DEBUG if variable in self._failed else logging.WARNING, text, variable, error)
            self._failed.add(variable)
            return False
        self._failed.discard(variable)
        return True


def watchdog_seconds(environment: Mapping[str, str], pid: int) -> float | None:
    """Returns the longest time between two WATCHDOG=1; `None` without a watchdog, or when it is of another process."""
    microseconds, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (microseconds.isdecimal() and int(microseconds) and meant == str(pid)):
        return None
    return int(microseconds) / 1e6
