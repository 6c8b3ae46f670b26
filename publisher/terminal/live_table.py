"""A table of the IP interfaces of one or many nodes, kept up to date on the terminal. Drawn by rich."""

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
from ..printable import printable
from ..text import FAMILY_NAMES
from .text import address_text, columns_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

T = TypeVar("T")
# A person cannot read more than ten pictures a second; events that come meanwhile are in the next one.
_SECONDS_PER_PICTURE = 0.1
_MOST_PER_PICTURE = 5000
# The heading, its line, the table's frame and the note below.
_LINES_AROUND = 5


class _Shown(BaseModel):
    """Members that are shown; others, also those of a newer version, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class _Row(_Shown):
    connected: bool | None = None
    nl_mtu: int | None = None
    metric: int | None = None


class _ShownInterface(_Shown):
    alias: str
    oper_status: str


class _ShownAddress(_Shown):
    address: str
    prefix_length: int
    dad_state: str = "preferred"


class ShownState(_Shown):
    """One IP interface as it is, from a retained state's JSON or from an event."""

    seq: int
    time: AwareDatetime
    row: _Row
    interface: _ShownInterface
    addresses: tuple[_ShownAddress, ...] = ()

    @property
    def addresses_text(self) -> str:
        """The addresses for people, separated by spaces."""
        return " ".join(map(address_text, self.addresses))


class LiveTable:
    """The rows by node and key, with the nodes' status and a note. Only one thread may use it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Key], ShownState] = {}
        self._offline: set[str] = set()
        self.note = ""

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, node: str, key: Key) -> ShownState | None:
        """Returns the row as it is shown; `None` when it is not."""
        return self._rows.get((node, key))

    def put(self, node: str, key: Key, state: ShownState) -> None:
        """Shows this state of the row."""
        self._rows[node, key] = state

    def remove(self, node: str, key: Key) -> None:
        """Removes the row."""
        self._rows.pop((node, key), None)

    def keep_only(self, node: str, keys: Collection[Key]) -> None:
        """Removes the rows of this node that are not among these."""
        self._rows = {place: state for place, state in self._rows.items() if place[0] != node or place[1] in keys}

    def clear(self) -> None:
        """Removes every row, and forgets which nodes are offline."""
        self._rows.clear()
        self._offline.clear()

    def apply(self, event: Event) -> None:
        """Applies an event; the beginning of a snapshot removes every row of its node."""
        if event.key is None:
            self.keep_only(event.node, ())
        elif event.notification_type == "delete_instance":
            self.remove(event.node, event.key)
        else:
            self.put(event.node, event.key, ShownState.model_validate(event))

    def set_online(self, node: str, online: bool) -> None:
        """Sets whether the node's publisher is online; the rows of one that is not are dimmed."""
        (self._offline.discard if online else self._offline.add)(node)

    def draw(self, height: int) -> Table:
        """Returns a table of at most `height` lines; where the rows do not fit, the latest ones."""
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
        texts = columns_of(state.row, state.interface, state.addresses)
        offline = " (offline)" if node in self._offline else ""
        yield plain(f"{node}{offline}" if first else "")
        yield plain(texts.name)
        yield FAMILY_NAMES[key.family]
        yield plain(texts.connected, style="green" if state.row.connected else "red")
        yield plain(texts.status)
        yield texts.mtu
        yield plain(state.addresses_text)
        yield clock(state.time)


def plain(text: str, style: str = "") -> Any:
    """Returns the text of others for rich: it interprets neither markup nor control characters of it."""
    from rich.text import Text

    return Text(printable(text), style)


def clock(moment: datetime) -> str:
    """Returns the local time of day."""
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
    """Draws a table on request; made by `on_screen`."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._drawn_at = 0.0

    def show(self, table: LiveTable) -> None:
        """Draws the table, at most as high as the terminal is now; waits so that there are at most ten a second."""
        time.sleep(max(0.0, self._drawn_at + _SECONDS_PER_PICTURE - time.monotonic()))
        self._live.update(table.draw(self._console.height), refresh=True)
        self._drawn_at = time.monotonic()


@contextmanager
def on_screen(console: Console) -> Iterator[Screen]:
    """Opens a place in the terminal where one table is drawn again and again; the last picture stays."""
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield Screen(console, live)


def follow(events: Iterable[Event], console: Console) -> None:
    """Shows events in a table until they end; raises what the iterator raises.

    A thread of its own reads them, so that many at once make one picture.
    """
    queue: SimpleQueue[Event | _EndOfEvents] = SimpleQueue()
    Thread(target=_read, args=(events, queue), name="events", daemon=True).start()
    table, end = LiveTable(), None
    with on_screen(console) as screen:
        while end is None:
            for entry in arrived(queue):
                if isinstance(entry, _EndOfEvents):
                    end = entry
                else:
                    table.apply(entry)
            screen.show(table)
    if end.error is not None:
        raise end.error


class _EndOfEvents(NamedTuple):
    """The events ended, by this error or by themselves."""

    error: BaseException | None


def _read(events: Iterable[Event], queue: SimpleQueue[Event | _EndOfEvents]) -> None:
    try:
        for event in events:
            queue.put(event)
    except BaseException as error:  # noqa: BLE001 - the thread that draws raises it
        queue.put(_EndOfEvents(error))
    else:
        queue.put(_EndOfEvents(None))


def arrived(queue: SimpleQueue[T]) -> Iterator[T]:
    """Yields what is in the queue; waits at most a second for the first entry."""
    try:
        # Not for ever: on Windows a wait without a limit ignores Ctrl+C.
        yield queue.get(timeout=1.0)
        for _ in range(_MOST_PER_PICTURE):
            yield queue.get_nowait()
    except Empty:
        return
