"""For tests of publisher and of plugins: made events, a scripted source, a recorder, and the conformance of a sink.

Nothing here imports pytest; the conformance tests are run by it.
"""

from .conformance import HOSTILE_ALIAS, SinkConformance
from .context import FakeSinkContext
from .events import BEGINNING, EPOCH, make_address, make_event, make_events, make_row, make_snapshot, make_stamp
from .recorder import Recorder, RecordingSink, try_again
from .source import ScriptedSource

__all__ = [
    "BEGINNING",
    "EPOCH",
    "HOSTILE_ALIAS",
    "FakeSinkContext",
    "Recorder",
    "RecordingSink",
    "ScriptedSource",
    "SinkConformance",
    "make_address",
    "make_event",
    "make_events",
    "make_row",
    "make_snapshot",
    "make_stamp",
    "try_again",
]
