"""`publisher status`: the state of the running service and of each of its sinks."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from ..config.settings import Settings
from ..durations import duration_text, rounded_text
from ..errors import JournalError
from ..journal.requests import JournalClient
from ..service.logs import Secrets
from ..service.status import ServiceReport, SinkReport, status_json
from ..terminal import echo, echo_json, printable, write
from .journal import find_journal, hidden_journals, opened_journal, tell_hidden
from .tables import BOLD, GREEN, RED, YELLOW, TableCell, aligned, painted, wants_colours, width

_START = "publisher service start" if sys.platform == "win32" else "systemctl start interface-publisher"
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
        echo(
            f"publisher: no service runs: no process holds the journal {looked}; start one: publisher run, or {_START}",
            err=True,
        )
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


_COLOURS = {"following": GREEN, "sending": GREEN, "opening": YELLOW, "waiting": YELLOW}
# The columns that a narrow terminal has no place for, the first to be left out first.
_LEFT_OUT = ("Last delivery", "Delivered")
# Columns of what is rare are shown when there is something in them.
_RARE = ("Dead letters", "Next attempt", "Last error")
_NUMBERS = ("Behind", "Delivered", "Dead letters")


def _print(path: Path, report: ServiceReport, now: float) -> None:
    node, since = printable(report.node), datetime.fromtimestamp(report.started).astimezone()
    echo(f"publisher {report.version} on {node}: runs for {_length(now - report.started)} (process {report.pid}, since "
         f"{since:%Y-%m-%d %H:%M:%S}), {_counted(report.seq, 'event')}")  # fmt: skip
    health = painted(_safe(report.trouble), RED, colour=wants_colours()) if report.trouble else "fine"
    write(sys.stdout, f"journal {printable(str(path))}: {health}\n")
    if report.log_file is not None:
        echo(f"log {printable(report.log_file)}")
    _print_sinks(report, now)
    for place in report.left:
        why = f": {_safe(place.error)}" if place.error else ""
        when = "" if place.next_attempt is None else f" (next attempt {_until(place.next_attempt - now)})"
        echo(f"{place.sink} left {place.place}, still to be emptied{why}{when}")
    if any(sink.dead_letters for sink in report.sinks.values()):
        echo("publisher dead-letters lists the events that a destination refused, and sends them again or drops them")


def _print_sinks(report: ServiceReport, now: float) -> None:
    """Prints a line for each sink, and where the terminal has no place for its error, that below."""
    if not report.sinks:
        echo("no sinks: the configuration names none ([sinks.NAME])")
        return
    sinks = [_cells(name, sink, now) for name, sink in report.sinks.items()]
    widths = {name: max(len(name), *(len(cells[name].text) for cells in sinks)) for name in sinks[0]}
    shown = [name for name in widths if name not in _RARE or any(cells[name].text != "-" for cells in sinks)]
    columns, colour = width(), wants_colours()
    below = columns is not None and "Last error" in shown and _total(widths, shown) > columns
    for name in ("Last error", "Next attempt") if below else ():
        shown.remove(name)
    for name in _LEFT_OUT:
        if columns is not None and _total(widths, shown) > columns:
            shown.remove(name)
    rows = [[TableCell(name) for name in shown], *([cells[name] for name in shown] for cells in sinks)]
    heading, *lines = aligned(rows, right={shown.index(name) for name in _NUMBERS if name in shown}, colour=colour)
    texts = [heading]
    for cells, line in zip(sinks, lines, strict=True):
        texts += [line, *(_trouble(cells, columns or 80, colour=colour) if below else ())]
    write(sys.stdout, "".join(f"{text}\n" for text in texts))


def _total(widths: Mapping[str, int], shown: Sequence[str]) -> int:
    """Returns the width of these columns."""
    return sum(widths[name] for name in shown) + 2 * (len(shown) - 1)


def _trouble(cells: Mapping[str, TableCell], columns: int, *, colour: bool) -> list[str]:
    """Returns the lines about a sink's error, if it has one, broken to fit into so many columns."""
    error, next_attempt = cells["Last error"].text, cells["Next attempt"].text
    if error == "-":
        return []
    text = error if next_attempt == "-" else f"next attempt {next_attempt}: {error}"
    return [f"    {painted(part, RED, colour=colour)}" for part in textwrap.wrap(text, max(columns - 4, 1))]


def _cells(name: str, sink: SinkReport, now: float) -> dict[str, TableCell]:
    dropped = f" (+{sink.dead_letters_dropped:,} dropped)" if sink.dead_letters_dropped else ""
    letters = f"{sink.dead_letters:,}{dropped}" if sink.dead_letters or dropped else "-"
    state = "all delivered" if sink.state == "following" and not sink.behind else printable(sink.state)
    return {
        "Sink": TableCell(printable(name), BOLD),
        "State": TableCell(state, RED if sink.in_trouble else _COLOURS.get(sink.state, "")),
        "Behind": TableCell(f"{sink.behind:,}", YELLOW if sink.behind else ""),
        "Delivered": TableCell(f"{sink.delivered:,}"),
        "Last delivery": TableCell("-" if sink.last_delivery is None else _ago(now - sink.last_delivery)),
        "Dead letters": TableCell(letters, YELLOW if sink.dead_letters else ""),
        "Next attempt": TableCell("-" if sink.next_attempt is None else _until(sink.next_attempt - now)),
        "Last error": TableCell("-") if sink.error is None else TableCell(_safe(sink.error), RED),
    }


def _length(seconds: float) -> str:
    return duration_text(timedelta(seconds=max(seconds, 1)))


def _ago(seconds: float) -> str:
    """Returns a moment of the past in words: "3 min ago"; one that is to come, by a clock that was set back, is now."""
    return "just now" if seconds < 1 else f"{rounded_text(timedelta(seconds=seconds))} ago"


def _until(seconds: float) -> str:
    """Returns the time until a moment, in words: "in 12 s"."""
    return "now" if seconds <= 0 else f"in {rounded_text(timedelta(seconds=max(seconds, 1)))}"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _safe(text: str) -> str:
    """Returns the text in one line, without passwords in URLs and without control characters."""
    return printable(Secrets().mask(text).replace("\n", " "))
