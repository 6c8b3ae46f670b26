"""Runs commands one after the other in one process, since each start of Python takes a second under Wine.

A line of standard input is a JSON list of arguments for `publisher`, or a text of Python code; the answer is a line of
JSON with the exit status and the output.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from publisher.cli.app import main


def _run(call: list[str] | str) -> tuple[int, str]:
    output, status = io.StringIO(), 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            if isinstance(call, str):
                exec(call, {})
            else:
                sys.argv = ["publisher", *call]
                main()
        except SystemExit as done:
            status = int(done.code or 0)
        except OSError as error:
            output.write(repr(error))
    return status, output.getvalue()


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()
