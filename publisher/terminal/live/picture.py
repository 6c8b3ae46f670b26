"""Pictures: the lines of a terminal as spans of text, and the codes that draw what is new of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.cells import cell_len

from ...printable import printable

# Alternate screen; then cursor hidden, no wrap at the right edge; and the reverse of all.
ENTER = "\x1b[?1049h"
LEAVE = "\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l"

# Colours are those that NO_COLOR turns off.
_ATTRIBUTES = {"bold": "1", "dim": "2", "underline": "4", "reverse": "7"}
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}
# Of a name that is longer nobody sees the end, and each character is measured.
_MOST_CHARACTERS = 4096
# A terminal that knows mode 2026 shows a picture at once; others ignore it.
# The cursor hidden, no wrap at the right edge, nothing on the screen: whatever another program left.
_ANEW = "\x1b[?25l\x1b[?7l\x1b[m\x1b[2J"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


class Size(NamedTuple):
    """The size of a terminal in characters."""

    width: int
    height: int


class Span(NamedTuple):
    """A text from one column on. `style` is some of the words bold, dim, underline, reverse, and one colour."""

    column: int
    text: str
    style: str = ""


PictureLine = tuple[Span, ...]
Picture = tuple[PictureLine, ...]


class Glyphs(NamedTuple):
    """The characters that are not ASCII, as far as the terminal's encoding has them."""

    encoding: str = "utf-8"
    ellipsis: str = "…"
    folded: str = "▸"
    dot: str = "·"
    sorted: str = "▾"

    @classmethod
    def of(cls, encoding: str) -> Glyphs:
        """Returns those of an encoding."""
        own = cls()
        try:
            "".join(own[1:]).encode(encoding)
        except UnicodeEncodeError:
            return cls(encoding, "~", ">", "-", "*")
        return cls(encoding)

    def shown(self, text: str) -> str:
        """Returns text of others as the terminal can show it: what is not printable, or not encodable, is an escape."""
        return printable(text[:_MOST_CHARACTERS]).encode(self.encoding, "backslashreplace").decode(self.encoding)

    def cut(self, text: str, width: int) -> str:
        """Returns the text, at most so many cells wide: the end is cut off."""
        if cell_len(text) <= width:
            return text
        room, kept = max(0, width - len(self.ellipsis)), 0
        for character in text:
            if (room := room - cell_len(character)) < 0:
                break
            kept += 1
        return (text[:kept] + self.ellipsis)[: max(0, width)]


def drawn(before: Picture, after: Picture, *, colour: bool, whole: bool) -> str:
    """Returns the codes that draw a picture over the one before, or, with `whole`, over anything; empty for the same.

    Each span begins at a column of its own: a terminal that disagrees about the width of a character (an emoji, an
    ambiguous one) shifts nothing.
    """
    parts = list(_drawn_lines(before, after, colour, whole))
    return "".join([_BEGIN, *([_ANEW] if whole else []), *parts, _END]) if parts or whole else ""


def _drawn_lines(before: Picture, after: Picture, colour: bool, whole: bool) -> Iterator[str]:
    for number in range(max(len(before), len(after))):
        old = before[number] if number < len(before) and not whole else None
        new = after[number] if number < len(after) else ()
        if old != new and not (old is None and not new and whole):
            yield f"\x1b[{number + 1};1H\x1b[2K{''.join(_drawn_spans(new, colour))}"


def _drawn_spans(line: PictureLine, colour: bool) -> Iterator[str]:
    for column, text, style in line:
        codes = _codes(style.split(), colour)
        yield f"\x1b[{column + 1}G"
        yield f"\x1b[{codes}m{text}\x1b[m" if codes else text


def _codes(words: Iterable[str], colour: bool) -> str:
    known = _ATTRIBUTES | _COLOURS if colour else _ATTRIBUTES
    return ";".join(known[word] for word in words if word in known)
