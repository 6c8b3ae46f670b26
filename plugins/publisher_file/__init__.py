"""The file sink: events as JSON Lines, appended to a file or written to standard output."""

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """The sink `file`."""
    from .sink import FileSink

    return {"file": FileSink}
