"""File sinks for tests, and what they wrote."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from publisher.testing import FakeSinkContext
from publisher_file.options import FileOptions
from publisher_file.sink import FileSink


def make_sink(path: Path | str, context: FakeSinkContext | None = None, **options: Any) -> FileSink:
    """A sink that is not open yet."""
    return FileSink(FileOptions(path=str(path), **options), context or FakeSinkContext())


@contextmanager
def opened(path: Path | str, context: FakeSinkContext | None = None, **options: Any) -> Iterator[FileSink]:
    """An open sink, closed at the end."""
    sink = make_sink(path, context, **options)
    try:
        sink.open()
        yield sink
    finally:
        sink.close()


def put_away(path: Path) -> list[Path]:
    """The files put away, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.[0-9]*"))


def written(path: Path) -> list[dict[str, Any]]:
    """Every event in the files put away and in the file itself, oldest first."""
    texts = [
        gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in put_away(path)
    ]
    texts += [path.read_bytes()] if path.exists() else []
    return [json.loads(line) for text in texts for line in text.splitlines()]


def seqs(path: Path) -> list[int]:
    """The seq of each event that is no part of a snapshot."""
    return [event["seq"] for event in written(path) if event["snapshot"] is None]


def fail() -> int:
    """Fail as a disk does."""
    raise OSError(errno.EIO, "broken")
