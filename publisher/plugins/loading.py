"""Loading of plugins, one entry point at a time: one that fails is named and left out, and the others work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import PluginError
from ..sink import Sink
from .calling import LoadStep, Slow, called, log_slow
from .checks import hooks_of, offered_by, summary
from .installed import Found, installed
from .offers import Kind, Offer, PluginFailure, Plugins

if TYPE_CHECKING:
    import pluggy

    from ..client.transport import TransportFactory

_LOG = logging.getLogger("publisher")


class _Loaded(NamedTuple):
    hooks: pluggy.HookRelay
    offered: dict[Kind, dict[str, Any]]
    offers: list[Offer]


class LoadedPlugins(Plugins):
    """The plugins of this environment; those that nobody needs yet are not imported."""

    def __init__(self, slow: Slow) -> None:
        super().__init__()
        self._slow = slow
        # A reload and a leaver may need more plugins at the same time.
        self._lock = threading.Lock()
        self._waiting = installed(self.failures)

    def load(self, sinks: Collection[str] | None = None) -> None:
        """Imports plugins until these types of sinks are there; all when it is `None`.

        Built-in ones come first, so that no other can take their names, and of each kind an entry point of the type's
        own name: most plugins have one. Any thread.
        """
        self._load_until(lambda: sinks is not None and self.sinks.keys() >= set(sinks), sinks or ())

    def _load_until(self, is_there: Callable[[], bool], names: Collection[str]) -> None:
        with self._lock:
            self._waiting.sort(key=lambda found: (not found.built_in, found.entry.name not in names))
            while self._waiting and not is_there():
                self._load(self._waiting.pop(0))

    def client(self, url: str) -> TransportFactory:
        scheme = url.partition("://")[0].lower()
        self._load_until(lambda: scheme in self.clients, (scheme,))
        return super().client(url)

    def sink(self, kind: str) -> type[Sink] | None:
        self.load([kind])
        return self.sinks.get(kind)

    def _load(self, found: Found) -> None:
        step = LoadStep(f"importing {found.entry.value!r} failed")
        _LOG.debug("loading %s: %s", found, found.entry.value)
        try:
            loaded = called(str(found), step, lambda: _loaded(step, found, tuple(self.offers)), self._slow)
        except PluginError as error:
            self.failures.append(PluginFailure(found.entry.name, found.distribution, str(error)))
        else:
            self._add(found, loaded)

    def _add(self, found: Found, loaded: _Loaded) -> None:
        self.sinks |= loaded.offered["sink"]
        self.sources |= loaded.offered["source"]
        self.clients |= loaded.offered["client"]
        self.forgetters |= loaded.offered["forgetter"]
        self.pages |= loaded.offered["page"]
        self.schemas |= loaded.offered["schema"]
        self.offers += loaded.offers
        if loaded.hooks.publisher_default_sinks.get_hookimpls():
            self.first_run.append((found, loaded.hooks.publisher_default_sinks))


def load_plugins(sinks: Collection[str] | None = None, *, slow: Slow = log_slow) -> LoadedPlugins:
    """Returns the installed plugins that have these types of sinks; all when it is `None`.

    A broken one raises nothing: it is in `failures`, by name, and left out as a whole. `slow` is given a line that
    names a plugin which does not return.
    """
    plugins = LoadedPlugins(slow)
    plugins.load(sinks)
    return plugins


def _loaded(step: LoadStep, found: Found, others: Collection[Offer]) -> _Loaded:
    """Imports a plugin and checks what it offers; raises PluginError for the first thing that is wrong."""
    hooks = hooks_of(step, step.guard(step.name, found.entry.load))
    offered = offered_by(step, hooks, others)
    return _Loaded(hooks, offered, list(_offers(found, offered)))


def _offers(found: Found, offered: Mapping[Kind, dict[str, Any]]) -> Iterator[Offer]:
    for kind, things in offered.items():
        for name, thing in things.items():
            yield Offer(kind, name, found.distribution, found.version, found.entry.name, summary(thing))
