"""The options of a `file` sink."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator

from publisher import SinkOptions
from publisher.durations import Duration

STANDARD_OUTPUT = "-"


class FileOptions(SinkOptions):
    """The file, and when it is rotated."""

    path: str = Field(min_length=1, description='the file, or "-" for standard output')
    max_size: Annotated[ByteSize, Field(ge=1024)] | None = Field(
        default=None, description='the file is rotated before it grows beyond this, like "10 MiB"; never by default'
    )
    max_age: Annotated[Duration, Field(gt=timedelta(0))] | None = Field(
        default=None,
        description='the file is rotated when its first event is this old, like "12h" or "7d"; never by default',
    )
    keep: int = Field(default=5, ge=1, le=100_000, description="the number of rotated files to keep, compressed")
    fsync: Literal["batch", "always", "off"] = Field(
        default="batch", description="when data are forced to the disk: after each batch, after each event, or never"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.path == STANDARD_OUTPUT and (self.max_size or self.max_age):
            raise ValueError("standard output cannot be rotated: remove max_size and max_age, or name a file")
        return self

    @property
    def target(self) -> Path:
        """The absolute path of the file."""
        return Path(self.path).expanduser().absolute()

    @property
    def destination(self) -> str:
        return STANDARD_OUTPUT if self.path == STANDARD_OUTPUT else str(self.target)
