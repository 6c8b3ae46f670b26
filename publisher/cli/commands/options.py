"""Options and arguments that several commands have, and the configuration that one of them names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from ...errors import ConfigurationError
from ...events import Family
from ..examples import FOUND_CONFIGS

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help=f"The configuration; else the first of {FOUND_CONFIGS}."),
]
SourceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[:ARGUMENT]", help="Where IP interfaces are read: auto, linux, windows, recording:FILE."),
]


def _family(text: str) -> Family:
    words = get_args(Family)
    if text in words:
        return cast("Family", text)
    from ...config.errors import nearest

    # The words of typer for a wrong value begin with "Value error".
    raise typer.BadParameter(f"{text!r} is neither {' nor '.join(map(repr, words))}{nearest(text, words)}")


FamilyOption = Annotated[
    Family | None,
    typer.Option(parser=_family, metavar="<inet|inet6>", help="Only this address family.", show_default="both"),
]
BaseOption = Annotated[str, typer.Option(help="A broker's first topic level, or a fleet's bucket.")]


def refuse_options(when: str, **options: object) -> None:
    """Raises ConfigurationError for the first of these options that was given: it would have no effect."""
    for name, value in options.items():
        if value is not None:
            raise ConfigurationError(f"--{name.replace('_', '-')} has no effect {when}: leave one of the two out")


def settings_of(config: Path | None, source: str | None = None) -> Any:
    """Loads the configuration of this process."""
    from ...config.locations import Locations
    from ...config.settings import load_settings

    return load_settings(config, Locations.of_this_process(), {"source": source} if source else None)
