"""The options of a `file` sink."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator

from publisher import SinkOptions
from publisher.durations import Duration

from .appender import Access

STANDARD_OUTPUT = "-"


class FileOptions(SinkOptions):
    """The file, and when it is rotated."""

    path: str = Field(min_length=1, description='the file, or "-" for standard output')
    max_size: Annotated[ByteSize, Field(ge=1024)] | None = Field(
        default=None,
        description='the file is rotated before it grows beyond this, like "10 MiB", or a number of bytes; never by '
        "default",
    )
    max_age: Annotated[Duration, Field(gt=timedelta(0))] | None = Field(
        default=None,
        description='the file is rotated when its first event is this old, like "12h" or "7d"; never by default',
    )
    keep: int = Field(default=5, ge=1, le=100_000, description="the number of rotated files to keep, compressed")
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = Field(
        default="0640",
        description='the permissions of a file that the sink makes, like "0600" or "0644"; the default is limited by '
        "the umask, and a file that is there keeps its own, also when it is rotated",
    )
    fsync: Literal["batch", "always", "off"] = Field(
        default="batch", description="when data are forced to the disk: after each batch, after each event, or never"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.path == STANDARD_OUTPUT and (self.max_size or self.max_age):
            raise ValueError("standard output cannot be rotated: remove max_size and max_age, or name a file")
        if "\0" in self.path:
            raise ValueError("path: expected a path without the character NUL")
        try:
            self.target  # noqa: B018 - reading it raises where a directory is not known
        except (RuntimeError, OSError) as error:
            raise ValueError(f"path: write the whole path, beginning with a slash: {error}") from None
        return self

    @property
    def target(self) -> Path:
        """The absolute path of the file."""
        return Path(self.path).expanduser().absolute()

    @property
    def access(self) -> Access:
        """The access to a file that the sink makes."""
        return Access(int(self.mode, 8), exact="mode" in self.model_fields_set)

    @property
    def exclusive(self) -> str:
        """The file itself, by whatever path or link; nothing for standard output, pipes and devices."""
        if self.path == STANDARD_OUTPUT:
            return ""
        with suppress(OSError):
            status = self.target.stat()
            return f"file {status.st_dev}:{status.st_ino}" if stat.S_ISREG(status.st_mode) else ""
        return f"file {os.path.normcase(os.path.realpath(self.target))}"

    @property
    def destination(self) -> str:
        return STANDARD_OUTPUT if self.path == STANDARD_OUTPUT else str(self.target)
