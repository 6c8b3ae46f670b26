"""The terminal sink: events as readable lines."""

from publisher import Sink, hookimpl


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the sink `terminal`."""
    from .sink import TerminalSink

    return {"terminal": TerminalSink}
