"""Calls of a plugin's code at load: on a thread of their own, so that whatever it does, somebody can name it."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from functools import partialmethod
from queue import Empty, SimpleQueue
from typing import TypeVar

from ..errors import PluginError, described

T = TypeVar("T")
Slow = Callable[[str], object]

# A call that has not returned is named after so many seconds, and given up after so many.
PATIENCE_SECONDS = 10.0
LONGEST_SECONDS = 60.0
_LOG = logging.getLogger("publisher")


def log_slow(text: str) -> None:
    """Logs a plugin that does not return."""
    _LOG.warning("%s", text)


class LoadStep:
    """The step of a call that goes on, for messages; written by the thread that calls."""

    def __init__(self, name: str) -> None:
        self.name = name

    def guard(self, name: str, call: Callable[[], T]) -> T:
        """Returns what a plugin's function returns; raises PluginError, with this name, for whatever it raises."""
        self.name = name
        try:
            return call()
        except BaseException as error:  # SystemExit too: a plugin may not end the publisher
            raise PluginError(f"{name}: {described(error)}") from error


def called(who: str, step: LoadStep, call: Callable[[], T], slow: Slow = log_slow) -> T:
    """Returns what a call into a plugin returns; raises PluginError for whatever it raises, and when it hangs.

    `who` names the plugin. `slow` is given a line after ten seconds. The call runs on a thread: KeyboardInterrupt is
    the plugin's there, and the user's in the caller.
    """
    results: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, and ends nothing with it
            results.put((None, error))

    threading.Thread(target=run, name=who, daemon=True).start()
    try:
        result, error = results.get(timeout=PATIENCE_SECONDS)
    except Empty:
        slow(f"{who} has not returned for {PATIENCE_SECONDS:.0f} s: {step.name}")
        try:
            result, error = results.get(timeout=LONGEST_SECONDS - PATIENCE_SECONDS)
        except Empty:
            raise PluginError(f"{step.name}: it has not returned within {LONGEST_SECONDS:.0f} s") from None
    if isinstance(error, PluginError):
        raise error
    if error is not None:
        raise PluginError(f"{step.name}: {described(error)}") from error
    return result  # type: ignore[return-value]  # there is no error, so it is what `call` returned


def never_runs(function: object) -> str | None:
    """Returns what a call of this function would return instead of running it: for async functions and generators."""
    if isinstance(function, partialmethod):
        function = function.func
    for candidate in (function, getattr(type(function), "__call__", None)):  # noqa: B004 - the function itself is wanted
        if inspect.iscoroutinefunction(candidate):
            return "a coroutine, which is never awaited"
        if inspect.isasyncgenfunction(candidate):
            return "an async generator, which is never run"
        if inspect.isgeneratorfunction(candidate):
            return "a generator, which is never run"
    return None
