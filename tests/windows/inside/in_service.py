"""Prepares the stand-in in the process of a service, and writes down at its end what is left in it.

Imported by a .pth file of Windows Python, as a service has no standard streams over which it could be controlled.
"""

from __future__ import annotations

import atexit
import json
import sys
from pathlib import Path

from tests.windows.inside.standin import StandIn


def _prepare(folder: Path) -> None:
    standin = StandIn()
    standin.add("Ethernet 2")
    standin.add_address("Ethernet 2", "192.0.2.10/24")

    def tell() -> None:
        left = standin.counters
        facts = {"tables": left.tables, "registrations": left.registrations, "streams": str(sys.__stderr__)}
        (folder / "left.json").write_text(json.dumps(facts), encoding="utf-8")

    atexit.register(tell)


# The last arguments are the configuration and the state folder.
_prepare(Path(sys.orig_argv[-2]).parent)
