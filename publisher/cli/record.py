"""`publisher record`: writes the source's updates into a file for `--source recording:FILE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from .. import __version__
from ..config.settings import Settings
from ..errors import SourceError
from ..sources.recording import Header, write_recording
from ..terminal import echo
from .host import opened_source, until_interrupted
from .process import not_written


def record_updates(settings: Settings, path: Path) -> None:
    """Writes updates until Ctrl+C or the source's end; raises SourceError, also when the file exists already."""
    with opened_source(settings) as source, _new_file(path) as file:
        with until_interrupted():
            echo(f"recording to {path}; Ctrl+C ends it", err=True)
            header = Header(platform=sys.platform, recorder=__version__)
            for _ in write_recording(file, header, source.updates()):
                pass
        count = _updates_in(file)
    echo(f"{count} updates recorded: publisher run --source recording:{path}", err=True)


def _updates_in(file: IO[bytes]) -> int:
    """Returns the number of updates that a file has: one that was interrupted may be in it, or not."""
    file.seek(0)
    return max(0, sum(1 for _ in file) - 1)  # the first line is the header


def _new_file(path: Path) -> IO[bytes]:
    try:
        # It has this host's addresses: only its owner may read it, unless they choose otherwise.
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "w+b")
    except FileExistsError:
        raise SourceError(f"{path} exists already: name another file") from None
    except OSError as error:
        raise SourceError(not_written(path, error)) from None
