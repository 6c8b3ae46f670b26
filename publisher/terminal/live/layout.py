"""The picture of the table: the columns that fit, the lines in sight, title and footer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from ..text import moment_text
from .choices import Browsing, Folded, Item, Telling, Typing
from .columns import LONGEST_REST, Heading, TableColumns
from .interfaces import InterfaceEntry, View
from .model import LINES_AROUND, Model
from .pages import help_lines, history_lines
from .picture import Glyphs, Picture, PictureLine, Size, Span

# Below it not even the shortest texts fit, and all are cut.
_LEAST_WIDTH = 30


def picture_of(model: Model, size: Size, glyphs: Glyphs) -> tuple[Picture, float]:
    """Returns the picture of this size, and the seconds until it would look different by time alone."""
    shown = model.shown
    drawing = _Drawing(model, shown, size, glyphs)
    match model.choices.mode:
        case Browsing() | Typing():
            picture = tuple(drawing.table())
        case _:
            picture = tuple(drawing.page())
    if size.width < _LEAST_WIDTH:
        picture = tuple(_clipped(line, size.width, glyphs) for line in picture)
    return picture[: size.height], LONGEST_REST if model.paused else max(1.0, drawing.fresh_seconds)


def _clipped(line: PictureLine, width: int, glyphs: Glyphs) -> PictureLine:
    return tuple(span._replace(text=glyphs.cut(span.text, width - span.column)) for span in line if span.column < width)


class _Drawing:
    """One picture while it is made."""

    def __init__(self, model: Model, shown: View, size: Size, glyphs: Glyphs) -> None:
        self._model = model
        self._shown = shown
        self._size = size
        self._glyphs = glyphs
        self._columns = TableColumns(shown, glyphs)
        self.fresh_seconds = LONGEST_REST

    def table(self) -> Iterator[PictureLine]:
        """Yields title, headings, the lines in sight, and the footer on the last line."""
        items = self._model.items(self._shown)
        height = self._size.height - LINES_AROUND
        top = self._model.fit(items, height)
        rows = items[top : top + max(1, height)]
        headings = self._columns.headings(items, self._size.width)
        yield self._title(items)
        yield self._line(self._heading_spans(headings), "bold")
        for number, item in enumerate(rows, top):
            yield self._row(headings, item, selected=number == self._model.choices.position)
        if not rows:
            yield (Span(2, self._glyphs.cut(self._nothing(), max(0, self._size.width - 2)), "dim"),)
        for _ in range(height - max(1, len(rows))):
            yield ()
        yield self._footer(top, len(items))
        self.fresh_seconds = min(self.fresh_seconds, self._columns.fresh_seconds)

    def page(self) -> Iterator[PictureLine]:
        """Yields a page of text with its title, and the footer on the last line."""
        mode, width = self._model.choices.mode, self._size.width
        if isinstance(mode, Telling):
            title, lines, seconds = history_lines(self._model, mode, self._shown, width, self._glyphs)
            self.fresh_seconds = min(self.fresh_seconds, seconds)
        else:
            title, lines = help_lines(width, self._glyphs)
        height = self._size.height - 2
        top = self._model.fit_page(mode.top if not isinstance(mode, Browsing | Typing) else 0, len(lines), height)
        yield self._bar(title, "paused" if self._model.paused else "")
        yield from lines[top : top + max(1, height)]
        for _ in range(height - len(lines[top:])):
            yield ()
        yield self._ends("Esc goes back", _of(top, height, len(lines)), "dim")

    def _title(self, items: Sequence[Item]) -> PictureLine:
        shown, choices = self._shown, self._model.choices
        entries = shown.entries.values()
        down = sum(entry.words.state_style == "red" for entry in entries)
        offline = sum(not node.online for node in shown.nodes.values())
        parts = [self._glyphs.shown(self._model.title)]
        if self._columns.several:
            parts.append(f"{len(shown.nodes)} nodes" + (f", {offline} offline" if offline else ""))
        elif shown.nodes and (name := self._glyphs.shown(next(iter(shown.nodes)))) != parts[0]:
            parts.append(name + (" offline" if offline else ""))
        count = f"{len(entries)} interface{'' if len(entries) == 1 else 's'}"
        parts.append(f"{len(items)} of {count}" if choices.wanted else count)
        if down:
            parts[-1] += f", {down} down"
        if shown.gaps:
            parts.append(f"{shown.gaps} gap{'' if shown.gaps == 1 else 's'}")
        return self._bar(f" {self._glyphs.dot} ".join(parts), "paused" if self._model.paused else f"by {choices.sort}")

    def _bar(self, title: str, right: str) -> PictureLine:
        """Returns the first line: over the whole width, so that one sees where the table begins."""
        width = self._size.width
        room = width - (len(right) + 2 if right else 0)
        shown = self._glyphs.cut(title, max(0, room - 1))
        base = Span(0, " " * width, "reverse")
        if room < 12 or not right:
            return (base, Span(0, self._glyphs.cut(f" {title}", width), "reverse bold"))
        style = "reverse bold yellow" if self._model.paused else "reverse"
        return (base, Span(1, shown, "reverse bold"), Span(width - len(right) - 1, right, style))

    def _heading_spans(self, headings: Sequence[Heading]) -> Iterator[Span]:
        column = 0
        for title, sort, width, _ in headings:
            mark = self._glyphs.sorted if sort == self._model.choices.sort and len(title) < width else ""
            yield Span(column, self._glyphs.cut(title + mark, width), "underline" if mark else "")
            column += width + 1

    def _row(self, headings: Sequence[Heading], item: Item, *, selected: bool) -> PictureLine:
        if isinstance(item, Folded):
            return self._line(self._folded(item), "", selected=selected)
        return self._line(self._cells(headings, item), self._row_style(item), selected=selected)

    def _cells(self, headings: Sequence[Heading], entry: InterfaceEntry) -> Iterator[Span]:
        column = 0
        for heading in headings:
            text, style = heading.cell(entry)
            if text:
                yield Span(column, self._glyphs.cut(text, heading.width), style)
            column += heading.width + 1

    def _line(self, spans: Iterable[Span], style: str, *, selected: bool = False) -> PictureLine:
        """Returns a line with this style; one that is selected is so over the whole width."""
        if not selected:
            return tuple(Span(column, text, f"{style} {own}".strip()) for column, text, own in spans)
        base = Span(0, " " * self._size.width, "reverse")
        return (base, *(Span(column, text, f"reverse {style} {own}".strip()) for column, text, own in spans))

    def _folded(self, folded: Folded) -> Iterator[Span]:
        down = f", {folded.down} down" if folded.down else ""
        text = f"{self._glyphs.folded} {folded.number} of containers and virtual machines{down} (c shows them)"
        yield Span(0, self._glyphs.cut(text, self._size.width), "dim")

    def _row_style(self, entry: InterfaceEntry) -> str:
        return "dim" if self._columns.is_offline(entry) else ""

    def _nothing(self) -> str:
        if wanted := self._model.choices.wanted:
            return f"nothing matches {self._glyphs.shown(wanted)}: Esc shows all again"
        return self._model.note or "no interfaces"

    def _footer(self, top: int, count: int) -> PictureLine:
        choices, place = self._model.choices, _of(top, self._size.height - LINES_AROUND, count)
        if isinstance(choices.mode, Typing):
            typed = f"/{self._glyphs.shown(choices.wanted)}"
            room = max(1, self._size.width - 2)
            while cell_len(typed) > room:
                typed = typed[1:]
            return (Span(0, typed, "bold"), Span(cell_len(typed), " ", "reverse"))
        if remark := self._model.warning or self._model.remark or self._sync():
            # As much of it as there is room for: the keys are known by then.
            return (Span(0, self._glyphs.cut(self._glyphs.shown(remark), self._size.width), "yellow"),)
        if choices.wanted:
            return self._ends(f"/{self._glyphs.shown(choices.wanted)}", place, "bold")
        newest = self._shown.newest
        if newest is None:
            return self._ends("", place, "")
        node = f"{newest.key.node}/" if self._columns.several else ""
        text = f"{moment_text(newest.time, self._shown.now)}  {node}{newest.name} {newest.text}"
        return self._ends(self._glyphs.shown(text), place, newest.style)

    def _sync(self) -> str:
        """Returns a remark while changes of nodes may be missing: before their rows came, and without a connection."""
        missing = [name for name, node in self._shown.nodes.items() if node.online and not node.in_sync]
        if not missing:
            return ""
        named = self._glyphs.shown(missing[0]) if len(missing) == 1 else f"{len(missing)} nodes"
        return f"{named}: not in sync, changes may be missing; they come again by themselves"

    def _ends(self, left: str, right: str, style: str) -> PictureLine:
        """Returns the last line: a text, and on the right the place in the list and the most important keys."""
        width = self._size.width
        hints = [hint for hint in (right, "? help", "q quit") if hint]
        if width < 60:
            hints = hints[-2:] if not left else hints[:-1][-1:]
        text = f" {self._glyphs.dot} ".join(hints)
        room = width - len(text) - 2
        if room < 8:
            return (Span(0, self._glyphs.cut(left or text, width), style),)
        return (*([Span(0, self._glyphs.cut(left, room), style)] if left else []), Span(width - len(text), text, "dim"))


def _of(top: int, height: int, count: int) -> str:
    """Returns the place in a list that does not fit: "21-40 of 1000"."""
    return f"{top + 1}-{min(count, top + height)} of {count}" if count > height > 0 else ""
