"""The contract of a sink: a destination for events."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .durations import Duration
from .errors import PublisherError
from .events import Event
from .filters import EventFilter
from .history import Flap, HistoryPage, HistoryQuery

Log: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]
"""A logger of the standard library: `log.warning("no answer from %s", host)`."""


class SinkLog(logging.LoggerAdapter[Log]):
    """The log of one sink: each message begins with the sink's name, and the record has it as `sink`."""

    def __init__(self, log: Log, sink: str) -> None:
        super().__init__(log, {"sink": sink})
        self._prefix = f"sink {sink!r}: ".replace("%", "%%")

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        """Puts the sink's name before a message and into its record."""
        return f"{self._prefix}{msg}", {**kwargs, "extra": self.extra}


_SHORTEST_SETTLE, _LONGEST_SETTLE = timedelta(milliseconds=10), timedelta(minutes=10)


def _is_moderate(settle: timedelta) -> timedelta:
    if not _SHORTEST_SETTLE <= settle <= _LONGEST_SETTLE:
        raise ValueError('must be from "10ms" to "10m"; leave it out to have each change at once')
    return settle


class SinkOptions(BaseModel):
    """A sink's options in the configuration file. An unknown option is an error, which names it.

    A subclass adds its own. `only`, `settle` and `snapshot` are every sink's: the worker follows them, and the sink
    sees the result alone. A subclass that has an option of such a name raises TypeError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    only: EventFilter = Field(default=EventFilter(), description="The interfaces and events that the sink gets")
    settle: Annotated[Duration, AfterValidator(_is_moderate)] | None = Field(
        default=None, description='Changes of one row within this time become one event; from "10ms" to "10m"'
    )
    snapshot: bool = Field(default=True, description="`false`: the sink gets changes alone, never the rows")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        for name, field in SinkOptions.model_fields.items():
            if cls.model_fields[name].annotation != field.annotation:
                raise TypeError(f"{cls.__qualname__}.{name}: every sink has this option; give yours another name")

    @property
    def skips(self) -> bool:
        """True if the sink does not get each event, so that a hole in `seq` is no loss."""
        return self.settle is not None or self.only.chooses_rows or self.only.chooses_events

    @property
    def destination(self) -> str:
        """Returns the name of the place that the sink writes to, without secrets.

        When it differs from that of the last run, the sink is a new subscriber and receives the snapshot.
        """
        return ""

    @property
    def by_destination(self) -> tuple[Self, ...]:
        """Returns the options for each destination alone, of a sink that has several and uses one at a time.

        What it retains is recorded, and emptied, for each of them by itself.
        """
        return (self,)

    @property
    def exclusive(self) -> str:
        """Returns the name of a thing that only one sink may have, like a file that is written; "" for none.

        Two sinks with one name are a mistake in the configuration.
        """
        return ""


class Cursor(NamedTuple):
    """The last event that a sink has confirmed."""

    epoch: str
    seq: int


class Retry(PublisherError):  # noqa: N818  # a signal to the worker, not an error for people
    """Raised by `publish` when the destination takes nothing for now.

    The events before `index` are safe; the worker sends those from `index` on again. `after` is the pause that the
    destination asked for, in seconds; the pause is never shorter than the worker's own backoff or one second, and never
    longer than an hour.
    """

    def __init__(self, reason: str = "", *, after: float | None = None, index: int = 0) -> None:
        super().__init__(reason)
        self.after = after
        self.index = index


class Rejected(PublisherError):  # noqa: N818  # as Retry
    """Raised by `publish` when the destination refuses the event at `index` for good.

    The worker puts that event into the dead letters with this reason. The events before it are safe.
    """

    def __init__(self, reason: str, *, index: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


class Ended(PublisherError):  # noqa: N818  # as Retry
    """Raised by `open` or `publish` when the destination takes nothing more; the events before `index` are safe.

    `durable` is how long the worker stops the sink:

    - True: until the sink's options change, also over restarts. A server answered 410 Gone.
    - False: in this process only; the next start opens the sink again. The reader of standard output left.
    """

    def __init__(self, reason: str, *, index: int = 0, durable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index
        self.durable = durable


class SinkContext(Protocol):
    """The sink's access to its worker: names, a logger, and requests."""

    name: str
    """The sink's name in the configuration."""
    node: str
    """The name of this host in every event."""
    epoch: str
    """The journal's identity; `seq` grows within it."""
    log: Log

    def request_snapshot(self) -> None:
        """Requests the snapshot; `publish` receives it before any newer event. Any thread may call it.

        One that is requested again and again comes once a second at most.
        """
        ...

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Runs `job` on the sink's thread, between two batches, after `delay` seconds. Any thread may call it.

        An equal job that waits is not run twice: the earlier moment counts. While events wait, jobs get a fifth of the
        time.

        An exception that the job raises is logged and counted; the worker goes on.
        """
        ...

    def unreachable(self, reason: str | None) -> None:
        """Has the status show that the destination cannot be reached; with `None`, that it can again.

        For a sink that keeps a connection, and notices its loss while nothing waits to be sent: the worker knows the
        failures of `open` and `publish` by itself. Any thread may call it.
        """
        ...

    def snapshot(self) -> Sequence[Event]:
        """Returns the snapshot of the journal's rows as they are now, position 0 first: of those that pass `only`.

        Only on the sink's thread.
        """
        ...

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """Returns the events after this one, oldest first; `None` when the journal no longer has all of them.

        They are chosen and settled as those that the sink gets, so `seq` may have holes (`SinkOptions.skips`). Only on
        the sink's thread.
        """
        ...

    def luids(self) -> frozenset[str]:
        """Returns the LUID of each interface that the journal knows, also of those that were removed.

        A sink that cannot list what its destination keeps empties these in `forget`. Only on the sink's thread.
        """
        ...

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Returns the newest events that the journal has of those that the question asks for, newest first.

        They are those that pass `only`, and none is settled: each as it happened. Any thread may call it: the journal
        is read over a connection of its own, in a time that its size bounds (docs/history.md). Raises PublisherError.
        """
        ...

    def flaps(self, since: datetime) -> dict[str, tuple[Flap, ...]]:
        """Returns how often links went down since a moment, by LUID and oldest first, as `history` finds it.

        Each loss of a link counts once for both families, and each one that happened while the publisher was away, as
        far as the system counted it. Any thread may call it. Raises PublisherError.
        """
        ...

    def status(self) -> dict[str, Any]:
        """Returns the state of the service and of each sink: the JSON of `publisher status --json`.

        Any thread may call it, and nothing is read from the disk.
        """
        ...


