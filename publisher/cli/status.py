"""`publisher status`: the state of the running service and of each of its sinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from ..config.settings import Settings
from ..errors import JournalError
from ..journal.requests import JournalClient
from ..service.logs import Secrets
from ..service.status import ServiceReport, SinkReport, status_json
from ..terminal import echo, echo_json, printable
from .journal import find_journal, hidden_journals, opened_journal, tell_hidden
from .tables import print_table

_STUCK = "it takes nothing, and changes are lost until it does; the rest is as it was before (the log has the reason)"


def show_status(settings: Settings, *, as_json: bool, clock: Callable[[], float] = time.time) -> bool:
    """Prints the status, as text or as JSON; returns whether a service runs and nothing is in trouble.

    Raises JournalError when the journal cannot be read, or holds a status that cannot be understood.
    """
    path, report = _read(settings)
    if as_json:
        echo_json(status_json(path, report))
    elif report is None:
        hidden = hidden_journals(settings)
        looked = " or ".join(str(path) for path in settings.journals if path not in hidden)
        echo(f"publisher: no service runs: no process holds the journal {looked}", err=True)
    else:
        _print(path, report, clock())
    return report is not None and not report.in_trouble


def _read(settings: Settings) -> tuple[Path, ServiceReport | None]:
    """Returns the journal, and the status of the service that holds it, if one does."""
    path = find_journal(settings)
    if path not in hidden_journals(settings) and not path.exists():
        tell_hidden(settings)
        return path, None
    with opened_journal(settings) as journal:
        running = journal.running
        if running is None:
            return path, None
        report = read_report(journal)
    if report is None or str(report.pid) != running:
        raise JournalError(f"the service (process {running}) has just started and has reported no status yet")
    return path, report


def read_report(journal: JournalClient) -> ServiceReport | None:
    """Returns the status of the running service, if it has reported one; raises JournalError."""
    status = journal.status()
    if status and journal.stuck:
        status["trouble"] = status.get("trouble") or _STUCK
    try:
        return None if status is None else ServiceReport.model_validate(status)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"])) or "status"
        raise journal.not_understood(printable(f"{where}: {first['msg']}")) from None


_COLUMNS = ("Sink", "State", "Behind", "Dead letters", "Next attempt", "Last error")


def _print(path: Path, report: ServiceReport, now: float) -> None:
    since = datetime.fromtimestamp(report.started).astimezone().isoformat(sep=" ", timespec="seconds")
    node = printable(report.node)
    echo(f"publisher {report.version} on {node}: process {report.pid} since {since}, {report.seq} events")
    echo(f"journal {path}: {_safe(report.trouble) if report.trouble else 'fine'}")
    if report.log_file is not None:
        echo(f"log {printable(report.log_file)}")
    print_table(_COLUMNS, [_cells(name, sink, now) for name, sink in report.sinks.items()], right={2, 3}, wrapped={5})
    for place in report.left:
        why = f": {_safe(place.error)}" if place.error else ""
        when = "" if place.next_attempt is None else f" (next attempt {_until(place.next_attempt - now)})"
        echo(f"{place.sink} left {place.place}, still to be emptied{why}{when}")


def _cells(name: str, sink: SinkReport, now: float) -> tuple[str, ...]:
    return (
        name,
        printable(sink.state),
        str(sink.behind),
        str(sink.dead_letters) + (f" (+{sink.dead_letters_dropped} dropped)" if sink.dead_letters_dropped else ""),
        "-" if sink.next_attempt is None else _until(sink.next_attempt - now),
        "-" if sink.error is None else _safe(sink.error),
    )


def _until(seconds: float) -> str:
    """Returns the time until a moment, in words: "in 12 s"."""
    if seconds <= 0:
        return "now"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"in {seconds / length:.0f} {unit}"
    return f"in {seconds:.0f} s"


def _safe(text: str) -> str:
    """Returns the text in one line, without passwords in URLs and without control characters."""
    return printable(Secrets().mask(text).replace("\n", " "))
