"""`publisher history`: what happened to the interfaces, from the journal: when, for how long, how often."""

from __future__ import annotations

import glob
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..config.settings import Settings
from ..durations import duration_text
from ..errors import JournalError
from ..terminal import printable, write
from ..text import change_text, text_of
from ..timeline import InterfaceSum, PastChange
from .journal import find_journal, hidden_journals, opened_journal
from .past import PastRequest, ShownPast
from .periods import moment
from .tables import BOLD, DIM, GREEN, RED, YELLOW, TableCell, aligned, painted, wants_colours, width

_SUMS = ("Interface", "Changes", "Flaps", "Down for")
_MOST_SUMS = 20
_WIDEST_NAME = 16
# Where less is left for a column of text, it goes below the others.
_NARROWEST = 24
_AT_ONCE = 256


def show_history(
    settings: Settings, request: PastRequest, *, as_json: bool, clock: Callable[[], datetime] = datetime.now
) -> None:
    """Prints what happened, as text or as JSON, oldest first. The journal is read as it is.

    Raises ConfigurationError for an interface that the journal does not know and for a moment that is none, and
    JournalError when there is no journal or none that can be read.
    """
    now = clock().astimezone()
    since = None if request.since is None else moment(request.since, now)
    path = find_journal(settings)
    if path not in hidden_journals(settings) and not path.exists():
        raise JournalError(
            f"there is no journal {path} yet: start the publisher (publisher run, or its service), "
            "and publisher history shows what happens from then on"
        )
    with opened_journal(settings) as journal:
        past = ShownPast(journal, request, since, now)
        with suppress(BrokenPipeError, ConnectionResetError):  # `publisher history | head`
            if as_json:
                _print_json(past)
            else:
                _print_text(past)


class _PastLine(NamedTuple):
    """A change as it is shown; every text is printable, and `code` is the terminal's for the colour."""

    time: str
    name: str
    lasted: str
    text: str
    code: str


def _print_text(past: ShownPast) -> None:
    lines = [_line(change) for change in past.changes()]
    lines.reverse()
    texts = [*_heading(past), *_columns(lines, _beginning(past))]
    sums = past.sums()
    rows = [[*map(TableCell, _SUMS), TableCell("Now" if past.running else "Last known")]]
    rows += [_cells(past, luid, each) for luid, each in sums[:_MOST_SUMS]]
    if sums:
        texts += ["", *aligned(rows, right={1, 2, 3}, colour=wants_colours())]
    if len(sums) > _MOST_SUMS:
        texts.append(f"and {len(sums) - _MOST_SUMS} more interfaces")
    write(sys.stdout, "".join(f"{text}\n" for text in texts))


def _heading(past: ShownPast) -> Iterator[str]:
    """Yields which journal this is, and how far back it goes."""
    journal = f"journal {printable(str(past.journal.path))} of {printable(past.journal.node)}"
    yield f"{journal}: every change since {_local(past.kept_since)}"
    if past.running is None:
        until = "" if past.newest is None else f": nothing is known after {_local(past.newest.time)}"
        yield f"no service runs on it{until}"
    yield ""


def _beginning(past: ShownPast) -> str:
    """Returns a line about the time before the first change that is shown; empty where there is nothing to say."""
    if past.more:
        return f"... older changes are left out: --limit {past.limit} is reached"
    if past.is_whole:
        return f"{_local(past.kept_since)}  the journal begins: epoch {past.journal.epoch}{_set_aside(past)}"
    if past.since is None or past.since < past.kept_since:
        return f"{_local(past.kept_since)}  older changes were deleted to make room (journal.max_bytes)"
    return ""


def _set_aside(past: ShownPast) -> str:
    """Returns the path of the damaged journal that was there before this one, if it is still there."""
    path = past.journal.path
    with suppress(OSError):
        found = sorted(path.parent.glob(f"{glob.escape(path.name)}.damaged-*Z*"))
        found = [aside for aside in found if not aside.name.endswith(("-wal", "-shm"))]
        if found:
            return f"; the one before was damaged and is set aside as {printable(str(found[-1]))}"
    return ""


def _line(change: PastChange) -> _PastLine:
    text = change_text(change.events)
    kinds = {*change.kinds}
    code = RED if kinds & {"removed", "link_down"} else GREEN if kinds & {"added", "link_up"} else YELLOW
    facts = f"{text.facts} ({text.remark})" if text.remark else text.facts
    return _PastLine(_local(change.time), text.name, _lasted(change), facts, code)


