"""The commands for what sinks send, and their options: replay, dead-letters, forget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Config, settings_of


def replay(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="The sink's name in the configuration.")],
    since: Annotated[
        int | None, typer.Option(min=0, metavar="SEQ", help="Send the events after this one, instead of the snapshot.")
    ] = None,
    config: Config = None,
) -> None:
    """Send a sink the snapshot or events again.

    The running service does it; without one, the next start does.
    """
    from ..deliveries import ask_for_replay

    ask_for_replay(settings_of(config), sink, since)


def dead_letters(
    sink: Annotated[str | None, typer.Argument(metavar="SINK", help="Only this sink's.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Send them again.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Delete them: all of SINK, or those of --id.")] = False,
    number: Annotated[
        list[int] | None, typer.Option("--id", metavar="ID", help="With --retry and --drop: only this one. Repeatable.")
    ] = None,
    show: Annotated[int | None, typer.Option(metavar="ID", help="Show this one's event.")] = None,
    config: Config = None,
) -> None:
    """List, resend or drop dead letters.

    A dead letter is an event that its destination refused for good.
    """
    from ..deliveries import drop_dead_letters, list_dead_letters, retry_dead_letters, show_dead_letter

    if retry and drop:
        raise typer.BadParameter("--retry and --drop exclude each other")
    settings = settings_of(config)
    if retry:
        retry_dead_letters(settings, sink, number or ())
    elif drop:
        drop_dead_letters(settings, sink, number or ())
    elif show is not None:
        show_dead_letter(settings, show)
    else:
        list_dead_letters(settings, sink)


def forget(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[SINK|URL]", help="A sink's name, or a destination. Default: list the names."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the journal knows of, of every sink.")] = False,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this node left.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave it there: delete only the journal's record.")] = False,
    base: Annotated[
        str | None, typer.Option(help="With a broker: the first level of the topics; with NATS: the bucket.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="With a broker: Home Assistant's discovery prefix.")] = None,
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The destination's password.")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="With NATS: the destination's token.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With mqtts:// and tls://: the authority to trust.")
    ] = None,
    credentials_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With NATS: the credentials of a user, as nsc writes them.")
    ] = None,
    config: Config = None,
) -> None:
    """Empty what a sink left at its destination.

    Without a name it lists what there is, and changes nothing. The service empties by itself what the configuration no
    longer has; this does it now, or, with --all and no service, for good before an uninstallation, or, with a URL such
    as mqtt://broker or nats://server, for what no journal remembers. The exit status is then 1 when there is
    nothing, or something could not be emptied.
    """
    from ..forget import Forget, forget_left, list_places
    from ..forget_url import forget_url

    settings = settings_of(config)
    wanted = Forget(what, node, base, prefix, password_file, ca_file, token_file, credentials_file)
    if what is not None and everything:
        raise typer.BadParameter("--all takes no name")
    if what is None and wanted.login:
        raise typer.BadParameter("a login is for one sink: name it")
    if what is None and drop and not everything:
        raise typer.BadParameter("--drop needs a name, or --all")
    if what is None and not everything:
        list_places(settings, node)
        return
    done = forget_url(settings, wanted) if "://" in (what or "") else forget_left(settings, wanted, drop=drop)
    if not done:
        raise typer.Exit(1)
