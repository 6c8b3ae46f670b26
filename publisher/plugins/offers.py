"""The things that plugins offer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..client.transport import TransportFactory
from ..errors import ConfigurationError, PluginError
from ..sink import Log, Sink
from ..sources import SourceFactory
from .calling import LoadStep
from .hooks import DefaultSinks, Forgetter, PageMaker, Schema

if TYPE_CHECKING:
    import pluggy

Kind = Literal["sink", "source", "client", "forgetter", "page", "schema"]
T = TypeVar("T")
OWN_SOURCES = frozenset({"auto", "linux", "windows", "recording"})
OWN_SCHEMAS = frozenset({"event", "config"})


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
    clients: dict[str, TransportFactory] = field(default_factory=dict)
    forgetters: dict[str, Forgetter] = field(default_factory=dict)
    pages: dict[str, PageMaker] = field(default_factory=dict)
    schemas: dict[str, Schema] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    failures: list[PluginFailure] = field(default_factory=list)
    first_run: list[tuple[Any, pluggy.HookCaller]] = field(default_factory=list)
    """Plugins with default sinks, and their hook."""

    def sink(self, kind: str) -> type[Sink] | None:
        """Returns the sink of this type, `None` when no plugin offers it."""
        return self.sinks.get(kind)

    def no_such_sink(self, name: str) -> str:
        """Returns the message for a type that no plugin offers."""
        return self._missing(f"no plugin offers a sink of type {name!r}", name, self.sinks)

    def client(self, url: str) -> TransportFactory:
        """Returns the maker of transports for this URL; raises ConfigurationError, which lists the schemes."""
        return self._by_scheme(url, self.clients, "watch")

    def forgetter(self, url: str) -> Forgetter:
        """Returns the maker of sinks for this URL; raises ConfigurationError, which lists the schemes."""
        return self._by_scheme(url, self.forgetters, "empty")

    def page(self, name: str) -> PageMaker:
        """Returns the function that serves this page; raises ConfigurationError, which lists the names."""
        if name not in self.pages:
            raise ConfigurationError(self._missing(f"no plugin offers a page {name!r}", name, self.pages))
        return self.pages[name]

    def schema(self, name: str) -> Schema:
        """Returns the function that makes this document; raises ConfigurationError, which lists the names."""
        if name not in self.schemas:
            names = {*self.schemas, *OWN_SCHEMAS}
            raise ConfigurationError(self._missing(f"no plugin offers a schema {name!r}", name, names))
        return self.schemas[name]

    def default_sinks(self, log: Log) -> Iterator[DefaultSinks]:
        """Yields the default sinks of each plugin that has some. A plugin that fails is logged and left out."""
        for found, hook in self.first_run:
            step = LoadStep(f"{hook.name}() raised")
            try:
                results = step.guard(step.name, partial(hook, log=log))
                if wrong := [result for result in results if not isinstance(result, DefaultSinks)]:
                    raise PluginError(f"{hook.name}() returned a {type(wrong[0]).__name__}: it returns DefaultSinks")
            except PluginError as error:
                log.warning("%s adds no sink to this run: %s", found, error)
            else:
                yield from results

    def _by_scheme(self, url: str, things: Mapping[str, T], what: str) -> T:
        scheme, separator, _ = url.partition("://")
        thing = things.get(scheme.lower()) if separator else None
        if thing is None:
            problem = f"no plugin can {what} {url!r}" + ("" if separator else ", which is no URL")
            raise ConfigurationError(self._missing(problem, scheme, things, "{}://"))
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


class SinkTypes(Mapping[str, type[Sink]]):
    """The types of sinks by name; one that is asked for is loaded if need be."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    def __getitem__(self, kind: str) -> type[Sink]:
        found = self._plugins.sink(kind)
        if found is None:
            raise KeyError(kind)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._plugins.sinks))

    def __len__(self) -> int:
        return len(self._plugins.sinks)
