"""The run of a plan: each step at its moment, with a line of progress every few seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.soak.faults import MAKING
from tests.soak.house import House
from tests.soak.plan import Change, Fault, Flood, Step
from tests.soak.publishing import Sample

_PROGRESS_SECONDS = 5.0
_CALM_SECONDS = 2.0


class Run:
    """What was done: `made` counts the faults by name, `errors` are the soak's own, and none of the publisher's."""

    def __init__(self, house: House, steps: Sequence[Step], show: Callable[[str], None]) -> None:
        self.made: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.changes = 0
        self.errors: list[str] = []
        self.samples: list[Sample] = []
        self._house, self._steps, self._show = house, steps, show
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._fault_at = self._shown_at = self._begun = time.monotonic()

    def go(self) -> None:
        """Makes every step, and ends every fault, also when it is interrupted."""
        try:
            for step in self._steps:
                self._wait_until(self._begun + step.at)
                self._make(step)
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def _make(self, step: Step) -> None:
        match step:
            case Change():
                self._house.change(step)
                self.changes += len(step.lines)
            case Flood():
                self._house.changes.make(step.changes)
                self.changes += step.changes
            case Fault():
                thread = threading.Thread(target=self._fault, args=(step,), name=step.name)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
                thread.start()

    def _fault(self, fault: Fault) -> None:
        house = self._house
        if (fault.of == "clock" and house.clock is None) or fault.of in house.active:
            self.skipped[fault.name] += 1
            return
        house.active[fault.of] = fault.name
        house.publisher.meet(fault.name)
        try:
            with MAKING[fault.name](house, fault):
                self.made[fault.name] += 1
                self._stop.wait(fault.seconds)
        except Exception as error:  # noqa: BLE001 - a fault that cannot be made is a fault of the soak, and is reported
            self.errors.append(f"{fault.name}: {error!r}")
        finally:
            del house.active[fault.of]
            self._fault_at = time.monotonic()

    def _wait_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))  # the pace of the plan
            self._look()
        self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._shown_at + _PROGRESS_SECONDS:
            return
        self._shown_at = now
        house = self._house
        if not house.active and now > self._fault_at + _CALM_SECONDS and (sample := house.publisher.sample()):
            self.samples.append(sample)
        self._show(self._progress(now - self._begun))

    def _progress(self, seconds: float) -> str:
        events = " ".join(f"{name} {stream.events}" for name, stream in self._house.streams.items())
        last = f"{self.samples[-1].mebibytes:.0f} MiB" if self.samples else ""
        faults = " and ".join(sorted(self._house.active.values())) or "calm"
        return f"{seconds:6.0f} s  {self.changes} changes  events: {events}  {last}  {faults}"
