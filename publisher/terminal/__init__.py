"""Lines, colours and live tables for people at a terminal; public for sinks."""

from .lines import Lines
from .live_table import FAMILY_NAMES, LiveTable, Screen, State, arrived, clock, on_screen, plain
from .screen import shows_colours, write

__all__ = [
    "FAMILY_NAMES",
    "Lines",
    "LiveTable",
    "Screen",
    "State",
    "arrived",
    "clock",
    "on_screen",
    "plain",
    "shows_colours",
    "write",
]
