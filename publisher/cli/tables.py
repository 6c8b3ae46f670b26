"""Tables and colours of the commands that print once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ..terminal import printable, shows_colours

DIM, BOLD, RED, GREEN, YELLOW = "2", "1", "31", "32", "33"


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
        # A word that is too long, like a URL, is folded: nothing of an error is cut off.
        table.add_column(
            name, no_wrap=index not in wrapped, overflow="fold", justify="right" if index in right else "left"
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000).print(table)


class TableCell(NamedTuple):
    """A text in a table, which is printable, and the terminal's code for its colour."""

    text: str
    code: str = ""


def aligned(rows: Sequence[Sequence[TableCell]], *, right: Collection[int], colour: bool) -> list[str]:
    """Returns a line for each row, the first of which is the heading; `right` are the columns of numbers."""
    widths = [max(len(cell.text) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        texts = []
        for index, (cell, columns) in enumerate(zip(row, widths, strict=True)):
            is_last = index == len(widths) - 1
            text = cell.text.rjust(columns) if index in right else cell.text if is_last else cell.text.ljust(columns)
            texts.append(painted(text, BOLD if number == 0 else cell.code, colour=colour))
        lines.append("  ".join(texts).rstrip())
    return lines


def width() -> int | None:
    """Returns the columns of the terminal that standard output is; `None` when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def painted(text: str, code: str, *, colour: bool) -> str:
    """Returns a text in a colour, by the terminal's code for it; unchanged without `colour`."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text and code else text


def wants_colours() -> bool:
    """Returns whether standard output is a terminal that shows colours, and its user wants them (no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and shows_colours(sys.stdout)
