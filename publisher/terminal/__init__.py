"""Lines and colours for people at a terminal; public for sinks."""

from ..printable import printable
from ..text import FAMILY_NAMES
from .lines import Lines
from .screen import echo, echo_json, shows_colours, write
from .text import Columns, columns_of

__all__ = [
    "FAMILY_NAMES",
    "Columns",
    "Lines",
    "columns_of",
    "echo",
    "echo_json",
    "printable",
    "shows_colours",
    "write",
]
