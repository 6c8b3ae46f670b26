"""Calls of a sink's methods: whatever they raise or return becomes a value. A sink's failure ends here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import PluginError, PublisherError, text_of
from ..events import Event
from ..sink import Cursor, Ended, Rejected, Retry, Sink
from .backoff import seconds_asked

# What a plugin may raise: SystemExit, CancelledError of asyncio and a panic of a Rust library are no Exception, and
# KeyboardInterrupt is raised by the user in the main thread only.
ANYTHING = BaseException


_MOST_DESCRIPTORS = 1 << 31  # a C int
_MARKER = "a snapshot begins with an event that has no row and no interface: skip it when event.is_marker"


@dataclass(frozen=True)
class Failed:
    """The first `safe` events are at the destination; those after them are sent again, after a pause."""

    safe: int
    what: str
    error: BaseException
    after: float | None = None
    """The pause that the destination asked for, in seconds."""


@dataclass(frozen=True)
class Refused:
    """The events before `index` are at the destination, and it refuses the one at `index` for good."""

    index: int
    reason: str


@dataclass(frozen=True)
class Finished:
    """The first `safe` events are at the destination, and it takes nothing more."""

    safe: int
    reason: str
    durable: bool


Outcome = Failed | Refused | Finished | None
"""The outcome of a `publish`; `None` when all events are at the destination."""


def published(sink: Sink, events: Sequence[Event]) -> Outcome:
    """Publishes the events, and returns the outcome. Raises nothing."""
    outcome = outcome_of(lambda: returns_nothing(sink.publish, tuple(events)), len(events), "delivery failed")
    if isinstance(outcome, Failed) and _trips_over_marker(outcome.error, events):
        return replace(outcome, what=f"{outcome.what} ({_MARKER})")
    return outcome


def _trips_over_marker(error: BaseException, events: Sequence[Event]) -> bool:
    """Returns whether an author forgot that the first event of a snapshot has no interface."""
    return isinstance(error, AttributeError | TypeError) and "NoneType" in text_of(error) and events[0].is_marker


def outcome_of(call: Callable[[], object], count: int, what: str) -> Outcome:
    """Returns the outcome of a call that concerns so many events; `what` describes a failure. Raises nothing."""
    try:
        call()
    except Retry as error:
        return _retry(error, count)
    except Rejected as error:
        return _refused(error, count)
    except Ended as error:
        index = _index(error.index, count)
        return Finished(index or 0, text_of(error.reason), error.durable is True)
    except ANYTHING as error:
        return Failed(0, what, error)
    return None


def _retry(error: Retry, count: int) -> Outcome:
    what = "the destination asks to try again"
    index = _index(error.index, count)
    try:
        after = seconds_asked(error.after)
    except ValueError as mistake:
        return Failed(index or 0, what, PluginError(f"{text_of(error)} ({mistake})"))
    if index is None:
        return Failed(0, what, PluginError(f"{text_of(error)} ({_no_index(error.index, count)})"), after)
    return Failed(index, what, error, after)


def _refused(error: Rejected, count: int) -> Outcome:
    index = _index(error.index, count)
    if index is None:
        mistake = f"{text_of(error.reason)} ({_no_index(error.index, count)})"
        return Failed(0, "the sink rejected an event", PluginError(mistake))
    return Refused(index, text_of(error.reason))


def _index(index: object, count: int) -> int | None:
    """Returns the index if it is one of a batch of so many events."""
    return index if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count else None


def _no_index(index: object, count: int) -> str:
    return f"its index is {text_of(index)}: it must be from 0 to {count - 1}"


def cursor_of(sink: Sink) -> Cursor | None:
    """Returns the destination's own last event; raises PluginError for what is none, and whatever the sink raises."""
    cursor: object = sink.cursor()
    match cursor:
        case None:
            return None
        case (str() as epoch, int() as seq) if not isinstance(seq, bool) and seq >= 0:
            return Cursor(epoch, seq)
        case _:
            raise PluginError(f"cursor() returned {_kind(cursor)}: it must return a Cursor or None")


def descriptor_of(sink: Sink) -> int | None:
    """Returns the descriptor to watch; raises PluginError for what is none, and whatever the sink raises."""
    descriptor: object = sink.fileno()
    if descriptor is None:
        return None
    if isinstance(descriptor, int) and not isinstance(descriptor, bool) and 0 <= descriptor < _MOST_DESCRIPTORS:
        return descriptor
    raise PluginError(f"fileno() returned {text_of(descriptor)}: it must return an open descriptor or None")


def returns_nothing(method: Callable[..., Any], *arguments: object) -> None:
    """Calls a method that returns nothing; raises PluginError when it does, and whatever the method raises."""
    result = method(*arguments)
    if result is not None:
        kind = _kind(result)
        if inspect.iscoroutine(result):
            result.close()  # else Python warns that it was never awaited
        raise PluginError(f"{getattr(method, '__name__', 'a method')}() returned {kind}: it must return nothing")


def _kind(value: object) -> str:
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return f"an awaitable ({type(value).__name__}), which nobody awaits"
    return f"a value of the type {type(value).__name__}"


def is_expected(error: BaseException) -> bool:
    """Returns whether a line says enough; anything else may be a fault of the plugin, and its traceback helps."""
    return isinstance(error, PublisherError | OSError)
