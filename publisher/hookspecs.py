"""The plugin contract: what a distribution with an entry point in the group `publisher` may offer.

A hook is a function in the module that the entry point names, marked with `publisher.hookimpl`.
"""

from __future__ import annotations

import pluggy

from .sink import Sink
from .sources import SourceFactory

ENTRY_POINT_GROUP = "publisher"

hookspec = pluggy.HookspecMarker("publisher")
hookimpl = pluggy.HookimplMarker("publisher")


class PublisherHooks:
    """Every hook there is."""

    @hookspec
    def publisher_sinks(self) -> dict[str, type[Sink]]:  # type: ignore[empty-body]  # a specification has no body
        """Offer sinks, by the `type` that the configuration file uses.

        Called once when plugins are loaded: at start, at `publisher check` and at `publisher plugins`.
        """

    @hookspec
    def publisher_sources(self) -> dict[str, SourceFactory]:  # type: ignore[empty-body]  # a specification has no body
        """Offer sources, by the name that `--source` uses.

        Called once when plugins are loaded, like `publisher_sinks`. The names auto, linux, windows and replay are
        taken.
        """
