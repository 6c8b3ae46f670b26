"""Runs in the guest: a command of the host a line, one after the other, and an answer a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO


def main(path: Path) -> None:
    """Answers until the host asks for the end."""
    # Opened once: a second time it is busy.
    with path.open("r+b", buffering=0) as port, open(port.fileno(), "wb", closefd=False) as answers:
        _send(answers, b"ready")
        waiting = b""
        while True:
            line, newline, rest = waiting.partition(b"\n")
            if not newline:
                waiting += port.read(65536)
                continue
            waiting = rest
            request = json.loads(line)
            if request is None:
                return
            _send(answers, json.dumps(answer(**request)).encode())


def _send(answers: BinaryIO, line: bytes) -> None:
    # Buffered: the kernel takes 32 KiB at a time.
    answers.write(line + b"\n")
    answers.flush()


def answer(command: str, stdin: str) -> dict[str, object]:
    """Returns the command's status, and its output and errors in one text."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return {"status": done.returncode, "output": done.stdout.decode(errors="backslashreplace")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
