"""Recordings of updates: written by `publisher record`, played back by the source `recording:FILE`.

JSON Lines. The first line is a header; each other line is an update and its time, in seconds since the recording
began: `{"at": 0.0, "update": "resync", "cause": "startup", "rows": [{"row", "interface", "addresses"}, ...]}`,
`{"at": 1.5, "update": "upsert", "row": {...}}` or `{"at": 2.0, "update": "remove", "luid": "...", "family": "inet"}`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import SourceError
from ..events import Cause, Family, IpInterface, Key, Luid
from . import Remove, Resync, SourceContext, Update, Upsert

# Not longer: a signal that comes as a wait begins is seen when it ends.
_WAIT_SECONDS = 1.0


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Header(_Line):
    """The first line of a recording."""

    format: Literal["interface-publisher recording"] = "interface-publisher recording"
    version: Literal[1] = 1
    platform: str
    recorder: str


class _ResyncLine(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["resync"] = "resync"
    cause: Cause
    rows: tuple[IpInterface, ...]


class _UpsertLine(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["upsert"] = "upsert"
    row: IpInterface
    cause: Cause = "notification"


class _RemoveLine(_Line):
    at: Annotated[float, Field(ge=0)]
    update: Literal["remove"] = "remove"
    luid: Luid
    family: Family
    cause: Cause = "notification"


_UpdateLine = _ResyncLine | _UpsertLine | _RemoveLine


class TimedUpdate(NamedTuple):
    """An update and its time, in seconds since the recording began."""

    at: float
    update: Update


def write_recording(
    file: IO[bytes],
    header: Header,
    updates: Iterable[Sequence[Update]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sequence[Update]]:
    """Writes each list of updates as it comes, and yields it when it is in the file."""
    began = clock()
    _write(file, [header])
    for together in updates:
        at = clock() - began
        _write(file, [_line(at, update) for update in together])
        yield together


def _write(file: IO[bytes], lines: Iterable[BaseModel]) -> None:
    file.write(b"".join(line.model_dump_json().encode() + b"\n" for line in lines))
    file.flush()


def _line(at: float, update: Update) -> _Line:
    match update:
        case Resync(rows, cause):
            return _ResyncLine(at=at, cause=cause, rows=rows)
        case Upsert(row, cause):
            return _UpsertLine(at=at, row=row, cause=cause)
        case Remove(luid, family, cause):
            return _RemoveLine(at=at, luid=luid, family=family, cause=cause)


def read_recording(path: Path) -> Iterator[TimedUpdate]:
    """Yields the updates of a recording, read one by one; raises SourceError that names the file and the line."""
    lines: TypeAdapter[Any] = TypeAdapter(Annotated[_UpdateLine, Field(discriminator="update")])
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                validate = Header.model_validate_json if number == 1 else lines.validate_json
                read = _read_line(path, number, line, validate)
                if number > 1:
                    yield _timed(path, number, read)
    except OSError as error:
        raise SourceError(f"{path}: cannot read the recording: {error.strerror}") from error


def _read_line(path: Path, number: int, line: bytes, validate: Callable[[bytes], Any]) -> Any:
    if not line.endswith(b"\n"):
        raise SourceError(f"{path}:{number}: the recording is cut off in this line; delete the line to use the rest")
    try:
        return validate(line)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, detail["loc"]))
        what = "invalid line of a recording" if number > 1 else "invalid header of a recording"
        raise SourceError(f"{path}:{number}: {what}: {where + ': ' if where else ''}{detail['msg']}") from error


def _timed(path: Path, number: int, line: _UpdateLine) -> TimedUpdate:
    if number == 2 and not isinstance(line, _ResyncLine):
        raise SourceError(f"{path}:{number}: a recording begins with a resync, not with {line.update}")
    match line:
        case _ResyncLine(at=at, rows=rows, cause=cause):
            return TimedUpdate(at, Resync(rows, cause))
        case _UpsertLine(at=at, row=row, cause=cause):
            return TimedUpdate(at, Upsert(row, cause))
        case _RemoveLine(at=at, luid=luid, family=family, cause=cause):
            return TimedUpdate(at, Remove(luid, family, cause))


class RecordingSource:
    """Plays a recording: `recording:FILE` at the pace of the recording, `recording:FILE?speed=10` ten times as fast,
    `recording:FILE?speed=0` at once. `updates()` ends with the recording.
    """

    def __init__(self, context: SourceContext) -> None:
        self._path, self._speed = _parse(context.argument)
        self._idle_seconds = context.idle_seconds
        self._requests: SimpleQueue[Cause | Literal["wake", "close"]] = SimpleQueue()

    def updates(self) -> Iterator[Sequence[Update]]:
        """Yields each update of the recording as a list of its own, since the recording may be a pipe.

        Raises SourceError for one that is cut off or invalid.
        """
        rows: dict[Key, IpInterface] = {}
        began = time.monotonic()
        for at, update in self._read():
            due = began + at / self._speed if self._speed else began
            while (request := self._next_request(due)) is not None:
                if request == "close":
                    return
                yield [] if request == "wake" else [Resync(tuple(rows.values()), request)]
            _follow(rows, update)
            yield [update]

    def wake(self) -> None:
        """Makes `updates()` yield soon."""
        self._requests.put("wake")

    def resync(self, cause: Cause = "reconcile") -> None:
        """Requests the rows as the updates played so far leave them."""
        self._requests.put(cause)

    def close(self) -> None:
        """Ends `updates()`."""
        self._requests.put("close")

    def _read(self) -> Iterator[TimedUpdate]:
        updates = read_recording(self._path)
        first = next(updates, None)
        if first is None:
            raise SourceError(f"{self._path}: the recording is empty")
        yield first
        yield from updates

    def _next_request(self, due: float) -> Cause | Literal["wake", "close"] | None:
        """Returns what is requested before the next updates are due; idle time over counts as `wake`."""
        idle_at = math.inf if self._idle_seconds is None else time.monotonic() + self._idle_seconds
        while (now := time.monotonic()) < due:
            if now >= idle_at:
                return "wake"
            with suppress(Empty):
                return self._requests.get(timeout=min(due - now, idle_at - now, _WAIT_SECONDS))
        try:
            return self._requests.get_nowait()
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
    """Returns file and speed; raises SourceError."""
    if not argument:
        raise SourceError("the source 'recording' needs a file: --source recording:FILE")
    file, mark, option = argument.rpartition("?")
    if not mark:
        return _expanded(argument), 1.0
    name, _, value = option.partition("=")
    try:
        speed = float(value)
    except ValueError:
        speed = -1.0
    if name != "speed" or not 0 <= speed < float("inf"):
        raise SourceError(f"recording: invalid option {option!r}; the one option is speed=FACTOR, where 0 is at once")
    return _expanded(file), speed


def _expanded(file: str) -> Path:
    """Returns the file's path, with `~` replaced by the user's directory; raises SourceError."""
    path = Path(file)
    try:
        return path.expanduser()
    except RuntimeError:
        raise SourceError(
            f"recording: {file!r} begins with {path.parts[0]}, and no such user's directory is known: name it"
        ) from None
