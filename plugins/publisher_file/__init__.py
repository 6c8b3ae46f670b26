"""The file sink: events as JSON Lines, appended to a file or written to standard output."""

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `file`."""
    # Imported here: a configuration without files does not pay for it.
    from .sink import FileSink

    return {"file": FileSink}
