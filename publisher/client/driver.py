"""The thread of a subscription: it connects, receives, and connects again."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from ..delivery.backoff import Backoff
from ..delivery.descriptors import WakeUp
from ..errors import PublisherError
from .nodes import Nodes
from .outbox import Outbox, Waiting
from .past import Past
from .transport import ClientLink, Question, SubscribeRequest, Transport

# On Windows a wait without a limit ignores Ctrl+C; and a keepalive is looked at as often.
_LONGEST_WAIT_SECONDS = 1.0
_BUSY_WAIT_SECONDS = 0.1
# A thread that is about to connect ends later, by itself.
_CLOSE_SECONDS = 1.0
# A connection that lasted so long was a good one: the next pause is a first one.
_GOOD_SECONDS = 30.0
_LOG = logging.getLogger("publisher")


class Driver:
    """Runs one subscription on a thread of its own, which owns the link and the nodes.

    Any thread may call `start`, `wake` and `close`; the reader has the `outbox`.
    """

    def __init__(self, request: SubscribeRequest, transport: Transport, backoff: Backoff) -> None:
        self._transport = transport
        self._backoff = backoff
        self._link: ClientLink | None = None
        self._told = ""
        self._wake_up = WakeUp()
        self._closing = threading.Event()
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self.outbox = Outbox(self.wake)
        self.nodes = Nodes(request, self)
        self._asked: SimpleQueue[tuple[Question, Future[Past]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="publisher subscription", daemon=True)

    def start(self) -> None:
        """Connects; raises what the first connection raises."""
        self.begin()
        while not self._started.wait(_LONGEST_WAIT_SECONDS):
            pass
        self.raise_failure()

    def begin(self) -> None:
        """Begins to connect; `has_started` and `raise_failure` tell of the outcome."""
        self._thread.start()

    @property
    def has_started(self) -> bool:
        """True when the first connection was made, or failed."""
        return self._started.is_set()

    def raise_failure(self) -> None:
        """Raises what the first connection raised."""
        if self._failed is not None:
            raise self._failed

    def wake(self) -> None:
        """Has the thread look at the reader and at its end."""
        with contextlib.suppress(OSError):  # closed: the thread has ended
            self._wake_up.wake()

    def close(self, *, wait: bool = True) -> None:
        """Ends the subscription, and what its reader waits for, at once; harmless when repeated."""
        self._closing.set()
        self.outbox.end()
        self.wake()
        link = self._link
        if link is not None:
            link.interrupt()
        if self._thread.ident is None:
            self._wake_up.close()  # never begun
        if wait and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    def ask_past(self, question: Question) -> Future[Past]:
        """Asks a node what happened; the answer is `None` where it gives none. Any thread."""
        answer: Future[Past] = Future()
        self._asked.put((question, answer))
        self.wake()
        return answer

    # What the nodes need: `Surroundings`.

    @property
    def has_room(self) -> bool:
        """False while the reader is behind."""
        return self.outbox.has_room

    def put(self, entry: Waiting) -> None:
        """Gives an entry to the reader."""
        self.outbox.put(entry)

    def ask(self, question: Question) -> None:
        """Sends a question."""
        if self._link is not None:
            self._link.ask(question)

    def states_again(self, node: str) -> None:
        """Has what is retained of a node sent again."""
        if self._link is not None:
            self._link.states_again(node)

    # The thread.

    def _run(self) -> None:
        try:
            self._connect_again_and_again()
        except BaseException as error:  # noqa: BLE001 - the reader raises it
            self._failed = error
            self.outbox.end(error)
        finally:
            self._has_started()
            self._wake_up.close()
            self.nodes.past_questions.end()
            self._end_past()

    def _end_past(self) -> None:
        """Gives up what nobody will ask: there is no connection."""
        with contextlib.suppress(Empty):
            while True:
                answer = self._asked.get_nowait()[1]
                if answer.set_running_or_notify_cancel():
                    answer.set_result(None)

    def _ask_past(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self.nodes.past_questions.ask(*self._asked.get_nowait())

    def _connect_again_and_again(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                with contextlib.closing(self._transport.connect(self.nodes)) as link:
                    self._link, began, self._told = link, time.monotonic(), ""
                    self.nodes.connected()
                    self._has_started()
                    self._follow(link)
            except PublisherError as error:
                if not self.has_started:
                    raise
                failures = 1 if time.monotonic() - began > _GOOD_SECONDS else failures + 1
                self._lost(error, self._backoff.delay(failures))
            finally:
                self._link = None

    def _lost(self, error: PublisherError, delay: float) -> None:
        self._link = None
        self.nodes.disconnected()
        self._end_past()
        # The same reason again is for those who debug.
        level = logging.DEBUG if str(error) == self._told else logging.WARNING
        self._told = str(error)
        _LOG.log(level, "%s; trying again in %.1f s", error, delay)
        self._closing.wait(delay)

    def _has_started(self) -> None:
        self._started.set()
        self.outbox.notify()

    def _follow(self, link: ClientLink) -> None:
        while not self._closing.is_set():
            self._ask_past()
            is_busy = self.nodes.is_busy
            link.receive(self._wait, _BUSY_WAIT_SECONDS if is_busy else _LONGEST_WAIT_SECONDS)
            if is_busy or self.nodes.is_busy:
                self.nodes.tick()

    def _wait(self, descriptor: int, seconds: float) -> None:
        self._wake_up.wait(descriptor, seconds)
        self._wake_up.clear()
