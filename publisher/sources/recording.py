"""A recording of updates: written by `publisher record`, read as the source `replay:FILE`.

JSON Lines. The first line is a header; each other one is an update and when it came, in seconds since the recording
began: `{"at": 0.0, "update": "resync", "cause": "startup", "rows": [{"row", "interface", "addresses"}, ...]}`,
`{"at": 1.5, "update": "upsert", "row": {...}}` or `{"at": 2.0, "update": "remove", "luid": "...", "family": "inet"}`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import SourceError
from ..events import Cause, Family, IpInterface, Key, Luid
from . import Remove, Resync, SourceContext, Update, Upsert


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Header(_Line):
    """The first line of a recording."""

    format: Literal["interface-publisher recording"] = "interface-publisher recording"
    version: Literal[1] = 1
    platform: str
    recorder: str


class _Resync(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["resync"] = "resync"
    cause: Cause
    rows: tuple[IpInterface, ...]


class _Upsert(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["upsert"] = "upsert"
    row: IpInterface


class _Remove(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["remove"] = "remove"
    luid: Luid
    family: Family


class TimedUpdate(NamedTuple):
    """An update, and when it came: seconds since the recording began."""

    at: float
    update: Update


def write_recording(
    file: IO[bytes], header: Header, updates: Iterable[Update], clock: Callable[[], float] = time.monotonic
) -> Iterator[Update]:
    """Write each update as it comes, and yield it once it is written."""
    began = clock()
    _write(file, header)
    for update in updates:
        _write(file, _line(clock() - began, update))
        yield update


def _write(file: IO[bytes], line: BaseModel) -> None:
    file.write(line.model_dump_json().encode() + b"\n")
    file.flush()


def _line(at: float, update: Update) -> _Line:
    match update:
        case Resync(rows, cause):
            return _Resync(at=at, cause=cause, rows=rows)
        case Upsert(row):
            return _Upsert(at=at, row=row)
        case Remove(luid, family):
            return _Remove(at=at, luid=luid, family=family)


def read_recording(path: Path) -> Iterator[TimedUpdate]:
    """The updates of a recording, read as they are asked for; raises SourceError naming the file and the line."""
    lines: TypeAdapter[Any] = TypeAdapter(Annotated[_Resync | _Upsert | _Remove, Field(discriminator="update")])
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                validate = Header.model_validate_json if number == 1 else lines.validate_json
                read = _read_line(path, number, line, validate)
                if number > 1:
                    yield _timed(path, number, read)
    except OSError as error:
        raise SourceError(f"{path}: the recording cannot be read: {error.strerror}") from error


def _read_line(path: Path, number: int, line: bytes, validate: Callable[[bytes], Any]) -> Any:
    if not line.endswith(b"\n"):
        raise SourceError(
            f"{path}:{number}: the recording is torn here: this line has no end; delete it to use the rest"
        )
    try:
        return validate(line)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, detail["loc"]))
        what = "no line of a recording" if number > 1 else "no header of a recording"
        raise SourceError(f"{path}:{number}: {what}: {where + ': ' if where else ''}{detail['msg']}") from error


def _timed(path: Path, number: int, line: _Resync | _Upsert | _Remove) -> TimedUpdate:
    if number == 2 and not isinstance(line, _Resync):
        raise SourceError(f"{path}:{number}: a recording begins with a resync, not with {line.update}")
    match line:
        case _Resync(at=at, rows=rows, cause=cause):
            return TimedUpdate(at, Resync(rows, cause))
        case _Upsert(at=at, row=row):
            return TimedUpdate(at, Upsert(row))
        case _Remove(at=at, luid=luid, family=family):
            return TimedUpdate(at, Remove(luid, family))


class RecordingSource:
    """Plays a recording: `replay:FILE` as quickly as it was recorded, `replay:FILE?speed=10` ten times as quickly,
    `replay:FILE?speed=0` at once. `updates()` ends with the recording.
    """

    def __init__(self, context: SourceContext) -> None:
        self._path, self._speed = _parse(context.argument)
        self._asked: SimpleQueue[Literal["reconcile", "close"]] = SimpleQueue()

    def updates(self) -> Iterator[Update]:
        """The recording's updates; raises SourceError for one that is torn or wrong."""
        rows: dict[Key, IpInterface] = {}
        began = time.monotonic()
        for at, update in self._read():
            due = began + at / self._speed if self._speed else began
            while asked := self._next_request(due):
                if asked == "close":
                    return
                yield Resync(tuple(rows.values()), "reconcile")
            _follow(rows, update)
            yield update

    def reconcile(self) -> None:
        """Ask for the rows as the recording has brought them so far."""
        self._asked.put("reconcile")

    def close(self) -> None:
        """End `updates()`."""
        self._asked.put("close")

    def _read(self) -> Iterator[TimedUpdate]:
        updates = read_recording(self._path)
        first = next(updates, None)
        if first is None:
            raise SourceError(f"{self._path}: the recording is empty")
        yield first
        yield from updates

    def _next_request(self, due: float) -> Literal["reconcile", "close"] | None:
        """What was asked for before the next update is due."""
        wait = due - time.monotonic()
        try:
            return self._asked.get(timeout=wait) if wait > 0 else self._asked.get_nowait()
        except Empty:
            return None


def _follow(rows: dict[Key, IpInterface], update: Update) -> None:
    match update:
        case Resync(read):
            rows.clear()
            rows.update((row.key, row) for row in read)
        case Upsert(row):
            rows[row.key] = row
        case Remove(luid, family):
            rows.pop(Key(luid, family), None)


def _parse(argument: str) -> tuple[Path, float]:
    """File and speed; raises SourceError."""
    if not argument:
        raise SourceError("replay needs a file: --source replay:FILE")
    file, mark, option = argument.rpartition("?")
    if not mark:
        return Path(argument).expanduser(), 1.0
    name, _, value = option.partition("=")
    try:
        speed = float(value)
    except ValueError:
        speed = -1.0
    if name != "speed" or not 0 <= speed < float("inf"):
        raise SourceError(f"replay: {option!r} is no option: there is speed=FACTOR, and 0 is at once")
    return Path(file).expanduser(), speed
