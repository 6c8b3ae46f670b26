"""Finding and loading plugins: one entry point at a time, so that a broken one is named and left out."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions
from typing import Any, Literal, NamedTuple, TypeVar

import pluggy

from .errors import PluginError
from .hookspecs import ENTRY_POINT_GROUP, PublisherHooks
from .sink import Sink, SinkOptions
from .sources import SourceFactory

Kind = Literal["sink", "source"]
T = TypeVar("T")

OWN_DISTRIBUTION = "interface-publisher"
OWN_SOURCES = frozenset({"auto", "linux", "windows", "replay"})


@dataclass(frozen=True)
class Offer:
    """One thing that a plugin offers, for `publisher plugins`."""

    kind: Kind
    name: str
    distribution: str
    version: str
    entry_point: str
    summary: str


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was left out, and why."""

    entry_point: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return f"plugin {self.entry_point!r} of {self.distribution} is left out: {self.reason}"


@dataclass
class Plugins:
    """What the installed plugins offer, and those that were left out."""

    sinks: dict[str, type[Sink]] = field(default_factory=dict)
    sources: dict[str, SourceFactory] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)

    def sink(self, name: str) -> type[Sink]:
        """The sink of this type; raises PluginError, which lists what there is and the nearest to it."""
        try:
            return self.sinks[name]
        except KeyError:
            raise PluginError(self.no_such_sink(name)) from None

    def no_such_sink(self, name: str) -> str:
        """Why there is no sink of this type, and what there is instead."""
        near = difflib.get_close_matches(name, self.sinks, n=1)
        parts = [
            f"no plugin offers a sink of type {name!r}",
            f"there are: {', '.join(sorted(self.sinks)) or 'none'}",
            *(f"did you mean {match!r}?" for match in near),
            *map(str, self.failures),
        ]
        return "; ".join(parts)


class _Found(NamedTuple):
    """An entry point, and the distribution that has it."""

    entry: EntryPoint
    distribution: str
    version: str


def load_plugins() -> Plugins:
    """Load every installed plugin. Never raises for one that is broken: it is in `failures`, by name.

    A plugin is left out as a whole. The built-in ones come first, so that no other can take their names.
    """
    plugins = Plugins()
    for found in sorted(_installed(plugins.failures), key=_builtin_first):
        try:
            sinks, sources = _offered_by(_load(found.entry), plugins)
        except PluginError as error:
            plugins.failures.append(PluginFailure(found.entry.name, found.distribution, str(error)))
        else:
            plugins.sinks |= sinks
            plugins.sources |= sources
            plugins.offers += _offers(found, sinks, sources)
    return plugins


def _installed(failures: list[PluginFailure]) -> Iterator[_Found]:
    """The entry points of the group, of the first distribution of each name on the path, as imports would find it.

    importlib.metadata.entry_points() is not used, since one distribution with malformed entry points ends it for all.
    """
    seen = set()
    for distribution in distributions():
        # Looked for in the text first: few have any, and only of those the metadata needs to be parsed.
        if f"[{ENTRY_POINT_GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        about = distribution.metadata  # parsed anew at each access
        name = about["Name"] or "a distribution without a name"
        if name in seen:
            continue
        seen.add(name)
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == ENTRY_POINT_GROUP]
        except Exception as error:  # noqa: BLE001  # malformed in whichever way: it is named, and the others load
            failures.append(PluginFailure("entry_points.txt", name, f"cannot be read: {_named(error)}"))
        else:
            yield from (_Found(entry, name, about["Version"]) for entry in entries)


def _builtin_first(found: _Found) -> tuple[bool, str, str]:
    return found.distribution != OWN_DISTRIBUTION, found.distribution, found.entry.name


def _load(entry: EntryPoint) -> object:
    """What the entry point names; raises PluginError whatever its import does, but for Ctrl+C."""
    return _guarded(f"importing {entry.value!r} failed", entry.load)


def _guarded(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin may not end the publisher
        raise PluginError(f"{what}: {_named(error)}") from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _offered_by(plugin: object, others: Plugins) -> tuple[dict[str, type[Sink]], dict[str, SourceFactory]]:
    """What this plugin offers, each of it checked; raises PluginError for the first thing that is wrong."""
    if inspect.isclass(plugin):
        raise PluginError(f"its entry point names the class {plugin.__name__}: name an instance of it, or a module")
    # A manager of its own: pluggy would call the hooks of all plugins at once, and the first to raise stops the rest.
    manager = pluggy.PluginManager("publisher")
    manager.add_hookspecs(PublisherHooks)
    _guarded("its hooks do not fit", lambda: manager.register(plugin))
    _guarded("its hooks do not fit", manager.check_pending)
    sinks = _results(manager.hook.publisher_sinks)
    sources = _results(manager.hook.publisher_sources)
    if not sinks and not sources:
        raise PluginError("it offers nothing: a hook is a function marked with publisher.hookimpl")
    for name, sink in sinks.items():
        _check_sink(name, sink, others)
    for name, source in sources.items():
        _check_source(name, source, others)
    return sinks, sources


def _results(hook: pluggy.HookCaller) -> dict[Any, Any]:
    """What the plugin's hook returned, {} if it has none; raises PluginError unless it is a dict."""
    offered: dict[Any, Any] = {}
    for implementation in hook.get_hookimpls():
        if inspect.iscoroutinefunction(implementation.function):
            raise PluginError(f"{hook.name} is an async function, and hooks are never awaited: make it a plain one")
    for result in _guarded(f"{hook.name}() raised", hook):
        if not isinstance(result, Mapping):
            raise PluginError(f"{hook.name}() returned a {type(result).__name__}: it returns a dict of names")
        offered.update(result)
    return offered


def _check_name(kind: Kind, name: object, taken: Iterable[str], others: Plugins) -> None:
    if not isinstance(name, str) or not name:
        raise PluginError(f"it offers a {kind} named {name!r}: a name is text")
    if name in taken:
        by = next(
            (offer.distribution for offer in others.offers if (offer.kind, offer.name) == (kind, name)), "publisher"
        )
        raise PluginError(f"it offers a {kind} named {name!r}, which {by} offers already")


def _check_sink(name: object, sink: object, others: Plugins) -> None:
    _check_name("sink", name, others.sinks, others)
    if isinstance(sink, Sink):
        raise PluginError(f"its sink {name!r} is an instance: offer the class {type(sink).__name__} itself")
    if not (inspect.isclass(sink) and issubclass(sink, Sink)):
        raise PluginError(f"its sink {name!r} is no subclass of publisher.Sink: {sink!r}")
    if missing := sorted(getattr(sink, "__abstractmethods__", ())):
        raise PluginError(f"its sink {name!r} lacks {', '.join(missing)}")
    if not (inspect.isclass(sink.Options) and issubclass(sink.Options, SinkOptions)):
        raise PluginError(f"the Options of its sink {name!r} are no subclass of publisher.SinkOptions")


def _check_source(name: object, source: object, others: Plugins) -> None:
    _check_name("source", name, OWN_SOURCES | others.sources.keys(), others)
    if not callable(source):
        raise PluginError(f"its source {name!r} cannot be called: offer a function that takes a SourceContext")


def _offers(found: _Found, sinks: Mapping[str, object], sources: Mapping[str, object]) -> list[Offer]:
    def offer(kind: Kind, name: str, thing: object) -> Offer:
        return Offer(kind, name, found.distribution, found.version, found.entry.name, _summary(thing))

    return [offer("sink", *item) for item in sinks.items()] + [offer("source", *item) for item in sources.items()]


def _summary(thing: object) -> str:
    """The first line of its own docstring."""
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]
