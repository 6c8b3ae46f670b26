"""Rotated files: `events.jsonl.000001.gz`, `events.jsonl.000002.gz`, and so on, the newest last.

A file is renamed, compressed under a temporary name, that is renamed, and only then the plain file is removed. After a
crash at any step `tidy` completes the rest, and every line is in exactly one file.

gzip and shutil are imported where they are used: with what they bring they cost most of the time this plugin loads in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from publisher import Cursor

from .appender import Access
from .lines import lines_of, place_of


class Archive:
    """The rotated files of one path, at most `keep`. `sync` forces renames and compressed files to the disk."""

    def __init__(self, path: Path, keep: int, *, sync: bool) -> None:
        self._path = path
        self._keep = keep
        self._sync = sync
        self._pattern = re.compile(re.escape(path.name) + r"\.(\d{6,})(\.gz)?")

    def files(self) -> list[Path]:
        """Returns the rotated files, oldest first; of a pair that a crash left, the compressed one."""
        by_number: dict[int, Path] = {}
        for found in self._path.parent.iterdir():
            if match := self._pattern.fullmatch(found.name):
                number = int(match[1])
                if match[2] or number not in by_number:
                    by_number[number] = found
        return [by_number[number] for number in sorted(by_number)]

    def rotate(self) -> None:
        """Renames the file to the next number. It must be closed (Windows). Raises OSError; nothing is changed then."""
        numbers = [self._number(file) for file in self.files()]
        target = self._path.with_name(f"{self._path.name}.{max(numbers, default=0) + 1:06d}")
        self._path.rename(target)
        self._sync_directory()

    def tidy(self) -> None:
        """Compresses plain files, removes those over `keep` and those that a crash left twice. Raises OSError."""
        files = self.files()
        for file in files[: -self._keep]:
            _plain(file).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
        for file in files[-self._keep :]:
            if file == _plain(file):
                self._compress(file)
            _plain(file).unlink(missing_ok=True)
        self._sync_directory()

    def cursor(self) -> Cursor | None:
        """Returns the last event of these files; raises OSError when one is damaged."""
        for file in reversed(self.files()):
            # From the beginning, since compressed data cannot be read from its end; hardly ever needed.
            last = None
            for line in _lines(file):
                if (place := place_of(line)) and place.complete:
                    last = place.cursor
            if last:
                return last
        return None

    def _number(self, file: Path) -> int:
        match = self._pattern.fullmatch(file.name)
        assert match
        return int(match[1])

    def _compress(self, plain: Path) -> None:
        import gzip
        import shutil

        temporary = self._path.with_name(f"{self._path.name}.gz.tmp")
        try:
            with plain.open("rb") as source, _private(temporary) as target:
                Access.of(os.fstat(source.fileno())).give(target.fileno())
                with gzip.GzipFile(plain.name, "wb", fileobj=target) as packed:
                    shutil.copyfileobj(source, packed, 1 << 18)
                target.flush()
                if self._sync:
                    os.fsync(target.fileno())
            temporary.replace(plain.with_name(f"{plain.name}.gz"))
        except OSError:
            temporary.unlink(missing_ok=True)  # the disk may be full of it
            raise

    def _sync_directory(self) -> None:
        """Makes renames survive a power cut; Windows has no such call."""
        if not self._sync or os.name == "nt":
            return
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _plain(file: Path) -> Path:
    """Returns the path without `.gz`."""
    return file.with_suffix("") if file.suffix == ".gz" else file


def _private(path: Path) -> BinaryIO:
    """Opens a new file that nobody else may read until it has the access of the file that it replaces."""
    path.unlink(missing_ok=True)
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _lines(file: Path) -> Iterator[bytes]:
    import gzip
    import zlib

    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            yield from lines_of(stream)
    except (EOFError, zlib.error) as error:
        raise OSError(f"{file} is damaged: {error}") from error
