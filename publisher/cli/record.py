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
    count = 0
    with opened_source(settings) as source, _new_file(path) as file:
        echo(f"recording to {path}; Ctrl+C ends it", err=True)
        with until_interrupted():
            header = Header(platform=sys.platform, recorder=__version__)
            for updates in write_recording(file, header, source.updates()):
                count += len(updates)
    echo(f"{count} updates recorded: publisher run --source recording:{path}", err=True)


def _new_file(path: Path) -> IO[bytes]:
    try:
        # It has this host's addresses: only its owner may read it, unless they choose otherwise.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb")
    except FileExistsError:
        raise SourceError(f"{path} exists already: name another file") from None
    except OSError as error:
        raise SourceError(not_written(path, error)) from None
