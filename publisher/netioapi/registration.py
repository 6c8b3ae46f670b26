"""A registration: its handle, the thread of its callbacks, and how it is cancelled."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from ..errors import CancelInsideCallbackError, InvalidHandleError
from ..events import NotificationType
from .system import Unsubscribe, netio_errors, refusal

# The caller's: it receives the context, the row and the kind of notification.
AnyCallback = Callable[[Any, Any, NotificationType], None]
Receive = Callable[[Any, NotificationType], None]


class NotificationHandle:
    """A registration, made by a `notify_…` call and ended by `cancel_mib_change_notify2`.

    It stays registered when nothing refers to the handle any more. A registration that is not cancelled ends with the
    process. It belongs to the process that made it: a child process after `os.fork()` has none.
    """

    def __init__(self, callback: AnyCallback, caller_context: Any) -> None:
        self._callback = callback
        self._context = caller_context
        # From the system's threads to the registration's own, so that callbacks run one at a time and in order.
        self._notifications: SimpleQueue[tuple[Any, NotificationType] | None] = SimpleQueue()
        self._unsubscribe: Unsubscribe | None = None
        # Held while cancelling, so that exactly one of several threads that cancel succeeds.
        self._cancelling = threading.Lock()
        self._cancelled = False
        self._process = os.getpid()
        self._thread = _CallbackThread(self)

    def _begin(self, subscribe: Callable[[Receive], Unsubscribe]) -> None:
        with netio_errors():
            unsubscribe = subscribe(self._receive)
            try:
                self._thread.start()
            except BaseException:
                unsubscribe()
                raise
            self._unsubscribe = unsubscribe

    def _receive(self, row: Any, notification_type: NotificationType) -> None:
        self._notifications.put((row, notification_type))

    def _run(self) -> None:
        while (notification := self._notifications.get()) is not None and not self._cancelled:
            self._call(*notification)
            if self._is_foreign():
                return  # the callback forked, and this is the child: nobody fills this queue

    def _call(self, row: Any, notification_type: NotificationType) -> None:
        try:
            result = self._callback(self._context, row, notification_type)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"the callback {self._callback!r} returned a coroutine, which nobody awaits")
        except BaseException as error:  # noqa: BLE001 - whatever a callback raises is reported, and the next one runs
            _report(error)

    def _is_foreign(self) -> bool:
        return os.getpid() != self._process

    def _cancel(self, waits: CancelWaits) -> None:
        if self._is_foreign():
            raise refusal(
                InvalidHandleError, "this registration is the parent's: a child process after fork() has none"
            )
        with waits.waiting(self):
            with self._cancelling:
                if self._unsubscribe is None:
                    raise refusal(InvalidHandleError, "this registration is already cancelled")
                self._unsubscribe()
                self._unsubscribe = None
            self._cancelled = True
            self._notifications.put(None)
            self._thread.join()


class _CallbackThread(threading.Thread):
    """The thread in which a registration's callbacks run. A daemon: Python does not wait for it at the exit."""

    def __init__(self, handle: NotificationHandle) -> None:
        super().__init__(target=handle._run, name="publisher netioapi callback", daemon=True)
        self.handle = handle


class CancelWaits:
    """The callbacks that wait, cancelling, for the end of another registration's callback.

    One that waited for itself, at once or over others, would wait for ever: the cancel that would close such a circle
    is refused. Of a thread that a callback joins nothing is known here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[NotificationHandle, NotificationHandle] = {}

    @contextlib.contextmanager
    def waiting(self, awaited: NotificationHandle) -> Iterator[None]:
        """Notes the wait of the callback in this thread, for the block; raises CancelInsideCallbackError."""
        thread = threading.current_thread()
        if not isinstance(thread, _CallbackThread):
            yield
            return
        with self._lock:
            self._check(thread.handle, awaited)
            self._awaited[thread.handle] = awaited
        try:
            yield
        finally:
            with self._lock:
                del self._awaited[thread.handle]

    def _check(self, waiting: NotificationHandle, awaited: NotificationHandle) -> None:
        if waiting is awaited:
            text = "a callback cannot cancel its own registration: it would wait for itself; cancel in another thread"
            raise refusal(CancelInsideCallbackError, text)
        last: NotificationHandle | None = awaited
        while last is not None and last is not waiting:
            last = self._awaited.get(last)
        if last is waiting:
            text = "a callback of that registration is cancelling this one: each would wait for the other"
            raise refusal(CancelInsideCallbackError, text)


def _report(error: BaseException) -> None:
    """Passes an exception of a callback to `threading.excepthook`, also one that ends a program elsewhere."""
    if isinstance(error, SystemExit):
        # The hook ignores it (threading.excepthook), and nobody would see why the callback ended early.
        ignored = RuntimeError(f"a callback cannot end the program: its SystemExit({error.code!r}) ended its call only")
        ignored.__cause__ = error
        error = ignored
    arguments = threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    for hook in (threading.excepthook, threading.__excepthook__):
        try:
            hook(arguments)
        except BaseException:  # noqa: BLE001 - the program's own hook, or a closed standard error: the next one
            continue
        return
