from collections.abc import Sequence
from urllib.request import urlopen

from publisher import Event, Sink, SinkOptions, hookimpl


class NtfyOptions(SinkOptions):
    topic: str

    @property
    def destination(self) -> str:
        return self.topic


class NtfySink(Sink):
    """Send each change to an ntfy topic."""

    Options = NtfyOptions

    def open(self) -> None:
        """Nothing to get ready."""

    def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            urlopen(self.options.topic, event.json_bytes, timeout=15).close()

    def close(self) -> None:
        """Nothing to let go of."""


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    return {"ntfy": NtfySink}
