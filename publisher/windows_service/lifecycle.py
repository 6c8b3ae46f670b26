"""The states of the service's process, as Windows is told of them: a value, and its transitions. No call of Windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .advapi32 import (
    ERROR_CALL_NOT_IMPLEMENTED,
    ERROR_SERVICE_SPECIFIC_ERROR,
    SERVICE_ACCEPT_PARAMCHANGE,
    SERVICE_ACCEPT_PRESHUTDOWN,
    SERVICE_ACCEPT_SHUTDOWN,
    SERVICE_ACCEPT_STOP,
    SERVICE_CONTROL_INTERROGATE,
    SERVICE_CONTROL_PARAMCHANGE,
    SERVICE_CONTROL_PRESHUTDOWN,
    SERVICE_CONTROL_SHUTDOWN,
    SERVICE_CONTROL_STOP,
    SERVICE_RUNNING,
    SERVICE_START_PENDING,
    SERVICE_STOP_PENDING,
    SERVICE_STOPPED,
)

# PRESHUTDOWN comes before the network is taken down, so that "offline" can still be published; Windows older than
# Vista had none.
_ACCEPTED = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PRESHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE
_STOPS = frozenset({SERVICE_CONTROL_STOP, SERVICE_CONTROL_SHUTDOWN, SERVICE_CONTROL_PRESHUTDOWN})
# Windows takes a service that is silent for longer than this for hung. A start may repair a large journal.
_START_MILLISECONDS = 120_000
_STOP_MILLISECONDS = 30_000

Action = Literal["stop", "reload"]


@dataclass(frozen=True)
class ReportedStatus:
    """The members of SERVICE_STATUS that change, as SetServiceStatus reports them."""

    state: int
    accepted: int = 0
    exit_code: int = 0
    specific_exit_code: int = 0
    checkpoint: int = 0
    wait_hint: int = 0


STARTING = ReportedStatus(SERVICE_START_PENDING, checkpoint=1, wait_hint=_START_MILLISECONDS)
RUNNING = ReportedStatus(SERVICE_RUNNING, _ACCEPTED)
STOPPING = ReportedStatus(SERVICE_STOP_PENDING, checkpoint=1, wait_hint=_STOP_MILLISECONDS)


def ended(status: int) -> ReportedStatus:
    """Returns the last status of a process with this exit status: with one other than 0, Windows restarts it."""
    if status == 0:
        return ReportedStatus(SERVICE_STOPPED)
    return ReportedStatus(SERVICE_STOPPED, exit_code=ERROR_SERVICE_SPECIFIC_ERROR, specific_exit_code=status)


def controlled(now: ReportedStatus, control: int) -> tuple[ReportedStatus, Action | None, int]:
    """Returns the next status, what is to be done, and the handler's answer to a control.

    A second request to stop changes nothing: Windows sends SHUTDOWN after PRESHUTDOWN.
    """
    if control in _STOPS:
        return (STOPPING, "stop", 0) if now == RUNNING else (now, None, 0)
    if control == SERVICE_CONTROL_PARAMCHANGE:
        return now, "reload" if now == RUNNING else None, 0
    return now, None, 0 if control == SERVICE_CONTROL_INTERROGATE else ERROR_CALL_NOT_IMPLEMENTED
