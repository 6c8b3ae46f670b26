"""The loop of a live table: waits for keys, for events and for time to pass, and draws.

The main thread owns the model and the terminal. A thread reads the events, and another one the journal; what they read
comes through one queue, and `Console.wake` ends the wait.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import NamedTuple, Protocol

from ...client import NodeStatus
from ...errors import PublisherError
from ...events import Event
from .console import Console
from .interfaces import InterfaceKey, ToldChange
from .layout import picture_of
from .model import Model, PageRequest
from .picture import Glyphs, Picture, Size, drawn

# A person cannot read more than ten pictures a second; events that come meanwhile are in the next one. Nor do pictures
# take more than a third of the time where they are large, or the terminal is slow.
_SECONDS_PER_PICTURE = 0.1
_REST_PER_PICTURE = 2.0
# What is read and not yet in the table. Beyond it the reader waits, and the buffer of the kernel or of the connection
# is the queue.
_MOST_WAITING = 1000
_MOST_AT_ONCE = 200
# The journal is read again so long after the last time, while the interface whose history is shown changes.
_SECONDS_PER_READ = 0.5
_JOIN_SECONDS = 1.0
_LOG = logging.getLogger("publisher")


Arrived = Sequence[Event | NodeStatus]


class Feed(Protocol):
    """Events to be shown, as they come. Another thread reads them."""

    def read(self) -> Iterator[Arrived]:
        """Yields what came; blocks while nothing happens. What it raises ends the table, and is raised there."""
        ...

    def close(self) -> None:
        """Ends `read`, from any thread."""
        ...


class PastChanges(Protocol):
    """The changes of the time before, as a journal has them. Another thread reads them; raises PublisherError."""

    def flaps(self, since: float) -> Mapping[InterfaceKey, Sequence[tuple[float, int]]]:
        """Returns when links went down since this time, and how often, in order."""
        ...

    def page(self, request: PageRequest) -> tuple[Sequence[ToldChange], bool]:
        """Returns a page of the changes of one interface, newest first, and whether there are more."""
        ...


class _FeedEnded(NamedTuple):
    """Nothing more comes, by this error or by itself."""

    error: BaseException | None


class _PageAnswer(NamedTuple):
    """The answer to a request; with `error` there is none."""

    request: PageRequest
    changes: Sequence[ToldChange] = ()
    more: bool = False
    error: str = ""


class _PastFlaps(NamedTuple):
    """The flaps of the hour before."""

    flaps: Mapping[InterfaceKey, Sequence[tuple[float, int]]]


_Arrival = Arrived | _FeedEnded | _PageAnswer | _PastFlaps | str


class LiveLoop:
    """One live table, from its first picture to its end. The main thread, but for `warn`."""

    def __init__(
        self, model: Model, console: Console, glyphs: Glyphs, *, colour: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._model = model
        self._console = console
        self._glyphs = glyphs
        self._colour = colour
        self._clock = clock
        self._news: queue.Queue[_Arrival] = queue.Queue(_MOST_WAITING)
        self._requests: queue.SimpleQueue[PageRequest | None] = queue.SimpleQueue()
        self._picture: Picture = ()
        self._size = Size(0, 0)
        self._dirty = True
        self._next_picture = self._next_read = 0.0
        self._fresh_until = 0.0
        self._is_reading = False

    def warn(self, text: str) -> None:
        """Shows a line of the log until a key is pressed. Any thread."""
        with suppress(queue.Full):
            self._news.put_nowait(text)
            self._console.wake()

    def run(self, feed: Feed, past: PastChanges | None = None) -> None:
        """Shows the feed until `q`; raises what the feed raises, and KeyboardInterrupt."""
        threads = [Thread(target=self._read, args=(feed,), name="events", daemon=True)]
        if past is not None:
            threads.append(Thread(target=self._read_past, args=(past,), name="history", daemon=True))
        for thread in threads:
            thread.start()
        try:
            while not self._model.ended:
                self._step()
        finally:
            self._requests.put(None)
            feed.close()
            self._forget_news()
        for thread in threads:
            thread.join(_JOIN_SECONDS)

    def _step(self) -> None:
        for key in self._console.wait(self._rest()):
            self._model.press(key)
            if key == "ctrl-l":
                self._console.stale = True
            self._dirty, self._next_picture = True, 0.0
        self._take_news()
        self._ask_past()
        now = time.monotonic()
        if self._console.stale or now >= self._fresh_until or (self._dirty and now >= self._next_picture):
            self._draw()

    def _rest(self) -> float:
        """Returns the seconds until something is to be done without a key and without news."""
        due = self._fresh_until
        if self._dirty:
            due = min(due, self._next_picture)
        if self._model.wanted_history is not None and not self._is_reading:
            due = min(due, self._next_read)
        return due - time.monotonic() if self._news.empty() else 0.0

    def _draw(self) -> None:
        began = time.monotonic()
        size = self._console.size()
        whole = self._console.stale or size != self._size
        self._console.stale = self._dirty = False
        picture, seconds = picture_of(self._model, size, self._glyphs)
        if text := drawn(self._picture, picture, colour=self._colour, whole=whole):
            self._console.write(text)
        self._picture, self._size = picture, size
        ended = time.monotonic()
        self._next_picture = ended + max(_SECONDS_PER_PICTURE, _REST_PER_PICTURE * (ended - began))
        self._fresh_until = ended + seconds

    def _take_news(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                news = self._news.get_nowait()
            except queue.Empty:
                return
            self._dirty = bool(news) or self._dirty
            self._take(news)

    def _take(self, news: _Arrival) -> None:
        match news:
            case str():
                self._model.warning = news
            case _FeedEnded(error):
                if error is not None:
                    raise error
                self._model.remark = "the source has ended: nothing more comes"
            case _PageAnswer(request, changes, more, error):
                self._is_reading = False
                self._model.take_history(request, changes, more=more)
                self._model.warning = error or self._model.warning
            case _PastFlaps(flaps):
                for (node, luid), times in flaps.items():
                    self._model.interfaces.add_flaps(node, luid, times)
            case _:
                self._model.apply([entry for entry in news if isinstance(entry, Event)])
                for entry in news:
                    if isinstance(entry, NodeStatus):
                        self._model.set_node(entry.node, online=entry.online, in_sync=entry.in_sync)

    def _ask_past(self) -> None:
        if self._model.wanted_history is not None and not self._is_reading and time.monotonic() >= self._next_read:
            self._requests.put(self._model.wanted_history)
            self._model.wanted_history = None
            self._is_reading, self._next_read = True, time.monotonic() + _SECONDS_PER_READ

    def _read(self, feed: Feed) -> None:
        """Reads the feed to its end. Its own thread."""
        try:
            for arrived in feed.read():
                self._tell(arrived)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._tell(_FeedEnded(error))
        else:
            self._tell(_FeedEnded(None))

    def _read_past(self, past: PastChanges) -> None:
        """Answers requests until there is none, whatever the reading raises. Its own thread."""
        try:
            self._tell(_PastFlaps(past.flaps(self._clock() - 3600)))
        except Exception:  # noqa: BLE001 - it comes again when a history is asked for
            _LOG.debug("the flaps of the last hour cannot be read", exc_info=True)
        while (request := self._requests.get()) is not None:
            try:
                self._tell(_PageAnswer(request, *past.page(request)))
            except PublisherError as error:
                self._tell(_PageAnswer(request, error=str(error)))
            except Exception as error:  # noqa: BLE001 - without an answer the page would be read for ever
                _LOG.debug("the history cannot be read", exc_info=True)
                reason = f"the history cannot be read: {type(error).__name__}: {error}; see publisher history"
                self._tell(_PageAnswer(request, error=reason))

    def _tell(self, news: _Arrival) -> None:
        self._news.put(news)
        self._console.wake()

    def _forget_news(self) -> None:
        """Makes room for a reader that waits for some: it then sees that it is to end."""
        with suppress(queue.Empty):
            while True:
                self._news.get_nowait()
