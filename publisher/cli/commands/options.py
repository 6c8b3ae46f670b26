"""Options and arguments that several commands have, and the configuration that one of them names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
FamilyOption = Annotated[Family | None, typer.Option(help="Only this address family.", show_default="both")]
BaseOption = Annotated[str, typer.Option(help="A broker's first topic level, or a fleet's bucket.")]


def settings_of(config: Path | None, source: str | None = None) -> Any:
    """Loads the configuration of this process."""
    from ...config.locations import Locations
    from ...config.settings import load_settings

    return load_settings(config, Locations.of_this_process(), {"source": source} if source else None)