def _lasted(change: PastChange) -> str:
    if change.lasted is None:
        return ""
    return duration_text(change.lasted) + ("+" if change.lasts else "")


def _columns(lines: Sequence[_PastLine], beginning: str) -> Iterator[str]:
    """Yields the lines below a heading, in columns; on a terminal, the last one is broken to fit into its width."""
    colour = wants_colours()
    time = len(_local(datetime.now()))
    name = max([len("Interface"), *(len(line.name) for line in lines if len(line.name) <= _WIDEST_NAME)])
    lasted = max([len("Lasted"), *(len(line.lasted) for line in lines)])
    broken = _broken(time + name + lasted + 6)
    yield painted(f"{'Time':{time}}  {'Interface':{name}}  {'Lasted':>{lasted}}  Change", BOLD, colour=colour)
    if beginning:
        yield painted(beginning, DIM, colour=colour)
    if not lines:
        yield "nothing happened in this time"
    for line in lines:
        start = f"{painted(line.time, DIM, colour=colour)}  {painted(line.name.ljust(name), BOLD, colour=colour)}"
        first, *more = broken(line.text)
        yield f"{start}  {line.lasted:>{lasted}}  {painted(first, line.code, colour=colour)}".rstrip()
        yield from (painted(text, line.code, colour=colour) for text in more)


def _broken(indent: int) -> Callable[[str], list[str]]:
    """Returns a function that breaks a text into lines: the first goes behind `indent` columns, the rest below."""
    columns = width()
    if not columns:
        return lambda text: [text]
    if columns - indent < _NARROWEST:
        return lambda text: ["", *(f"    {part}" for part in textwrap.wrap(text, max(columns - 4, 1)))]

    def broken(text: str) -> list[str]:
        first, *more = textwrap.wrap(text, columns - indent)
        return [first, *(" " * indent + part for part in more)]

    return broken


def _cells(past: ShownPast, luid: str, each: InterfaceSum) -> list[TableCell]:
    name, *others = past.names(luid)
    before = f" (before: {', '.join(others)})" if others else ""
    state = past.state(luid)
    return [
        TableCell(printable(f"{name}{before}"), BOLD),
        TableCell(f"{each.changes:,}"),
        TableCell(f"{each.flaps:,}", YELLOW if each.flaps else ""),
        TableCell(duration_text(each.down) if each.down else "-"),
        TableCell(printable(past.state_text(luid)), {"up": GREEN, "down": RED}.get(state, "")),
    ]


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print_json(past: ShownPast) -> None:
    """Prints one JSON object, in which each change has a line of its own."""
    changes = [_dumped(_as_json(change)) for change in past.changes()]
    changes.reverse()
    ends = {"first": past.oldest, "last": past.newest}
    head = {
        "journal": str(past.journal.path),
        "node": past.journal.node,
        "running": past.running is not None,
        "epoch": past.journal.epoch,
        **{name: event and {"seq": event.seq, "time": _stamp(event.time)} for name, event in ends.items()},
        "from": _stamp(past.begin),
        "to": _stamp(past.end),
        "more": past.more,
    }
    sums = _dumped([_sum_as_json(past, luid, each) for luid, each in past.sums()])
    write(sys.stdout, f'{_dumped(head)[:-1]}, "changes": [\n')
    for start in range(0, len(changes), _AT_ONCE):
        together = ",\n".join(changes[start : start + _AT_ONCE])
        write(sys.stdout, together + (",\n" if start + _AT_ONCE < len(changes) else "\n"))
    write(sys.stdout, f'], "interfaces": {sums}}}\n')


def _dumped(document: object) -> str:
    return json.dumps(document).replace("\x7f", "\\u007f")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _as_json(change: PastChange) -> dict[str, object]:
    first = change.events[0]
    return {
        "time": _stamp(change.time),
        "luid": first.luid,
        "name": first.interface.alias if first.interface else None,
        "kinds": change.kinds,
        "cause": first.cause,
        "text": text_of(change.events),
        "lasted_seconds": None if change.lasted is None else _seconds(change.lasted),
        "lasts": change.lasts,
        "events": [json.loads(event.json_bytes) for event in change.events],
    }


def _sum_as_json(past: ShownPast, luid: str, each: InterfaceSum) -> dict[str, object]:
    name, *others = past.names(luid)
    return {
        "luid": luid,
        "name": name,
        "other_names": others,
        "state": past.state(luid),
        "changes": each.changes,
        "flaps": each.flaps,
        "seconds_down": _seconds(each.down),
    }


def _seconds(duration: timedelta) -> float:
    return round(duration.total_seconds(), 3)
