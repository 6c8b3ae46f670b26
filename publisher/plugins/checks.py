"""The checks of what a plugin offers, at load: the first thing that is wrong leaves the plugin out."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from ..async_sink import AsyncSink
from ..config.errors import nearest
from ..errors import PluginError
from ..sink import Sink, SinkOptions
from .calling import LoadStep, never_runs
from .hooks import PublisherHooks
from .offers import OWN_SCHEMAS, OWN_SOURCES, Kind, Offer


def hooks_of(step: LoadStep, plugin: object) -> pluggy.HookRelay:
    """Returns the plugin's hooks; raises PluginError for a hook that is unknown or has other arguments."""
    if inspect.isclass(plugin):
        raise PluginError(f"its entry point names the class {plugin.__name__}: name an instance of it, or a module")
    # A manager of its own: pluggy would call the hooks of all plugins at once, and the first to raise stops the rest.
    manager = pluggy.PluginManager("publisher")
    manager.add_hookspecs(PublisherHooks)
    _require_known_hooks(plugin)
    step.guard("its hooks do not fit", lambda: manager.register(plugin))
    step.guard("its hooks do not fit", manager.check_pending)
    for caller in manager.get_hookcallers(plugin) or []:
        for implementation in caller.get_hookimpls():
            if inspect.iscoroutinefunction(implementation.function) or inspect.isasyncgenfunction(
                implementation.function
            ):
                raise PluginError(
                    f"{caller.name} is an async function, and hooks are never awaited: make it a plain one"
                )
    return manager.hook


def _require_known_hooks(plugin: object) -> None:
    """Raises PluginError for a hook of a name that there is not, with the one that was meant."""
    known = [name for name in dir(PublisherHooks) if name.startswith("publisher_")]
    for name in dir(plugin):
        if hasattr(inspect.getattr_static(plugin, name), "publisher_impl") and name not in known:
            raise PluginError(f"there is no hook {name!r}{nearest(name, known)}")


def offered_by(step: LoadStep, hooks: pluggy.HookRelay, others: Iterable[Offer]) -> dict[Kind, dict[str, Any]]:
    """Returns what the plugin offers, checked; raises PluginError for the first thing that is wrong."""
    offered: dict[Kind, dict[str, Any]] = {
        "sink": _results(step, hooks.publisher_sinks),
        "source": _results(step, hooks.publisher_sources),
        "client": _results(step, hooks.publisher_clients),
        "forgetter": _results(step, hooks.publisher_forgetters),
        "page": _results(step, hooks.publisher_pages),
        "schema": _results(step, hooks.publisher_schemas),
    }
    if not any(offered.values()) and not hooks.publisher_default_sinks.get_hookimpls():
        raise PluginError("it offers nothing: a hook is a function marked with publisher.hookimpl")
    for kind, things in offered.items():
        for name, thing in things.items():
            _check_name(kind, name, others)
            _check_sink(name, thing) if kind == "sink" else _check_function(kind, name, thing)
    return offered


def _results(step: LoadStep, hook: pluggy.HookCaller) -> dict[Any, Any]:
    """Returns the mapping that the plugin's hook returned, {} without such a hook; raises PluginError."""
    offered: dict[Any, Any] = {}
    for result in step.guard(f"{hook.name}() raised", hook):
        if not isinstance(result, Mapping):
            raise PluginError(f"{hook.name}() returned a {type(result).__name__}: it returns a dict of names")
        offered.update(result)
    return offered


def _check_name(kind: Kind, name: object, others: Iterable[Offer]) -> None:
    if not isinstance(name, str) or not name:
        raise PluginError(f"it offers a {kind} named {name!r}: a name is text")
    taken = {offer.name: offer.distribution for offer in others if offer.kind == kind}
    taken |= dict.fromkeys({"source": OWN_SOURCES, "schema": OWN_SCHEMAS}.get(kind, ()), "publisher")
    if name in taken:
        raise PluginError(f"it offers a {kind} named {name!r}, which {taken[name]} offers already")


def _check_sink(name: object, sink: object) -> None:
    if isinstance(sink, Sink):
        raise PluginError(f"its sink {name!r} is an instance: offer the class {type(sink).__name__} itself")
    if not (inspect.isclass(sink) and issubclass(sink, Sink)):
        raise PluginError(f"its sink {name!r} is no subclass of publisher.Sink: {sink!r}")
    if missing := sorted(getattr(sink, "__abstractmethods__", ())):
        raise PluginError(f"its sink {name!r} lacks {', '.join(missing)}")
    if not (inspect.isclass(sink.Options) and issubclass(sink.Options, SinkOptions)):
        raise PluginError(f"the Options of its sink {name!r} are no subclass of publisher.SinkOptions")
    for method in _METHODS:
        if (result := never_runs(inspect.getattr_static(sink, method))) or (
            result := never_runs(getattr(sink, method))
        ):
            raise PluginError(
                f"{method}() of its sink {name!r} returns {result}: make it a plain function, or inherit "
                "publisher.AsyncSink"
            )
    for method in ("aopen", "apublish", "aclose") if issubclass(sink, AsyncSink) else ():
        if not inspect.iscoroutinefunction(getattr(sink, method)):
            raise PluginError(f"{method}() of its sink {name!r} is no coroutine function: write async def {method}")
    if isinstance(sink.max_pause, bool) or not isinstance(sink.max_pause, int | float) or not sink.max_pause > 0:
        raise PluginError(f"max_pause of its sink {name!r} is {sink.max_pause!r}: it is a number of seconds")


_METHODS = ("open", "publish", "close", "cursor", "fileno", "ready", "check", "retains", "forget")


_TAKES = {
    "source": "a SourceContext",
    "client": "a SubscribeRequest",
    "forgetter": "a ForgetRequest and a SinkContext",
    "page": "a WebRequest and a Subscription",
    "schema": "nothing",
}


def _check_function(kind: Kind, name: object, function: object) -> None:
    if not callable(function):
        raise PluginError(f"its {kind} {name!r} cannot be called: offer a function that takes {_TAKES[kind]}")
    if result := never_runs(function):
        raise PluginError(f"a call of its {kind} {name!r} returns {result}: make it a plain function")


def summary(thing: object) -> str:
    """Returns the first line of its own docstring."""
    text = getattr(thing, "__doc__", None)
    return text.strip().partition("\n")[0] if isinstance(text, str) else ""
