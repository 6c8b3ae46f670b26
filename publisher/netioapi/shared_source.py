"""Linux: the source that registrations share, with its thread."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from ..errors import SourceError, described
from ..events import Event, IpInterface
from ..sources import Resync, Source, Update
from ..table import Table

T = TypeVar("T")


class ForkedSource(Source, Protocol):
    """A source that a child process can give up after a fork."""

    def abandon(self) -> None:
        """Releases the descriptors in the child process; the parent's stay as they are."""
        ...


class EventReceiver(Protocol):
    """A registration's part in the source's thread."""

    ended: bool

    def confirm(self) -> None:
        """Receives the initial notification."""
        ...

    def receive(self, event: Event) -> None:
        """Receives an event."""
        ...


class _Task(Generic[T]):
    """An action for the source's thread, and its future result. The action's error is the caller's."""

    def __init__(self, action: Callable[[SharedSource], T], new_reading: bool) -> None:
        self._action = action
        self.new_reading = new_reading
        self.result: Future[T] = Future()

    def run(self, shared: SharedSource) -> None:
        try:
            result = self._action(shared)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            self.result.set_exception(error)
        else:
            self.result.set_result(result)

    def refuse(self, error: SourceError) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class SharedSource:
    """A source that is followed in a thread of its own, which alone uses the table and the receivers.

    Other threads ask for an action. One that needs a new reading runs after the source has read everything once more,
    so it sees each change that happened before the request. Whatever ends the thread is the answer to all that wait,
    and to all that ask after it.
    """

    def __init__(self, source: ForkedSource) -> None:
        self.users = 0  # guarded by the lock of the LinuxSystem
        self.failure: SourceError | None = None
        self._source = source
        self._table = Table()
        self._receivers: list[EventReceiver] = []
        self._asked: SimpleQueue[_Task[Any]] = SimpleQueue()
        # Taken out of the queue and not answered yet.
        self._waiting: list[_Task[Any]] = []
        self._thread = threading.Thread(target=self._run, name="publisher netioapi", daemon=True)

    def ask(self, action: Callable[[SharedSource], T], *, new_reading: bool = True) -> Future[T]:
        """Returns the future result of an action, or the failure that ended the thread. The first call starts it.

        Raises what the start of a thread raises; then nothing of the source is left.
        """
        task = _Task(action, new_reading)
        self._asked.put(task)
        if self._thread.ident is None:
            self._start()
        else:
            self._source.wake()
        if self.failure is not None:
            # The thread ended, and perhaps it did not see this task.
            self._refuse(self.failure)
        return task.result

    def close(self) -> None:
        """Ends the thread and waits for it."""
        atexit.unregister(self.close)
        self._source.close()
        self._thread.join()

    def abandon(self) -> None:
        """Forgets the source in a child process after a fork, where its thread is not."""
        atexit.unregister(self.close)
        self._source.abandon()

    def rows(self) -> list[IpInterface]:
        """Returns the rows. In the source's thread only, as `add` and `remove`: `ask` for it."""
        return self._table.rows

    def add(self, receiver: EventReceiver, initial: bool) -> None:
        """Adds a receiver, which first receives the initial notification if it is asked for."""
        if receiver.ended:
            return  # removed before, by a caller that was interrupted while it waited
        if initial:
            receiver.confirm()
        self._receivers.append(receiver)

    def remove(self, receiver: EventReceiver) -> None:
        """Removes a receiver, which is not called after that."""
        receiver.ended = True
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def _start(self) -> None:
        # Python does not wait for a daemon thread, and one that runs while the interpreter shuts down may crash it.
        atexit.register(self.close)
        try:
            self._thread.start()
        except BaseException:
            atexit.unregister(self.close)
            self._source.close()
            raise

    def _run(self) -> None:
        failure = SourceError("the IP interfaces are no longer followed")
        try:
            self._follow()
        except SourceError as error:
            failure = error
        except BaseException as error:
            failure = SourceError(f"the IP interfaces are no longer followed, after an error: {described(error)}")
            raise
        finally:
            # A task without an answer would block its caller for ever.
            self.failure = failure
            self._refuse(failure)
            if self._receivers:
                logging.getLogger("publisher.netioapi").error(
                    "%d registrations receive no more notifications: %s; cancel them and register again",
                    len(self._receivers),
                    failure,
                )

    def _follow(self) -> None:
        self._take_tasks()
        for updates in self._source.updates():
            self._apply(updates)
            if any(isinstance(update, Resync) for update in updates):
                self._answer()
            if self._take_tasks():
                self._source.resync("reconcile")

    def _apply(self, updates: Iterable[Update]) -> None:
        for update in updates:
            for event in self._table.apply(update):
                for receiver in self._receivers:
                    receiver.receive(event)

    def _answer(self) -> None:
        """Runs the tasks that waited for a new reading."""
        for task in self._waiting:
            task.run(self)
        self._waiting.clear()

    def _take_tasks(self) -> bool:
        """Runs the new tasks that need no new reading; returns True if there are some that do."""
        known = len(self._waiting)
        # One by one: what left the queue is in the list, whatever ends the thread now.
        with contextlib.suppress(Empty):
            while True:
                self._waiting.append(self._asked.get_nowait())
        for task in self._waiting[known:]:
            if not task.new_reading:
                task.run(self)
        self._waiting = [task for task in self._waiting if task.new_reading]
        return len(self._waiting) > known

    def _refuse(self, failure: SourceError) -> None:
        """Answers each task with the failure. Also in a thread that asks, when the source's has ended."""
        for task in self._waiting:
            task.refuse(failure)
        with contextlib.suppress(Empty):
            while True:
                self._asked.get_nowait().refuse(failure)
