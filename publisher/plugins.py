"""Plugins: the hooks that a distribution may implement, and loading them, one entry point at a time.

A hook is a function in the module that an entry point of the group `publisher` names, marked with `publisher.hookimpl`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import pluggy

from .errors import ConfigurationError, PluginError
from .sink import Log, Sink, SinkContext, SinkOptions
from .sources import SourceFactory

Kind = Literal["sink", "source", "viewer", "forgetter", "schema"]
T = TypeVar("T")

ENTRY_POINT_GROUP = "publisher"
OWN_DISTRIBUTION = "interface-publisher"
OWN_SOURCES = frozenset({"auto", "linux", "windows", "recording"})
OWN_SCHEMAS = frozenset({"event", "config"})

hookspec = pluggy.HookspecMarker("publisher")
hookimpl = pluggy.HookimplMarker("publisher")


class DefaultSinks(NamedTuple):
    """Sinks for a run without a configuration; `close` is called once, after they are closed."""

    sinks: Mapping[str, dict[str, Any]]
    """Tables as in the configuration file, by the sink's name."""
    lines: tuple[str, ...] = ()
    """Shown to the person who started the run."""
    close: Callable[[], object] = lambda: None


class WatchRequest(NamedTuple):
    """The arguments of `publisher watch URL`."""

    url: str
    base: str = "interfaces"
    password_file: Path | None = None
    ca_file: Path | None = None


class ForgetRequest(NamedTuple):
    """The arguments of `publisher forget URL`. `None` is the default of the sink's own option."""

    url: str
    node: str
    base: str | None = None
    prefix: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


Forgetter = Callable[[ForgetRequest, SinkContext], Sink]
Viewer = Callable[[WatchRequest], None]
Schema = Callable[[], dict[str, Any]]


class PublisherHooks:
    """Every hook, with its types."""

    @hookspec
    def publisher_sinks(self) -> dict[str, type[Sink]]:  # type: ignore[empty-body]  # a specification has no body
        """Returns sinks, by the `type` that the configuration file uses.

        Called once when plugins are loaded: at the start of every command that needs a sink, a source, a viewer or a
        schema. It must return quickly: import a client library where it is used.
        """

    @hookspec
    def publisher_sources(self) -> dict[str, SourceFactory]:  # type: ignore[empty-body]  # as above
        """Returns sources, by the name that `--source` uses; auto, linux, windows and recording are taken.

        Called once when plugins are loaded, like `publisher_sinks`; the factory is called when the source is opened.
        """

    @hookspec
    def publisher_default_sinks(self, log: Log) -> DefaultSinks:  # type: ignore[empty-body]  # as above
        """Returns sinks to add to a first run; it may look for a destination on this host, or start one.

        Called once by `publisher run`, before the service starts, and only when the configuration names no sink.
        What it raises is logged, and the run goes on without these sinks.
        """

    @hookspec
    def publisher_viewers(self) -> dict[str, Viewer]:  # type: ignore[empty-body]  # as above
        """Returns viewers for `publisher watch URL`, by the URL's scheme in lower case.

        Called once when plugins are loaded, like `publisher_sinks`. A viewer is called by `publisher watch`; it
        returns when the view ends, lets KeyboardInterrupt through, and raises PublisherError.
        """

    @hookspec
    def publisher_forgetters(self) -> dict[str, Forgetter]:  # type: ignore[empty-body]  # as above
        """Returns makers of sinks for `publisher forget URL`, by the URL's scheme in lower case.

        Called once when plugins are loaded, like `publisher_sinks`. A maker returns a sink that is not opened: the
        places that its `retains` names are given to its `forget`. It raises PublisherError for what it cannot use.
        """

    @hookspec
    def publisher_schemas(self) -> dict[str, Schema]:  # type: ignore[empty-body]  # as above
        """Returns functions that make a JSON document, by the name that `publisher schema NAME` uses.

        Called once when plugins are loaded, like `publisher_sinks`; a function is called when its document is printed.
        """


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
    """A plugin that was left out, and the reason."""

    entry_point: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return f"plugin {self.entry_point!r} of {self.distribution} is left out: {self.reason}"


