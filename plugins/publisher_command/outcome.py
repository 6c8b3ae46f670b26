"""Maps the end of a run to an outcome: delivered, Retry or Rejected."""

from __future__ import annotations

import signal

from publisher import Event, Rejected, Retry

from .invocation import Ending

TRY_AGAIN = 75  # EX_TEMPFAIL, sysexits.h
# A signal is no answer about the event: it comes from a stop of the whole service, or from a lack of memory. A program
# that ends so each time gets no more than these runs for one event, so that it does not hold up the others for good.
MOST_RUNS = 3


class Interruptions:
    """Counts the runs for one event that a signal ended. One thread."""

    def __init__(self) -> None:
        self._event = ""
        self._count = 0

    def count(self, event: Event) -> int:
        """Returns the number of these runs for this event, with the present one."""
        self._count = self._count + 1 if event.id == self._event else 1
        self._event = event.id
        return self._count


def judge(ending: Ending, seconds: float, said: str, interruptions: Interruptions, event: Event, index: int) -> None:
    """Returns when the program took the event; else raises Retry or Rejected. `said` is the end of standard error."""
    remark = f": {said}" if said else ""
    if ending.timed_out:
        raise Rejected(f"the program was not done after {seconds:g} s and was ended{remark}", index=index)
    if ending.status == TRY_AGAIN:
        raise Retry(f"the program asks for another attempt: exit status {TRY_AGAIN}{remark}", index=index)
    if ending.status < 0:
        what = f"the program was ended by {_name(-ending.status)}{remark}"
        raise (Retry if interruptions.count(event) < MOST_RUNS else Rejected)(what, index=index)
    if ending.status:
        raise Rejected(f"the program failed: exit status {ending.status}{remark}", index=index)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
