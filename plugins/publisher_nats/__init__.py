"""The NATS sink: each row as a key of a JetStream bucket, each change as one commit (docs/nats.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from .options import NatsOptions
    from .sink import NatsSink

    scheme, _, servers = request.url.partition("://")
    options: dict[str, Any] = {
        "servers": [f"{scheme.lower()}://{server}" for server in servers.removesuffix("/").split(",")],
        "bucket": request.base,
        "password_file": request.password_file,
        "token_file": request.token_file,
        "credentials_file": request.credentials_file,
        "ca_file": request.ca_file,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return NatsSink(NatsOptions.model_validate(given), context)


@hookimpl
def publisher_clients() -> dict[str, TransportFactory]:
    """Returns the maker of transports to a fleet's bucket, for each scheme of a server's URL."""
    return dict.fromkeys(("nats", "tls"), _transport)


def _transport(request: SubscribeRequest) -> Transport:
    """Follows every node in a bucket of NATS JetStream."""
    from .subscriber.transport import NatsTransport

    return NatsTransport(request)
