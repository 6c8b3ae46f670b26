"""Recordings for played nodes, by a seed: interfaces that are added, change and are removed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from publisher.events import IpInterface, Key
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.sources.recording import Header, write_recording
from publisher.testing import make_row

_AN_HOUR = 3600.0


def write_changes(path: Path, chance: Random, *, rows: int, seconds: float, every: float) -> None:
    """Writes a recording of so many rows and so many seconds, with a change each `every` seconds on average."""
    first = Resync(tuple(_some_rows(chance, rows)), "startup")
    moments, changes = [0.0], list[Update]([first])
    there = {row.key: row for row in first.rows}
    while (at := moments[-1] + chance.expovariate(1 / every)) < seconds:
        moments.append(at)
        changes.append(_change(chance, there, rows))
    _write(path, changes, moments)


def write_rest(path: Path, chance: Random, *, rows: int) -> tuple[IpInterface, ...]:
    """Writes a recording in which nothing happens for an hour; returns its rows."""
    at_rest = Resync(tuple(_some_rows(chance, rows)), "startup")
    _write(path, [at_rest, at_rest], [0.0, _AN_HOUR])
    return at_rest.rows


def _write(path: Path, updates: Sequence[Update], moments: Sequence[float]) -> None:
    header = Header(platform=sys.platform, recorder="0")
    # The clock is asked for the beginning, too.
    clock = iter([0.0, *moments])
    with path.open("wb") as file:
        for _ in write_recording(file, header, ([update] for update in updates), lambda: next(clock)):
            pass


def _some_rows(chance: Random, rows: int) -> Iterator[IpInterface]:
    return (_row(chance, number) for number in range(rows))


def _row(chance: Random, number: int) -> IpInterface:
    index = 2 + number // 2
    up = chance.random() < 0.8
    return make_row(
        f"eth{index}",
        "inet6" if number % 2 else "inet",
        index=index,
        addresses=[f"192.0.2.{chance.randrange(1, 255)}/24"] if number % 2 == 0 and up else [],
        connected=up,
        nl_mtu=chance.randrange(1280, 9000),
        interface={"oper_status": "up" if up else "down"},
    )


def _change(chance: Random, there: dict[Key, IpInterface], rows: int) -> Update:
    row = _row(chance, chance.randrange(rows))
    if row.key in there and chance.random() < 0.15:
        del there[row.key]
        return Remove(*row.key)
    there[row.key] = row
    return Upsert(row)
