"""The command sink: one program for each event, in order, without a shell."""

from __future__ import annotations

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `command`."""
    # Imported here: a configuration without commands does not pay for it.
    from .sink import CommandSink

    return {"command": CommandSink}
