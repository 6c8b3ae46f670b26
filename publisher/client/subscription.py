"""`publisher.subscribe`: the rows and the changes of every node at a URL, for a program with threads or without."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ..delivery.backoff import Backoff
from ..errors import ConfigurationError
from ..events import AnyEvent
from ..sink import Cursor
from .driver import Driver
from .outbox import Entry, NodeStatus
from .transport import Question, SubscribeRequest

# On Windows a wait without a limit ignores Ctrl+C.
_LONGEST_WAIT_SECONDS = 1.0
# An Event of `threading` cannot be waited for together with anything else.
_STOP_WAIT_SECONDS = 0.05
_BACKOFF = Backoff(1.0, 30.0)


class StopEvent(Protocol):
    """Tells a loop to end: a `threading.Event`, or an asyncio or anyio one."""

    def is_set(self) -> bool:
        """Returns whether to end."""
        ...


class TakenEntries:
    """The entries that a reader took, and the nodes as of them. The reader's thread."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._statuses: dict[str, NodeStatus] = {}

    def add(self, entries: Collection[Entry]) -> None:
        """Adds what was taken."""
        self._entries.extend(entries)

    def next_event(self) -> AnyEvent | None:
        """Returns the next event; `None` when there is none."""
        while self._entries:
            entry = self._entries.popleft()
            self._note(entry)
            if not isinstance(entry, NodeStatus):
                return entry
        return None

    def all(self) -> list[Entry]:
        """Returns everything."""
        entries = list(self._entries)
        self._entries.clear()
        for entry in entries:
            self._note(entry)
        return entries

    def _note(self, entry: Entry) -> None:
        known = self._statuses.get(entry.node)
        if isinstance(entry, NodeStatus):
            # Its place is that of the events before it, which the reader has had.
            self._statuses[entry.node] = entry
        elif known is not None and (entry.snapshot is None or entry.snapshot.position == entry.snapshot.count):
            self._statuses[entry.node] = replace(known, epoch=entry.epoch, seq=entry.seq)

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """The status of each node."""
        return dict(self._statuses)


class Subscription:
    """The rows of every node as a snapshot, then every change: an iterator of events. Made by `subscribe`.

    One thread iterates or reads; `close` may be called by any, and ends both at once. It closes itself when nobody
    refers to it any more.
    """

    def __init__(self, driver: Driver, stop: StopEvent | None = None) -> None:
        self._driver = driver
        self._stop = stop
        self._received = TakenEntries()
        self._close = weakref.finalize(self, driver.close, wait=False)
        self._close.atexit = False

    @property
    def nodes(self) -> Mapping[str, NodeStatus]:
        """The status of each node as of the events that were returned; pass its places as `since` later."""
        return self._received.nodes

    @property
    def closed(self) -> bool:
        """True after `close`, and when `stop` is set."""
        return self._driver.outbox.closed or self._stops

    @property
    def _stops(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def read(self, timeout: float) -> list[AnyEvent | NodeStatus]:
        """Returns the events that were received and the nodes' states that changed, at most 1,000.

        Waits at most `timeout` seconds for the first; returns an empty list then, and after `close`. Raises what ended
        the subscription.
        """
        deadline = time.monotonic() + timeout
        while not self.closed:
            entries = self._received.all()
            if entries:
                return entries
            seconds = deadline - time.monotonic()
            self._received.add(self._driver.outbox.take(min(seconds, self._longest_wait)))
            if entries := self._received.all():
                return entries
            if seconds <= 0:
                break
        return []

    @property
    def _longest_wait(self) -> float:
        return _LONGEST_WAIT_SECONDS if self._stop is None else _STOP_WAIT_SECONDS

    def history(
        self, node: str, luid: str | None = None, *, last: int = 100, timeout: float = 10.0
    ) -> list[AnyEvent] | None:
        """Returns the newest events of a node, or of one of its interfaces, oldest first, as its journal has them.

        `None` where nobody answers: the node is offline, or refuses requests, or there is no broker that brings them
        to it. Any thread may call it, also while another one reads; it blocks, at most `timeout` seconds.
        """
        try:
            return self._driver.ask_past(Question(node, last=last, luid=luid)).result(timeout)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Ends the subscription, and a wait in another thread, at once; harmless when repeated."""
        self._close.detach()
        self._driver.close()

    def __iter__(self) -> Iterator[AnyEvent]:
        return self

    def __next__(self) -> AnyEvent:
        while not self.closed:
            if (event := self._received.next_event()) is not None:
                return event
            self._received.add(self._driver.outbox.take(self._longest_wait))
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()


def subscribe(
    url: str,
    *,
    nodes: Collection[str] = (),
    since: Mapping[str, Cursor] | None = None,
    stop: StopEvent | None = None,
    base: str = "interfaces",
    password_file: Path | str | None = None,
    token_file: Path | str | None = None,
    ca_file: Path | str | None = None,
    credentials_file: Path | str | None = None,
) -> Subscription:
    """Returns the rows and the changes of every node that publishes at this URL.

    `mqtt://`, `mqtts://`, `ws://` or `wss://` for a broker, `http://` or `https://` for a `web` sink, `nats://` or
    `tls://` for the servers of a fleet, several with a comma between them. Of each node come its rows as a snapshot,
    then every change, in order and once. What was missed is asked for, or the rows come again.
    `nodes` are those to follow, all if empty; with `since`, the place of the last event that was handled, a node's
    changes after it come instead of its rows, if they are still there. `stop` ends the iteration when it is set.

    Connects before it returns: raises ConfigurationError for what cannot be used and PublisherError for what cannot be
    reached. Later failures are logged, and the connection is made again.

        for event in publisher.subscribe("mqtt://broker.lan"):
            print(event.node, event.text())
    """
    files = (password_file, token_file, ca_file, credentials_file)
    return subscribed(make_request(url, nodes, since, base, *files), stop)


def make_request(
    url: str, nodes: Collection[str], since: Mapping[str, Cursor] | None, base: str, *files: Path | str | None
) -> SubscribeRequest:
    """Returns the arguments of `subscribe`, as its transport takes them; `files` in the order there.

    Raises ConfigurationError for one of the wrong kind.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url {url!r}: expected a text like 'mqtt://broker.lan'")
    return SubscribeRequest(
        url,
        (nodes,) if isinstance(nodes, str) else tuple(nodes),
        # A place without an epoch is from before the first event.
        {node: place for node, given in (since or {}).items() if (place := _place(node, given)).epoch},
        base,
        *(None if file is None else Path(file) for file in files),
    )


def _place(node: str, place: tuple[str, int]) -> Cursor:
    match place:
        case (str(epoch), int(seq)) if not isinstance(seq, bool):
            return Cursor(epoch, seq)
    raise ConfigurationError(f"since of {node!r}: expected a Cursor(epoch, seq), not {place!r}")


def subscribed(request: SubscribeRequest, stop: StopEvent | None = None) -> Subscription:
    """Returns a subscription that is connected, as `subscribe`."""
    driver = make_driver(request)
    try:
        driver.start()
    except BaseException:
        # Without waiting: a Ctrl+C may come while it connects.
        driver.close(wait=False)
        raise
    return Subscription(driver, stop)


def make_driver(request: SubscribeRequest) -> Driver:
    """Returns what runs a subscription; raises ConfigurationError for arguments that cannot be used."""
    from ..plugins import load_plugins

    return Driver(request, load_plugins(()).client(request.url)(request), _BACKOFF)
