"""The NATS sink: each row as a key of a JetStream bucket, each change as one commit (docs/nats.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher import ForgetRequest, Sink, SinkContext, SubscribeRequest, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.client import Transport, TransportFactory


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `nats`."""
    # Imported here: a configuration without NATS does not pay for it.
    from .sink import NatsSink

    return {"nats": NatsSink}


@hookimpl
def publisher_forgetters() -> dict[str, Callable[[ForgetRequest, SinkContext], Sink]]:
    """Returns the maker of a sink that empties what a node left in a bucket, for each scheme of a server's URL."""
    return dict.fromkeys(("nats", "tls"), _forgetter)


def _forgetter(request: ForgetRequest, context: SinkContext) -> Sink:
    """Returns a sink for these servers, one or several behind commas, and this bucket."""
    from .options import options_for
    from .sink import NatsSink

    return NatsSink(options_for(request), context)


@hookimpl
def publisher_clients() -> dict[str, TransportFactory]:
    """Returns the maker of transports to a fleet's bucket, for each scheme of a server's URL."""
    return dict.fromkeys(("nats", "tls"), _transport)


def _transport(request: SubscribeRequest) -> Transport:
    """Follows every node in a bucket of NATS JetStream."""
    from .subscriber.transport import NatsTransport

    return NatsTransport(request)
