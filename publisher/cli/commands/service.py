"""The commands of `publisher service` and their options. Each imports its own code, for a quick start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...config.locations import APPLICATION
from ..examples import examples

service = typer.Typer(
    name="service",
    help="""On Windows: install, control and remove the service.

    It runs the publisher in the background from the start of Windows on. Run these commands in a terminal of an
    administrator. On Linux, systemd runs the publisher.
    """,
    epilog=examples("service"),
    no_args_is_help=True,
)
Name = Annotated[str, typer.Option(metavar="NAME", help="The service's name, to have several.")]


@service.command("install")
def install_service(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help=r"The configuration; else %PROGRAMDATA%\interface-publisher\publisher.toml.",
        ),
    ] = None,
    name: Name = APPLICATION,
    force: Annotated[bool, typer.Option("--force", help="Also where other users can change the program.")] = False,
) -> None:
    """Install the service.

    It runs as LOCAL SERVICE, starts with Windows, and again a minute after a failure. Refuses a program that
    ordinary users can change: they would become the service.
    """
    from ..windows_service import install_service

    install_service(name, config, force=force)


@service.command("remove")
def remove_service(name: Name = APPLICATION) -> None:
    """Stop and remove the service. The journal, the log and the configuration stay."""
    from ..windows_service import remove_service

    remove_service(name)


@service.command("start")
def start_service(name: Name = APPLICATION) -> None:
    """Start the service, and wait until it runs."""
    from ..windows_service import start_service

    start_service(name)


@service.command("stop")
def stop_service(name: Name = APPLICATION) -> None:
    """Stop the service in order, and wait until it has stopped."""
    from ..windows_service import stop_service

    stop_service(name)


@service.command("reload")
def reload_service(name: Name = APPLICATION) -> None:
    """Make the service read its configuration again."""
    from ..windows_service import reload_service

    reload_service(name)


@service.command("status")
def service_status(name: Name = APPLICATION) -> None:
    """Show if the service runs, and its command line. The exit status is 1 when it does not run."""
    from ..windows_service import show_service

    if not show_service(name):
        raise typer.Exit(1)
