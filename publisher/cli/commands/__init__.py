"""The commands of `publisher`, in the order of its help. Each imports its own module, for a quick start."""

from __future__ import annotations

from typing import Annotated

import typer

from ...terminal import echo
from ..examples import examples
from .deliveries import dead_letters, forget, replay
from .documents import init, record, schema
from .operation import check, run, status
from .plugins import plugins
from .service import service
from .views import history, snapshot, watch, web

# rich_markup_mode=None: help is plain text; rich would cost each start 30 ms. No pretty exceptions: they show local
# variables, and with them passwords.
app = typer.Typer(
    name="publisher",
    help="Publishes every change of every IP interface to a page, MQTT, NATS, phones, webhooks, programs and files.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from ... import __version__

        echo(f"publisher {__version__}")
        raise typer.Exit


@app.callback()
def _publisher(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Publishes every change of every IP interface to a page, MQTT, NATS, phones, webhooks, programs and files."""


for _command in (run, status, history, watch, web, snapshot, check, replay, dead_letters, forget, schema, record, init):
    _name = _command.__name__.replace("_", "-")
    app.command(_name, epilog=examples(_name))(_command)
app.add_typer(plugins)
app.add_typer(service)
