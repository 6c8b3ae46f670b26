"""The commands that show interfaces, and their options: history, watch, web, snapshot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ...errors import ConfigurationError
from .options import BaseOption, Config, FamilyOption, SourceOption, refuse_options, settings_of

# What else is given is the name of an interface.
_LIKE_A_URL = re.compile(r"[:/.]")


def history(
    interface: Annotated[
        str | None,
        typer.Argument(metavar="INTERFACE", help="A name, also an old one, a pattern like 'wl*', or a LUID."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help='30m, 12h, 7d, today, 14:00, 2026-11-20, "2026-11-20 14:00".')
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only changes of this kind, as link_down. Repeatable.")
    ] = None,
    family: FamilyOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="No more lines, the newest.", show_default="100; none with --since")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same, as a JSON object.")] = False,
    config: Config = None,
) -> None:
    """Show what happened to the interfaces, from the journal.

    One line is printed for each change, the newest last, with the time that it lasted (+: it still does); then, for
    each interface, how often its link went down, and for how long. Nothing is changed.
    """
    from ..history import show_history
    from ..past import PastRequest, known_kinds

    request = PastRequest(interface, since, known_kinds(kind or ()), family, limit)
    show_history(settings_of(config), request, as_json=json)


def watch(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="mqtt://BROKER, http://HOST:PORT of a web sink, or nats://SERVERS."),
    ] = None,
    config: Config = None,
    source: SourceOption = None,
    family: FamilyOption = None,
    lines: Annotated[bool, typer.Option("--lines", help="A line for each event, on a terminal too.")] = False,
    base: BaseOption = "interfaces",
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="With a broker or nats://.")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="With a web sink or nats://.")] = None,
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="With TLS: the authority to trust.")] = None,
    credentials_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With nats://: a user's credentials.")
    ] = None,
) -> None:
    """Show the IP interfaces, live.

    Shows this host, or every node at a URL: as a table on a terminal, as lines elsewhere. In the table ? explains the
    keys, and q quits.
    """
    from ... import SubscribeRequest
    from ..watch import watch_host, watch_url

    if url is not None:
        if not _LIKE_A_URL.search(url):
            raise ConfigurationError(
                f"{url!r} is no URL like mqtt://broker.lan: without one, publisher watch shows all interfaces of this "
                f"host, and finds one by /; of one alone there are publisher snapshot {url} and publisher history {url}"
            )
        refuse_options("with a URL", config=config, source=source)
        request = SubscribeRequest(
            url,
            base=base,
            password_file=password_file,
            token_file=token_file,
            ca_file=ca_file,
            credentials_file=credentials_file,
        )
        watch_url(request, family, lines=lines)
    else:
        refuse_options(
            "without a URL",
            password_file=password_file,
            token_file=token_file,
            ca_file=ca_file,
            credentials_file=credentials_file,
        )
        watch_host(settings_of(config, source), family, lines=lines, past=source is None)


def web(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A broker, nats://SERVERS, or a host's page: show its nodes.")
    ],
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the page listens. Default: 127.0.0.1:8780, or a free port."),
    ] = None,
    page_token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The token of this page, for an address that others reach.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name of the page in browsers. Repeatable.")
    ] = None,
    cert_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The page's certificate, for https.")] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    base: BaseOption = "interfaces",
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="With a broker or nats://.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With http(s):// or nats://: the token there.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The authority to trust at the URL.")] = None,
    credentials_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With nats://: a user's credentials there.")
    ] = None,
) -> None:
    """Serve the page of every node at a URL.

    The same page as that of a `web` sink, for a broker or another host's page. Ctrl+C ends it.
    """
    from ... import SubscribeRequest, WebRequest
    from ..web import serve_url

    page = WebRequest(address, page_token_file, tuple(host or ()), cert_file, key_file)
    request = SubscribeRequest(
        url,
        base=base,
        password_file=password_file,
        token_file=token_file,
        ca_file=ca_file,
        credentials_file=credentials_file,
    )
    serve_url(request, page)


def snapshot(
    interface: Annotated[
        str | None, typer.Argument(metavar="INTERFACE", help="A name, a pattern like 'wl*', or a LUID.")
    ] = None,
    config: Config = None,
    source: SourceOption = None,
    family: FamilyOption = None,
    json: Annotated[bool, typer.Option("--json", help="All members, as a JSON array.")] = False,
) -> None:
    """Show the IP interfaces as they are now."""
    from ..snapshot import show_snapshot

    show_snapshot(settings_of(config, source), family, interface, as_json=json)
