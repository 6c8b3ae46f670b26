"""What the configuration file may say about a file sink."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ByteSize, Field, model_validator

from publisher import SinkOptions

STANDARD_OUTPUT = "-"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> object:
    """A text like "12h" or "7d" as a timedelta; anything else is left to pydantic."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+)\s*([smhdw])\s*", value)):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


class FileOptions(SinkOptions):
    """Where events are appended, and when the file is put away."""

    path: str = Field(min_length=1, description='the file, or "-" for standard output')
    max_size: Annotated[ByteSize, Field(ge=1024)] | None = Field(
        default=None, description='the file is put away before it grows beyond this, like "10 MiB"; never by default'
    )
    max_age: Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))] | None = Field(
        default=None, description='the file is put away when its first event is this old, like "12h" or "7d"'
    )
    keep: int = Field(default=5, ge=1, le=100_000, description="how many files that were put away are kept, compressed")
    fsync: Literal["batch", "always", "off"] = Field(
        default="batch", description="when to force data to the disk: after each batch, after each event, or never"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.path == STANDARD_OUTPUT and (self.max_size or self.max_age):
            raise ValueError("standard output cannot be put away: leave max_size and max_age out, or name a file")
        return self

    @property
    def target(self) -> Path:
        """The file, absolute."""
        return Path(self.path).expanduser().absolute()

    @property
    def destination(self) -> str:
        return STANDARD_OUTPUT if self.path == STANDARD_OUTPUT else str(self.target)
