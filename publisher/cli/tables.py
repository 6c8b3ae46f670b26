"""Tables and colours of the commands that print once."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence

from ..terminal import printable, shows_colours


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int], wrapped: Collection[int]
) -> None:
    """Prints rows below a heading, one line each; `right` are the columns of numbers.

    Characters that are not printable become escapes. On a terminal the columns of `wrapped` are broken to fit into its
    width; in a file or a pipe none is.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, no_wrap=index not in wrapped, justify="right" if index in right else "left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000).print(table)


def wants_colours() -> bool:
    """Returns whether standard output is a terminal that shows colours, and its user wants them (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and shows_colours(sys.stdout)