class Sink(ABC):
    """A destination for events. A subclass needs `publish`; everything else is optional.

    A sink's life is one of three:

    - **publishing**: `open`, `cursor`, then `publish` for every batch, then `close`;
    - **checking** (`publisher check`): `check`, then `close`;
    - **emptying** (the configuration no longer has it, or `publisher forget`): `forget`, then `close`.

    `close` is called last in any case, also after an `open`, a `check` or a `forget` that raised. All calls come from
    one thread, so a sink needs no locks; each may block. An exception from `open`, `publish` or `forget` leads to
    another try, after a pause.

        class NtfySink(Sink):
            class Options(SinkOptions):
                topic: str

            def publish(self, events):
                for event in events:
                    urlopen(self.options.topic, event.json_bytes, timeout=15).close()
    """

    Options: ClassVar[type[SinkOptions]] = SinkOptions
    batch_size: int = 256
    """The largest number of events in one `publish`. After a crash the whole batch is sent again."""
    max_pause: ClassVar[float] = 60.0
    """The longest pause between two attempts, in seconds, that the worker makes by itself; 10 for a local file.

    A destination that asks for a longer one (`Retry(after=...)`) gets it, up to an hour.
    """

    def __init__(self, options: Any, context: SinkContext) -> None:
        self.options = options
        self.context = context

    def open(self) -> None:  # noqa: B027  # a sink that needs no preparation leaves it out
        """Prepares the sink for `publish`. Raises any exception when that fails; the worker tries again later."""

    def retains(self) -> tuple[str, ...]:
        """Returns the places at the destination where this sink keeps something for later readers.

        The journal remembers them, so that they are emptied when the configuration no longer names them. Each place is
        a text that is equal exactly when the place is the same, without secrets: a broker and the topics' first levels.
        Called on an instance that is not opened, on any thread: it depends on the options and `context.node` alone,
        and opens, reads and sends nothing. `()`, the default, is for a sink that keeps nothing.
        """
        return ()

    def forget(self, places: Sequence[str]) -> None:
        """Empties these places, which `retains` of a sink with these options names, of what such a sink kept there.

        Called instead of `open`, on a thread of its own, perhaps while another sink publishes to the destination, so
        it touches nothing else there. Returns when the destination has confirmed it. Harmless when repeated. Raises
        Retry, Rejected or Ended, or any other exception, after which it is tried again.
        """
        if places:
            raise NotImplementedError(f"{type(self).__name__} names places in retains() and has no forget()")

    @abstractmethod
    def publish(self, events: Sequence[Event]) -> None:
        """Returns when all events are safe at the destination; it is given a tuple, and returns nothing.

        Raises Retry, Rejected or Ended. After any other exception the worker sends the whole batch again.
        """

    def close(self) -> None:  # noqa: B027  # as open
        """Releases everything that the sink holds. The last call."""

    def cursor(self) -> Cursor | None:
        """Returns the last event that the destination itself holds, now.

        Called after `open`, and before the next attempt after each failure: the destination may have been put back to
        an older state, or have taken more than its answer said. `None`, the default, means that the destination does
        not know: the journal's cursor counts.
        """
        return None

    def fileno(self) -> int | None:
        """Returns the descriptor that the worker watches between two batches; `None`, the default, for none.

        For a sink whose destination sends something: a connection without a thread of its own. The worker asks for it
        before each wait, and calls `ready` when it can be read or was closed. One that is closed and returned again is
        an error: it is logged, and asked for again a second later. It is a socket's: Windows watches nothing else.
        Whatever is to be written, or happens at a time, is a job for `context.call`.
        """
        return None

    def ready(self) -> None:  # noqa: B027  # as open
        """Reads what the destination sent; called between two batches when `fileno` can be read. Does not wait.

        It takes everything that is there, also what a library has read ahead: else it is called again at once. While
        `publish` runs, the sink reads by itself.
        """

    def check(self) -> str:
        """Returns one line about what works; raises an exception that names what does not.

        Called instead of `open`, perhaps while another process publishes to the same destination, so it changes
        nothing there: it opens nothing for writing, and sends nothing that a subscriber could take for an event.
        """
        return "the options are valid; this sink has no check of its own"
