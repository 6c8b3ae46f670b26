"""The webhook sink: each event as a POST to one URL, as a CloudEvent, signed by Standard Webhooks."""

from __future__ import annotations

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `webhook`."""
    # Imported here: a configuration without webhooks does not pay for it.
    from .sink import WebhookSink

    return {"webhook": WebhookSink}
