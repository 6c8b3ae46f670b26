"""The notify sink: a line of text for each change, to phones and chats, by the services that Apprise knows."""

from __future__ import annotations

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `notify`."""
    # Imported here: a configuration without it does not pay for it.
    from .sink import NotifySink

    return {"notify": NotifySink}