@dataclass
class Plugins:
    """The things that the installed plugins offer, and the plugins that were left out."""

    sinks: dict[str, type[Sink]] = field(default_factory=dict)
    sources: dict[str, SourceFactory] = field(default_factory=dict)
    viewers: dict[str, Viewer] = field(default_factory=dict)
    forgetters: dict[str, Forgetter] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)
    first_run: list[tuple[_Found, pluggy.HookCaller]] = field(default_factory=list)

    def no_such_sink(self, name: str) -> str:
        """Returns the message for a type that no plugin offers."""
        return self._missing(f"no plugin offers a sink of type {name!r}", name, self.sinks)

    def viewer(self, url: str) -> Viewer:
        """Returns the viewer for this URL; raises ConfigurationError, which lists the schemes."""
        return self._by_scheme(url, self.viewers, "watch")

    def forgetter(self, url: str) -> Forgetter:
        """Returns the maker of sinks for this URL; raises ConfigurationError, which lists the schemes."""
        return self._by_scheme(url, self.forgetters, "empty")

    def schema(self, name: str) -> Schema:
        """Returns the function that makes this document; raises ConfigurationError, which lists the names."""
        if name not in self.schemas:
            names = {*self.schemas, *OWN_SCHEMAS}
            raise ConfigurationError(self._missing(f"no plugin offers a schema {name!r}", name, names))
        return self.schemas[name]

    def default_sinks(self, log: Log) -> Iterator[DefaultSinks]:
        """Yields the default sinks of each plugin that has some. A plugin that fails is logged and left out."""
        for found, hook in self.first_run:
            try:
                results = _guarded(f"{hook.name}() raised", partial(hook, log=log))
                if wrong := [result for result in results if not isinstance(result, DefaultSinks)]:
                    raise PluginError(f"{hook.name}() returned a {type(wrong[0]).__name__}: it returns DefaultSinks")
            except PluginError as error:
                log.warning("plugin %r of %s adds no sink to this run: %s", found.entry.name, found.distribution, error)
            else:
                yield from results

    def _by_scheme(self, url: str, things: Mapping[str, T], what: str) -> T:
        scheme, separator, _ = url.partition("://")
        thing = things.get(scheme.lower()) if separator else None
        if thing is None:
            raise ConfigurationError(self._missing(f"no plugin can {what} {url!r}", scheme, things, "{}://"))
        return thing

    def _missing(self, problem: str, name: str, names: Iterable[str], form: str = "{}") -> str:
        near = difflib.get_close_matches(name, names, n=1)
        listed = ", ".join(map(form.format, sorted(names)))
        parts = [
            problem,
            f"there are: {listed or 'none'}",
            *(f"did you mean {form.format(match)!r}?" for match in near),
            *map(str, self.failures),
        ]
        return "; ".join(parts)


class _Found(NamedTuple):
    """An entry point, and the distribution that has it."""

    entry: EntryPoint
    distribution: str
    version: str


def load_plugins() -> Plugins:
    """Loads every installed plugin; a broken one raises nothing: it is in `failures`, by name.

    A plugin is left out as a whole. The built-in ones come first, so that no other can take their names.
    """
    plugins = Plugins()
    for found in sorted(_installed(plugins.failures), key=_builtin_first):
        try:
            hooks = _hooks_of(_load(found.entry))
            offered = _offered_by(hooks, plugins)
        except PluginError as error:
            plugins.failures.append(PluginFailure(found.entry.name, found.distribution, str(error)))
        else:
            _add(plugins, found, hooks, offered)
    return plugins


def _add(plugins: Plugins, found: _Found, hooks: pluggy.HookRelay, offered: Mapping[Kind, dict[str, Any]]) -> None:
    plugins.sinks |= offered["sink"]
    plugins.sources |= offered["source"]
    plugins.viewers |= offered["viewer"]
    plugins.forgetters |= offered["forgetter"]
    plugins.schemas |= offered["schema"]
    if hooks.publisher_default_sinks.get_hookimpls():
        plugins.first_run.append((found, hooks.publisher_default_sinks))
    plugins.offers += [
        Offer(kind, name, found.distribution, found.version, found.entry.name, _summary(thing))
        for kind, things in offered.items()
        for name, thing in things.items()
    ]


