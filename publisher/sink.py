"""The contract of a sink: a destination for events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from .errors import PublisherError
from .events import Event

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class SinkOptions(BaseModel):
    """A sink's options in the configuration file; an unknown one is an error there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def destination(self) -> str:
        """What is written to. When it differs from last time, the sink is a new subscriber and gets the snapshot."""
        return ""


class Cursor(NamedTuple):
    """The last event that a sink has confirmed."""

    epoch: str
    seq: int


class Retry(PublisherError):  # noqa: N818  # said to the worker, not reported: the design names it so
    """Not now: the events before `index` are safe, those from it on are sent again after a while.

    `after` is what the destination asked for, in seconds; without it the worker backs off by itself.
    """

    def __init__(self, reason: str = "", *, after: float | None = None, index: int = 0) -> None:
        super().__init__(reason)
        self.after = after
        self.index = index


class Rejected(PublisherError):  # noqa: N818  # as Retry
    """Never: the event at `index` goes to the dead letters with this reason; those before it are safe."""

    def __init__(self, reason: str, *, index: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


class Ended(PublisherError):  # noqa: N818  # as Retry
    """The destination wants nothing more: the sink rests until its configuration changes.

    The events before `index` are safe.
    """

    def __init__(self, reason: str, *, index: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


class SinkContext(Protocol):
    """What a sink is given by its worker."""

    name: str
    """The sink's name in the configuration."""
    node: str
    epoch: str
    log: FilteringBoundLogger

    def request_snapshot(self) -> None:
        """Ask for the snapshot; `publish` gets it before anything newer. Any thread."""
        ...

    def call(self, job: Callable[[], object], delay: float = 0.0) -> None:
        """Run `job` on the sink's thread, between two batches, after `delay` seconds. Any thread.

        An exception that it raises is logged and counted, and goes no further.
        """
        ...

    def snapshot(self) -> Sequence[Event]:
        """The snapshot as the journal has it now, position 0 first. Only on the sink's thread."""
        ...

    def events_since(self, epoch: str, seq: int) -> list[Event] | None:
        """The events after this one, oldest first; `None` when the journal lacks them. Only on the sink's thread."""
        ...


class Sink(ABC):
    """A destination. All methods are called on one thread, so no locks are needed; any of them may block.

    `open` is called first, `publish` for every batch, `close` last (also after a failed `open`).
    An exception from `open` is retried with the worker's backoff, as is one from `publish`.
    """

    Options: ClassVar[type[SinkOptions]] = SinkOptions
    batch_size: int = 256
    """How many events `publish` is given at most. After a crash, or a stop amid it, all of them are sent again."""

    def __init__(self, options: Any, context: SinkContext) -> None:
        self.options = options
        self.context = context

    def open(self) -> None:  # noqa: B027  # a sink with nothing to get ready leaves it out
        """Get ready to publish; raises whatever stands in the way."""

    @abstractmethod
    def publish(self, events: Sequence[Event]) -> None:
        """Return when all events are safe there; raise Retry, Rejected or Ended, or anything for a retry of all."""

    def close(self) -> None:  # noqa: B027  # as open
        """Let go of everything; the last call."""

    def cursor(self) -> Cursor | None:
        """The last event that the destination itself is known to hold, asked once after `open`.

        `None`, the default, leaves it to the journal's cursor.
        """
        return None

    def check(self) -> str:
        """Say in a line what works, for `publisher check`, called between `open` and `close`; raises what does not."""
        return "opened"
