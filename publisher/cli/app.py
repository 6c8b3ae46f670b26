"""The command `publisher` as a process: what it is asked for, and the exit status."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ..terminal import echo
from .process import end, fail, open_standard_streams

# On Windows typer expands arguments with these: no shell does it there.
_EXPANDED = frozenset("~$%*?[" if sys.platform == "win32" else "")


def main() -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 wrong usage or configuration."""
    open_standard_streams()
    sys.excepthook = _show_traceback
    threading.excepthook = lambda failed: _show_traceback(failed.exc_type, failed.exc_value, failed.exc_traceback)
    try:
        _run(sys.argv[1:])
    except SystemExit as done:
        end(done.code if isinstance(done.code, int) else 0)
    except KeyboardInterrupt:
        end(1)
    except Exception as error:  # noqa: BLE001 - the edge of the process: a mistake of ours is raised again
        fail(error)
    end(0)


def _run(arguments: Sequence[str]) -> None:
    match arguments:
        # As services are started. Without typer, which would take 1.7 MB for as long as they run, and 20 ms.
        case ["run"]:
            _serve(None)
        case ["run", "--config" | "-c", file] if not (file.startswith("-") or _EXPANDED.intersection(file)):
            _serve(Path(file))
        case ["service", "process", name, config, state_dir]:
            from ..windows_service.process import run_as_service

            run_as_service(name, Path(config), Path(state_dir))
        case _:
            from .commands import app

            app(prog_name="publisher")


def _serve(config: Path | None) -> None:
    from ..service.run import run_service

    run_service(config, {})


def _show_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Prints a traceback as Python does, but for control characters in the text of the exception."""
    if error is not None:
        echo("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"), err=True)