def _installed(failures: list[PluginFailure]) -> Iterator[_Found]:
    """Yields the entry points of the group, of the first distribution of each name on the path, as imports find it.

    importlib.metadata.entry_points() is not used, since one distribution with malformed entry points ends it for all.
    """
    seen = set()
    for distribution in distributions():
        # Searched in the text first: few distributions have the group, and only theirs needs to be parsed.
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
    """Imports the object that the entry point names; raises PluginError for whatever the import raises."""
    return _guarded(f"importing {entry.value!r} failed", entry.load)


def _guarded(problem: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin may not end the publisher
        raise PluginError(f"{problem}: {_named(error)}") from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _hooks_of(plugin: object) -> pluggy.HookRelay:
    """Returns the plugin's hooks; raises PluginError for a hook that is unknown or has other arguments."""
    if inspect.isclass(plugin):
        raise PluginError(f"its entry point names the class {plugin.__name__}: name an instance of it, or a module")
    # A manager of its own: pluggy would call the hooks of all plugins at once, and the first to raise stops the rest.
    manager = pluggy.PluginManager("publisher")
    manager.add_hookspecs(PublisherHooks)
    _guarded("its hooks do not fit", lambda: manager.register(plugin))
    _guarded("its hooks do not fit", manager.check_pending)
    for caller in manager.get_hookcallers(plugin) or []:
        if any(inspect.iscoroutinefunction(implementation.function) for implementation in caller.get_hookimpls()):
            raise PluginError(f"{caller.name} is an async function, and hooks are never awaited: make it a plain one")
    return manager.hook


def _offered_by(hooks: pluggy.HookRelay, others: Plugins) -> dict[Kind, dict[str, Any]]:
    """Returns what the plugin offers, checked; raises PluginError for the first thing that is wrong."""
    offered: dict[Kind, dict[str, Any]] = {
        "sink": _results(hooks.publisher_sinks),
        "source": _results(hooks.publisher_sources),
        "viewer": _results(hooks.publisher_viewers),
        "forgetter": _results(hooks.publisher_forgetters),
        "schema": _results(hooks.publisher_schemas),
    }
    if not any(offered.values()) and not hooks.publisher_default_sinks.get_hookimpls():
        raise PluginError("it offers nothing: a hook is a function marked with publisher.hookimpl")
    for kind, things in offered.items():
        for name, thing in things.items():
            _check_name(kind, name, others)
            _check_sink(name, thing) if kind == "sink" else _check_function(kind, name, thing)
    return offered


def _results(hook: pluggy.HookCaller) -> dict[Any, Any]:
    """Returns the mapping that the plugin's hook returned, {} without such a hook; raises PluginError."""
    offered: dict[Any, Any] = {}
    for result in _guarded(f"{hook.name}() raised", hook):
        if not isinstance(result, Mapping):
            raise PluginError(f"{hook.name}() returned a {type(result).__name__}: it returns a dict of names")
        offered.update(result)
    return offered


def _check_name(kind: Kind, name: object, others: Plugins) -> None:
    if not isinstance(name, str) or not name:
        raise PluginError(f"it offers a {kind} named {name!r}: a name is text")
    taken = {offer.name: offer.distribution for offer in others.offers if offer.kind == kind}
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


_TAKES = {
    "source": "a SourceContext",
    "viewer": "a WatchRequest",
    "forgetter": "a ForgetRequest and a SinkContext",
    "schema": "nothing",
}


def _check_function(kind: Kind, name: object, function: object) -> None:
    if not callable(function):
        raise PluginError(f"its {kind} {name!r} cannot be called: offer a function that takes {_TAKES[kind]}")


def _summary(thing: object) -> str:
    """Returns the first line of its own docstring."""
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]
