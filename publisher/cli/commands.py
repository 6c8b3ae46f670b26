"""The commands of `publisher` and their options. Each command imports its own module, for a quick start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..events import Family
from ..terminal import echo
from .examples import FOUND_CONFIGS, examples
from .service_commands import service

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

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help=f"The configuration; else the first of {FOUND_CONFIGS}."),
]
SourceOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[:ARGUMENT]", help="Where IP interfaces are read: auto, linux, windows, recording:FILE."),
]
FamilyOption = Annotated[Family | None, typer.Option(help="Only this address family.", show_default="both")]
SinkArgument = Annotated[str, typer.Argument(metavar="SINK", help="The sink's name in the configuration.")]


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        echo(f"publisher {__version__}")
        raise typer.Exit


@app.callback()
def _publisher(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Publishes every change of every IP interface to a page, MQTT, NATS, phones, webhooks, programs and files."""


@app.command(epilog=examples("run"))
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
    from ..service.run import run_service

    level = "debug" if verbose else log_level
    overrides = {"source": source, "log": {"level": level} if level else None}
    run_service(config, {key: value for key, value in overrides.items() if value is not None})


@app.command(epilog=examples("status"))
def status(
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="The same facts as a JSON object.")] = False,
) -> None:
    """Show the state of the running service.

    One line is printed for each sink. The exit status is 1 when something is in trouble or no service runs.
    """
    from .status import show_status

    if not show_status(_settings(config), as_json=json):
        raise typer.Exit(1)


@app.command(epilog=examples("history"))
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
    from .history import show_history
    from .past import PastRequest, known_kinds

    request = PastRequest(interface, since, known_kinds(kind or ()), family, limit)
    show_history(_settings(config), request, as_json=json)


@app.command(epilog=examples("watch"))
def watch(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="mqtt://BROKER, http://HOST:PORT of a web sink, or nats://SERVERS."),
    ] = None,
    config: Config = None,
    source: SourceOption = None,
    family: FamilyOption = None,
    lines: Annotated[bool, typer.Option("--lines", help="A line for each event, on a terminal too.")] = False,
    base: Annotated[str, typer.Option(help="A broker's first topic level, or a fleet's bucket.")] = "interfaces",
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
    from .. import SubscribeRequest
    from .watch import watch_host, watch_url

    if url is not None:
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
        watch_host(_settings(config, source), family, lines=lines, past=source is None)


@app.command(epilog=examples("web"))
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
    base: Annotated[str, typer.Option(help="A broker's first topic level, or a fleet's bucket.")] = "interfaces",
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
    from .. import SubscribeRequest, WebRequest
    from .web import serve_url

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


@app.command(epilog=examples("snapshot"))
def snapshot(
    config: Config = None,
    source: SourceOption = None,
    family: FamilyOption = None,
    json: Annotated[bool, typer.Option("--json", help="All members, as a JSON array.")] = False,
) -> None:
    """Show the IP interfaces as they are now."""
    from .snapshot import show_snapshot

    show_snapshot(_settings(config, source), family, as_json=json)


@app.command(epilog=examples("check"))
def check(
    config: Config = None,
    offline: Annotated[bool, typer.Option("--offline", help="Check the configuration only; reach nothing.")] = False,
) -> None:
    """Check the configuration and each sink.

    The file that is used is named, and one line is printed for each sink; the exit status is 1 when one does not work,
    2 when the configuration is wrong. Nothing is changed.
    """
    from .check import check_sinks

    if not check_sinks(_settings(config), offline=offline):
        raise typer.Exit(1)


@app.command(epilog=examples("replay"))
def replay(
    sink: SinkArgument,
    since: Annotated[
        int | None, typer.Option(min=0, metavar="SEQ", help="Send the events after this one, instead of the snapshot.")
    ] = None,
    config: Config = None,
) -> None:
    """Send a sink the snapshot or events again.

    The running service does it; without one, the next start does.
    """
    from .deliveries import ask_for_replay

    ask_for_replay(_settings(config), sink, since)


@app.command(epilog=examples("dead-letters"))
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
    from .deliveries import drop_dead_letters, list_dead_letters, retry_dead_letters, show_dead_letter

    if retry and drop:
        raise typer.BadParameter("--retry and --drop exclude each other")
    settings = _settings(config)
    if retry:
        retry_dead_letters(settings, sink, number or ())
    elif drop:
        drop_dead_letters(settings, sink, number or ())
    elif show is not None:
        show_dead_letter(settings, show)
    else:
        list_dead_letters(settings, sink)


@app.command(epilog=examples("forget"))
def forget(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[SINK|URL]", help="A sink's name, or a destination. Default: all that is left."),
    ] = None,
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

    The service does it by itself when the configuration no longer has the sink; this does it now, or for good before
    an uninstallation, or, with a URL such as mqtt://broker or nats://server, for what no journal remembers. The exit
    status is 1 when something could not be emptied.
    """
    from .forget import Forget, forget_left, forget_url

    settings = _settings(config)
    wanted = Forget(what, node, base, prefix, password_file, ca_file, token_file, credentials_file)
    done = forget_url(settings, wanted) if "://" in (what or "") else forget_left(settings, wanted, drop=drop)
    if not done:
        raise typer.Exit(1)


@app.command(epilog=examples("plugins"))
def plugins() -> None:
    """List the installed sinks and sources.

    The exit status is 1 when a plugin does not work; its name and the reason are printed.
    """
    from .describe import list_plugins

    if not list_plugins():
        raise typer.Exit(1)


@app.command(epilog=examples("schema"))
def schema(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[event|config|asyncapi|...]",
            help="event, config: a JSON Schema. asyncapi: the MQTT topics as an AsyncAPI document. Plugins add others.",
        ),
    ] = "event",
) -> None:
    """Print a schema as JSON."""
    from .describe import print_schema

    print_schema(what)


@app.command(epilog=examples("record"))
def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    config: Config = None,
    source: SourceOption = None,
) -> None:
    """Record all changes into a file.

    Ctrl+C ends it, and --source recording:FILE plays it.

    The file holds this host's interface names and its hardware and IP addresses.
    """
    from .record import record_updates

    record_updates(_settings(config, source), file)


app.add_typer(service)


@app.command(epilog=examples("init"))
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path("publisher.toml"),
) -> None:
    """Write a commented configuration.

    A file that exists is not changed.
    """
    from .init import write_configuration

    write_configuration(file)


def _settings(config: Path | None, source: str | None = None) -> Any:
    """Loads the configuration of this process."""
    from ..config.locations import Locations
    from ..config.settings import load_settings

    return load_settings(config, Locations.of_this_process(), {"source": source} if source else None)
