"""Fakes for tests of plugins and programs: made events, a scripted source, a recorder, a sink's conformance tests.

Nothing here imports pytest, which runs the conformance tests.
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
