"""Attempts to open a sink and to publish, as a worker makes them; for the conformance tests."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..events import Event
from ..sink import Ended, Rejected, Retry, Sink

_AWAY = "a destination that is away for a while must not end the sink: raise Retry"


def require(condition: bool, message: str) -> None:
    """Raises AssertionError with this message unless the condition holds; pytest explains only test modules."""
    if not condition:
        raise AssertionError(message)


def opens(sink: Sink) -> bool:
    """Opens the sink; returns False when it raises. Raises AssertionError for an Ended, and without a message."""
    try:
        sink.open()
    except Ended as error:
        raise AssertionError(f"{_AWAY}: {error}") from error
    except AssertionError:  # the time limit's
        raise
    except Exception as error:  # noqa: BLE001 - open may raise anything
        require(bool(str(error)), f"{type(error).__name__} from open() has no message")
        return False
    return True


def publish_must_fail(sink: Sink, events: Sequence[Event]) -> Sequence[Event]:
    """Publishes to a destination that is away; returns the events that are left to deliver.

    Raises AssertionError unless the sink raises Retry, or any exception that makes a worker send all of them again.
    """
    try:
        sink.publish(events)
    except Rejected as error:
        raise AssertionError(f"a destination that is away is no reason to reject: {error}") from error
    except Ended as error:
        raise AssertionError(f"{_AWAY}: {error}") from error
    except Retry as error:
        require(0 <= error.index < len(events), f"Retry.index {error.index} is no place in the batch")
        return events[error.index :]
    except AssertionError:  # the time limit's
        raise
    except Exception:  # noqa: BLE001 - any other exception is a retry of all
        return events
    raise AssertionError("publish() returned although the destination takes nothing: the events would be lost")


def deliver(sink: Sink, events: Sequence[Event], seconds: float = 30.0) -> None:
    """Publishes again and again until everything is there; raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while events:
        try:
            sink.publish(events)
            return
        except Rejected as error:
            raise AssertionError(f"a valid event was rejected: {error}") from error
        except AssertionError:  # the time limit's
            raise
        except Exception as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"not delivered within {seconds} s") from error
            events = events[getattr(error, "index", 0) :]
            # A destination that has just come back gets a moment; a worker backs off for longer.
            time.sleep(0.05)
