"""The hooks that a plugin may implement, with the types of their arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pluggy

from ..client.transport import TransportFactory
from ..sink import Log, Sink, SinkContext
from ..sources import SourceFactory

if TYPE_CHECKING:
    from ..client.subscription import Subscription

hookspec = pluggy.HookspecMarker("publisher")
hookimpl = pluggy.HookimplMarker("publisher")


class DefaultSinks(NamedTuple):
    """Sinks for a run without a configuration; `close` is called once, after they are closed."""

    sinks: Mapping[str, dict[str, Any]]
    """Tables as in the configuration file, by the sink's name."""
    lines: tuple[str, ...] = ()
    """Shown to the person who started the run."""
    close: Callable[[], object] = lambda: None
    lines_when_open: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """By the sink's name, lines that are true once it is open: shown then."""


class ForgetRequest(NamedTuple):
    """The arguments of `publisher forget URL`. `None` is the default of the sink's own option."""

    url: str
    node: str
    base: str | None = None
    prefix: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    token_file: Path | None = None
    credentials_file: Path | None = None


class WebRequest(NamedTuple):
    """The arguments of `publisher web URL` that are about the page itself. `None` is the default of the page."""

    address: str | None = None
    token_file: Path | None = None
    hosts: tuple[str, ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None


PageMaker: TypeAlias = "Callable[[WebRequest, Subscription], None]"
Forgetter = Callable[[ForgetRequest, SinkContext], Sink]
Schema = Callable[[], dict[str, Any]]


class PublisherHooks:
    """Every hook, with its types."""

    @hookspec
    def publisher_sinks(self) -> dict[str, type[Sink]]:  # type: ignore[empty-body]  # a specification has no body
        """Returns sinks, by the `type` that the configuration file uses.

        Called once when plugins are loaded: at the start of every command that needs a sink, a source, a client or a
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
    def publisher_clients(self) -> dict[str, TransportFactory]:  # type: ignore[empty-body]  # as above
        """Returns makers of transports for `publisher.subscribe(URL)`, by the URL's scheme in lower case.

        Called once when plugins are loaded, like `publisher_sinks`. A maker returns a transport that has connected
        nowhere yet, and raises ConfigurationError for a request that it cannot use.
        """

    @hookspec
    def publisher_forgetters(self) -> dict[str, Forgetter]:  # type: ignore[empty-body]  # as above
        """Returns makers of sinks for `publisher forget URL`, by the URL's scheme in lower case.

        Called once when plugins are loaded, like `publisher_sinks`. A maker returns a sink that is not opened: the
        places that its `retains` names are given to its `forget`. It raises PublisherError for what it cannot use.
        """

    @hookspec
    def publisher_pages(self) -> dict[str, PageMaker]:  # type: ignore[empty-body]  # as above
        """Returns functions that serve a page of what a subscription receives, for `publisher web URL`, by name.

        Called once when plugins are loaded, like `publisher_sinks`. `publisher web` calls the one named `web`; it
        returns when the subscription ends, lets KeyboardInterrupt through, and raises PublisherError.
        """

    @hookspec
    def publisher_schemas(self) -> dict[str, Schema]:  # type: ignore[empty-body]  # as above
        """Returns functions that make a JSON document, by the name that `publisher schema NAME` uses.

        Called once when plugins are loaded, like `publisher_sinks`; a function is called when its document is printed.
        """
