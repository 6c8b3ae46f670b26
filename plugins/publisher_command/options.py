"""The options of a `command` sink."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from publisher import SinkOptions
from publisher.durations import Duration

from .dispatchers import Style

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CommandOptions(SinkOptions):
    """The program, and its surroundings.

    It has no `destination`: another program goes on where the one before ended, and is no new subscriber.
    """

    # A refused value of `environment` may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="the program and its arguments, as they are: there is no shell, and nothing in them is replaced; "
        "a name without a slash is looked up in PATH"
    )
    style: Style = Field(
        default="event",
        description="event: the program runs for each event, with no further arguments; networkd-dispatcher, "
        "networkmanager, ifplugd: it runs when that dispatcher would run a script, with the arguments it would give",
    )
    timeout: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=1))] = Field(
        default=timedelta(seconds=60),
        description='the time for one run, like "10s" or "5m", after which the program and all that it started is '
        "ended; none passes while the host is suspended",
    )
    directory: Path = Field(default=Path(os.sep), description="the working directory of the program")
    user: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="the user that the program runs as, by name; only root may name another"
    )
    umask: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] = Field(
        default="0022", description='the permissions that files of the program do not get, like "0077"'
    )
    environment: dict[str, SecretStr] = Field(
        default={},
        description="further variables of the program, which gets few of publisher's own; the values are masked in "
        "logs",
    )
    # Dispatchers run scripts for changes, and for what is there at the start only when told so.
    snapshot: bool = Field(
        default=False,
        description="`true`: the program also runs for each interface that is there at the first start, or again after "
        "a loss",
    )

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0]:
            raise ValueError("expected the path or the name of a program first")
        if any("\0" in argument for argument in command):
            raise ValueError("expected arguments without the character NUL")
        return command

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, environment: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in environment.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"expected a name of letters, digits and _, like DDNS_URL; this is {name!r}")
            if "\0" in value.get_secret_value():
                raise ValueError(f"expected a value without the character NUL for {name}")
        return environment

    @model_validator(mode="after")
    def _check_system(self) -> Self:
        if sys.platform == "win32":
            for name in ("user", "umask", "style"):
                if name in self.model_fields_set:
                    raise ValueError(f"{name} is not supported on Windows: remove it")
        return self

    @property
    def seconds(self) -> float:
        """The time for one run, in seconds."""
        return self.timeout.total_seconds()
