"""A sink under test, called as a worker calls it: on one thread of its own, and each call within a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..delivery.calls import cursor_of, returns_nothing
from ..events import Event
from ..plugins.calling import never_runs
from ..sink import Cursor, Sink
from .attempts import require

_METHODS = ("open", "publish", "close", "cursor", "fileno", "ready", "check", "retains", "forget")


class _TimedCall(NamedTuple):
    call: Callable[[], Any]
    answers: SimpleQueue[tuple[Any, BaseException | None]]


class TimedSink(Sink):
    """Has the methods of the sink that `make` returns. Each raises what the sink raises.

    Raises AssertionError for a call that takes longer than `seconds`, and for a method whose call would not run it. An
    awaitable or another value that `open`, `publish`, `close` or `forget` returns is an error, as in a worker.
    """

    def __init__(self, make: Callable[[], Sink], seconds: float) -> None:
        self._seconds = seconds
        self._hangs = False
        self._asked: SimpleQueue[_TimedCall | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="sink under test", daemon=True)
        self._thread.start()
        try:
            self._sink: Sink = self._within("__init__", make)
            for method in _METHODS:
                result = never_runs(getattr(self._sink, method))
                require(result is None, f"{method}() returns {result}: make it a plain function, or use AsyncSink")
        except BaseException:
            self._end()
            raise
        self.options, self.context = self._sink.options, self._sink.context

    def open(self) -> None:
        self._within("open", lambda: returns_nothing(self._sink.open))

    def publish(self, events: Sequence[Event]) -> None:
        self._within("publish", lambda: returns_nothing(self._sink.publish, tuple(events)))

    def close(self) -> None:
        try:
            if not self._hangs:
                self._within("close", lambda: returns_nothing(self._sink.close))
        finally:
            self._end()

    def cursor(self) -> Cursor | None:
        cursor: Cursor | None = self._within("cursor", lambda: cursor_of(self._sink))
        return cursor

    def check(self) -> str:
        line: object = self._within("check", self._sink.check)
        require(isinstance(line, str), f"check() returned a {type(line).__name__}: it must return one line of text")
        return str(line)

    def retains(self) -> tuple[str, ...]:
        places: tuple[str, ...] = self._within("retains", self._sink.retains)
        return places

    def forget(self, places: Sequence[str]) -> None:
        self._within("forget", lambda: returns_nothing(self._sink.forget, places))

    def _within(self, name: str, call: Callable[[], Any]) -> Any:
        answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._asked.put(_TimedCall(call, answers))
        try:
            result, error = answers.get(timeout=self._seconds)
        except Empty:
            self._hangs = True
            raise AssertionError(f"{name}() has not returned within {self._seconds:.0f} s") from None
        try:
            if error is not None:
                raise error
            return result
        finally:
            del error  # it refers to this frame: what it holds, as a socket, would stay open until a collection

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                asked.answers.put((asked.call(), None))
            except BaseException as error:  # noqa: BLE001 - raised again on the thread of the test
                asked.answers.put((None, error))

    def _end(self) -> None:
        self._asked.put(None)
        self._thread.join(0.1)  # a call that hangs has it still
