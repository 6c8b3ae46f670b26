"""IP interfaces of one or many nodes in a table for the terminal, kept up to date. The drawing is rich's."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from ..events import Event, Key

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

FAMILY_NAMES = {"inet": "IPv4", "inet6": "IPv6"}
T = TypeVar("T")
# Ten pictures a second are as many as anybody can read; what comes meanwhile is in the next one.
_SECONDS_PER_PICTURE = 0.1
_MOST_PER_PICTURE = 5000
# Heading, its line, the table's frame and the note below.
_LINES_AROUND = 5


class _Shown(BaseModel):
    """Members that are shown; what else there is, also from a newer version, is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class _Row(_Shown):
    connected: bool | None = None
    nl_mtu: int | None = None
    metric: int | None = None


class _Interface(_Shown):
    alias: str
    oper_status: str


class _Address(_Shown):
    address: str
    prefix_length: int


class State(_Shown):
    """One IP interface as it is, out of a retained state's JSON or of an event."""

    seq: int
    time: AwareDatetime
    row: _Row
    interface: _Interface
    addresses: tuple[_Address, ...] = ()

    @property
    def addresses_text(self) -> str:
        """The addresses with their prefix lengths, separated by spaces."""
        return " ".join(f"{entry.address}/{entry.prefix_length}" for entry in self.addresses)


class LiveTable:
    """The rows by node and key, with the node's status and a note. One thread."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Key], State] = {}
        self._offline: set[str] = set()
        self.note = ""

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, node: str, key: Key) -> State | None:
        """The row as it is shown."""
        return self._rows.get((node, key))

    def put(self, node: str, key: Key, state: State) -> None:
        """Show this row like this."""
        self._rows[node, key] = state

    def remove(self, node: str, key: Key) -> None:
        """Show this row no more."""
        self._rows.pop((node, key), None)

    def keep_only(self, node: str, keys: Collection[Key]) -> None:
        """Show no other rows of this node than these."""
        self._rows = {place: state for place, state in self._rows.items() if place[0] != node or place[1] in keys}

    def clear(self) -> None:
        """Show nothing."""
        self._rows.clear()
        self._offline.clear()

    def apply(self, event: Event) -> None:
        """What an event of this host says; a snapshot's beginning takes every row away."""
        if event.key is None:
            self.keep_only(event.node, ())
        elif event.notification_type == "delete_instance":
            self.remove(event.node, event.key)
        else:
            self.put(event.node, event.key, State.model_validate(event))

    def set_online(self, node: str, online: bool) -> None:
        """Whether the node's publisher is there; the rows of one that is not are dimmed."""
        (self._offline.discard if online else self._offline.add)(node)

    def draw(self, height: int) -> Table:
        """At most so many lines; where the rows do not fit, those that changed last."""
        places = self._places(max(1, height - _LINES_AROUND))
        hidden = len(self._rows) - len(places)
        table = _empty_table(" · ".join(filter(None, [self.note, f"{hidden} more rows" if hidden else ""])))
        before = ""
        for place in places:
            node, key = place
            table.add_row(*self._cells(node, key, node != before), style="dim" if node in self._offline else "")
            before = node
        return table

    def _places(self, most: int) -> list[tuple[str, Key]]:
        latest = sorted(self._rows, key=lambda place: self._rows[place].time, reverse=True)[:most]
        return sorted(latest, key=lambda place: (place[0], self._rows[place].interface.alias, place[1]))

    def _cells(self, node: str, key: Key, first: bool) -> Iterator[Any]:
        state = self._rows[node, key]
        offline = " (offline)" if node in self._offline else ""
        yield plain(f"{node}{offline}" if first else "")
        yield plain(state.interface.alias)
        yield FAMILY_NAMES[key.family]
        yield {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[state.row.connected]
        yield plain(state.interface.oper_status)
        yield "" if state.row.nl_mtu is None else str(state.row.nl_mtu)
        yield plain(state.addresses_text)
        yield clock(state.time)


def plain(text: str) -> Any:
    """Text of others as a cell: neither markup nor control characters of it count."""
    from rich.text import Text

    return Text("".join(character if character.isprintable() else "�" for character in text))


def clock(moment: datetime) -> str:
    """The time of day here."""
    return moment.astimezone().strftime("%H:%M:%S")


def _empty_table(caption: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption=plain(caption) if caption else None, caption_justify="left", expand=True)
    for heading in ("Node", "Interface", "Family", "Connected", "Status"):
        table.add_column(heading, no_wrap=True)
    table.add_column("MTU", justify="right", no_wrap=True)
    table.add_column("Addresses", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("Changed", no_wrap=True)
    return table


class Screen:
    """Draws a table whenever it is told to; made by `on_screen`."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._drawn_at = 0.0

    def show(self, table: LiveTable) -> None:
        """Draw it, as high as the terminal is at this moment; waits so that there are ten pictures a second at most."""
        time.sleep(max(0.0, self._drawn_at + _SECONDS_PER_PICTURE - time.monotonic()))
        self._live.update(table.draw(self._console.height), refresh=True)
        self._drawn_at = time.monotonic()


@contextmanager
def on_screen(console: Console) -> Iterator[Screen]:
    """A place in the terminal where one table is drawn over and over; its last state stays there."""
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield Screen(console, live)


def follow(events: Iterable[Event], console: Console) -> None:
    """Show this host's events in a table until they end; what the iterator raises is raised here.

    They are read in a thread of their own, so that many at once make one picture.
    """
    came: SimpleQueue[Event | _End] = SimpleQueue()
    Thread(target=_read, args=(events, came), name="events", daemon=True).start()
    table, end = LiveTable(), None
    with on_screen(console) as screen:
        while end is None:
            for entry in arrived(came):
                if isinstance(entry, _End):
                    end = entry
                else:
                    table.apply(entry)
            screen.show(table)
    if end.error is not None:
        raise end.error


class _End(NamedTuple):
    """The events ended, by this error or by themselves."""

    error: BaseException | None


def _read(events: Iterable[Event], came: SimpleQueue[Event | _End]) -> None:
    try:
        for event in events:
            came.put(event)
    except BaseException as error:  # noqa: BLE001 - carried over: the thread that draws raises it
        came.put(_End(error))
    else:
        came.put(_End(None))


def arrived(queue: SimpleQueue[T]) -> Iterator[T]:
    """What is in the queue, after at most a second's patience for something to come."""
    try:
        # One second, not for ever: an untimed wait on Windows swallows Ctrl+C.
        yield queue.get(timeout=1.0)
        for _ in range(_MOST_PER_PICTURE):
            yield queue.get_nowait()
    except Empty:
        return
