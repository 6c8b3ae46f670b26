"""Calls of a plugin's code at load: on a thread of their own, so that whatever it does, somebody can name it."""

from __future__ import annotations

import importlib
import inspect
import logging
import threading
import traceback
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
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
            raise PluginError(f"{name}: {described(error)}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Returns file and line of the plugin where this was raised; nothing where the error has it, or it is not known."""
    if isinstance(error, SyntaxError):
        return ""
    import pluggy

    # Those of the import system, of pluggy and of publisher come before those of the plugin.
    others = [Path(str(file)).parent for file in (importlib.__file__, pluggy.__file__)]
    no_plugins = ("<", *map(str, (*others, Path(__file__).parents[1])))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(no_plugins)]
    # What the plugin calls may raise far below; its author looks for the line of the plugin.
    own = [frame for frame in frames if Path(frame.filename).parent == Path(frames[0].filename).parent]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


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
