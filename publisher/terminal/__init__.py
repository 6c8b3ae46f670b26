"""Lines, colours and live tables for people at a terminal; public for sinks."""

from ..printable import printable
from ..text import FAMILY_NAMES
from .lines import Lines
from .live_table import LiveTable, Screen, ShownState, arrived, clock, on_screen, plain
from .screen import echo, echo_json, shows_colours, write
from .text import Columns, columns_of

__all__ = [
    "FAMILY_NAMES",
    "Columns",
    "Lines",
    "LiveTable",
    "Screen",
    "ShownState",
    "arrived",
    "clock",
    "columns_of",
    "echo",
    "echo_json",
    "on_screen",
    "plain",
    "printable",
    "shows_colours",
    "write",
]
