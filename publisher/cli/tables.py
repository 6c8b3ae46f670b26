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
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[int],
    wrapped: Collection[int],
    dispensable: Sequence[int],
) -> None:
    """Prints rows below a heading, one line each; `right` are the columns of numbers.

    Characters that are not printable become escapes. On a terminal the columns of `wrapped` are broken to fit into its
    width, and where they would have hardly any, those of `dispensable` are left out; in a file or a pipe none is.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [tuple(map(printable, row)) for row in rows]
    shown = _shown([columns, *cells], wrapped, dispensable, width())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index in shown:
        # A word that is too long, like a URL, is folded: nothing of an error is cut off.
        table.add_column(
            columns[index], no_wrap=index not in wrapped, overflow="fold", justify="right" if index in right else "left"
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000).print(table)


# A column that is broken has place for an address that each interface has in IPv6, if it needs so much.
_LEAST_WRAPPED = len("fe80::ffff:ffff:ffff:ffff/64")


def _shown(
    lines: Sequence[Sequence[str]], wrapped: Collection[int], dispensable: Sequence[int], columns: int | None
) -> list[int]:
    """Returns the indexes of the columns that have place in so many characters; `None` is room for all."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    needed = [min(width, _LEAST_WRAPPED) if index in wrapped else width for index, width in enumerate(widths)]
    shown = list(range(len(needed)))
    for index in dispensable:
        if columns is not None and sum(needed[one] for one in shown) + 2 * (len(shown) - 1) > columns:
            shown.remove(index)
    return shown


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
