"""The commands of `publisher plugins`, and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..examples import examples

plugins = typer.Typer(
    name="plugins",
    help="""List the installed sinks and sources.

    The exit status is 1 when a plugin does not work; its name and the reason are printed.
    """,
    epilog=examples("plugins"),
    invoke_without_command=True,
)


@plugins.callback()
def _list_plugins(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from ..describe import list_plugins

        if not list_plugins():
            raise typer.Exit(1)


@plugins.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The sink's type in a configuration, as ntfy.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="A folder that does not exist yet. Default: publisher-NAME.")
    ] = None,
) -> None:
    """Write a project with a sink of your own, which works as it is."""
    from ..new_plugin import write_plugin

    write_plugin(name, folder)
