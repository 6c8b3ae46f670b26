from collections.abc import Sequence
from urllib.request import urlopen

from publisher import Event, Sink, SinkOptions, hookimpl


class NtfySink(Sink):
    """Send each change to an ntfy topic."""

    class Options(SinkOptions):
        topic: str

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            urlopen(self.options.topic, event.json_bytes, timeout=15).close()


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    return {"ntfy": NtfySink}
