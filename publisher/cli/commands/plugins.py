"""The commands for plugins, and their options."""

from __future__ import annotations

import typer


def plugins() -> None:
    """List the installed sinks and sources.

    The exit status is 1 when a plugin does not work; its name and the reason are printed.
    """
    from ..describe import list_plugins

    if not list_plugins():
        raise typer.Exit(1)
