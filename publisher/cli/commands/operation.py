"""The commands for the service, and their options: run, status, check."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from .options import Config, SourceOption, settings_of


def run(
    config: Config = None,
    source: SourceOption = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="The lowest level that is logged."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="The same as --log-level debug.")] = False,
) -> None:
    """Run the service: publish until stopped.

    SIGTERM and Ctrl+C end it; deliveries that have begun are finished within 5 seconds. SIGHUP reads the
    configuration again.
    """
    from ...service.run import run_service

    level = "debug" if verbose else log_level
    overrides = {"source": source, "log": {"level": level} if level else None}
    run_service(config, {key: value for key, value in overrides.items() if value is not None})


def status(
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="The same facts as a JSON object.")] = False,
) -> None:
    """Show the state of the running service.

    One line is printed for each sink. The exit status is 1 when something is in trouble or no service runs.
    """
    from ..status import show_status

    if not show_status(settings_of(config), as_json=json):
        raise typer.Exit(1)


def check(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Check the configuration only; reach nothing.")] = False,
) -> None:
    """Check the configuration and each sink.

    The file that is used is named, and one line is printed for each sink; the exit status is 1 when one does not work,
    2 when the configuration is wrong. Nothing is changed.
    """
    from ..check import check_sinks

    if not check_sinks(settings_of(config), offline=offline):
        raise typer.Exit(1)
