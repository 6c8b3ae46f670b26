"""Runs `publisher` with the stand-in, controlled over standard input: one JSON list a line, a method and its arguments.

Lines before `["go"]` are done before publisher starts, and `["die"]` ends the process as the Task Manager does. At a
regular end it prints the number of tables and registrations that are left in the stand-in.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from publisher.cli.app import main
from tests.windows.inside.standin import StandIn


def _do(standin: StandIn, line: str) -> str:
    name, *arguments = json.loads(line)
    options: dict[str, Any] = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    if name == "die":
        os.kill(os.getpid(), signal.SIGTERM)  # TerminateProcess: Windows has no signals between processes
    elif name != "go":
        getattr(standin, name)(*arguments, **options)
    return str(name)


def _drive() -> None:
    standin = StandIn()
    for line in sys.stdin:
        if _do(standin, line) == "go":
            break
    threading.Thread(target=lambda: [_do(standin, line) for line in sys.stdin], daemon=True).start()
    try:
        main()
    finally:
        left = standin.counters
        sys.stderr.write(f"left: {left.tables} tables, {left.registrations} registrations\n")


if __name__ == "__main__":
    _drive()
