"""Web: a page of the interfaces, their history, and events as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from publisher import DefaultSinks, Sink, SubscribeRequest, Subscription, WebRequest, hookimpl

if TYPE_CHECKING:
    from publisher.client import Transport, TransportFactory


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the `web` sink."""
    # Imported here: a configuration without a page does not pay for it.
    from .sink import WebSink

    return {"web": WebSink}


@hookimpl
def publisher_default_sinks() -> DefaultSinks:
    """Returns a page on loopback, on a free port where the usual one is taken."""
    from .first_run import prepare

    return prepare()


@hookimpl
def publisher_pages() -> dict[str, Callable[[WebRequest, Subscription], None]]:
    """Returns the page of every node at a URL."""
    return {"web": _serve_page}


def _serve_page(request: WebRequest, subscription: Subscription) -> None:
    """The page of every node at a URL."""
    from .page_command import serve_page

    serve_page(request, subscription)


@hookimpl
def publisher_clients() -> dict[str, TransportFactory]:
    """Returns the maker of transports to a page, for each scheme of its URL."""
    return dict.fromkeys(("http", "https"), _transport)


def _transport(request: SubscribeRequest) -> Transport:
    """Follows what a page shows."""
    from .client import SseTransport

    return SseTransport(request)
