"""The NATS sink: each row as a key of a JetStream bucket, each change as one commit (docs/nats.md)."""

from __future__ import annotations

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `nats`."""
    # Imported here: a configuration without NATS does not pay for it.
    from .sink import NatsSink

    return {"nats": NatsSink}
