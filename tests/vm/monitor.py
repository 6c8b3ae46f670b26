"""QEMU's monitor (QMP): devices are plugged in and pulled out while the guest runs."""

from __future__ import annotations

import json
import socket
from typing import Any

SECONDS = 60


class Monitor:
    """A connection to QEMU's monitor; `close` it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        self._connection = connection
        self._lines = connection.makefile("rwb")
        assert "QMP" in self._received()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> None:
        """Executes a command; returns when it was answered."""
        request = {"execute": command, "arguments": {name.replace("_", "-"): arguments[name] for name in arguments}}
        self._lines.write(json.dumps(request).encode() + b"\n")
        self._lines.flush()
        while "return" not in (answer := self._received()):
            assert "error" not in answer, f"{request}: {answer}"

    def unplug(self, device: str) -> None:
        """Pulls a device out; returns when the guest has let it go."""
        self.execute("device_del", id=device)
        while (event := self._received()).get("event") != "DEVICE_DELETED" or event["data"].get("device") != device:
            pass

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def _received(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("QEMU has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
