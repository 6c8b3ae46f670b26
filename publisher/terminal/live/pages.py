"""The pages of text: the keys, and one interface with its history. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.cells import cell_len

from ...text import FAMILY_NAMES, hop_text, speed_text
from ..text import address_text, ago, moment_text
from .choices import Telling
from .interfaces import InterfaceEntry, InterfaceKey, ToldChange, View
from .model import Model
from .picture import Glyphs, PictureLine, Span

_KEYS = (
    ("Up, Down, PageUp, PageDown, Home, End", "move; j, k, Space, g, G, too"),
    ("Enter", "everything about the interface, and its history; containers: shows them"),
    (
        "/",
        "shows the interfaces that match: words of the name, kind, state, addresses, node; veth* is a pattern of names",
    ),
    ("s", "sorts by name, change, flaps, state, speed"),
    ("c", "shows the interfaces of containers and virtual machines, or folds them into one line"),
    ("p", "pauses: the picture stays as it is; p again goes on"),
    ("?", "these keys"),
    ("Esc", "goes back; in the table, shows everything again after /"),
    ("q, Ctrl+C", "quits"),
)
_WORDS = (
    ("State", "off: switched off by a person or a program; down: on, without a link"),
    ("Changed", "the time since the last change that was noticed"),
    ("Flaps", "how often the link went down in the last hour"),
    ("offline", "the node's publisher is offline: nobody knows the state of now"),
    ("gaps", "how often changes of a node were missed, and came again by themselves"),
)
_KEY_WIDTH = 12


def help_lines(width: int, glyphs: Glyphs) -> tuple[str, list[PictureLine]]:
    """Returns the title and the lines that explain keys and words."""
    lines: list[PictureLine] = []
    for heading, entries in (("Keys", _KEYS), ("Words", _WORDS)):
        lines += [(Span(0, heading, "bold"),)]
        for name, text in entries:
            lines += _titled(name, [text], width, glyphs)
        lines += [()]
    return "publisher watch: help", lines[:-1]


def history_lines(
    model: Model, mode: Telling, shown: View, width: int, glyphs: Glyphs
) -> tuple[str, list[PictureLine], float]:
    """Returns the title and the lines about an interface, and the seconds until they would be different."""
    key = mode.key
    entry = shown.entries.get(key)
    changes = model.history(key)
    several = len(shown.nodes) > 1
    name = entry.words.name if entry else changes[0].name if changes else key.luid
    title = f"{name} on {key.node}" if several else name
    lines: list[PictureLine] = []
    for label, texts in _facts(entry, shown, key):
        lines += _titled(label, texts, width, glyphs)
    lines += [(), (Span(0, "History", "bold"),)]
    seconds = 3600.0
    for change in changes:
        words, fresh = ago(shown.now - change.time)
        seconds = min(seconds, fresh)
        lines += _change_lines(change, words, shown.now, width, glyphs)
    end = _wrapped([glyphs.shown(_end(model, mode, changes))], width)
    lines += [(Span(0, glyphs.cut(text, width), "dim"),) for text in end]
    return glyphs.shown(title), lines, seconds


def _end(model: Model, mode: Telling, changes: list[ToldChange]) -> str:
    if mode.reading or mode.more:
        return "reading the journal ..."
    before = " before" if changes else ""
    if model.has_past:
        return f"no changes{before} in the journal"
    return f"no changes{before} since this table was opened" + (f": {model.why_no_past}" if model.why_no_past else "")


def _facts(entry: InterfaceEntry | None, shown: View, key: InterfaceKey) -> Iterator[tuple[str, list[str]]]:
    if entry is None:
        yield "State", ["removed"]
        yield "LUID", [key.luid]
        return
    interface, words = entry.newest.interface, entry.words
    yield "State", [f"{words.state}, {words.speed}" if words.speed else words.state]
    node = shown.nodes.get(key.node)
    if node is not None and not node.online:
        yield "Node", ["offline: this is the last that is known"]
    if interface.last_change:
        since = interface.last_change.timestamp()
        yield "Since", [f"{moment_text(since, shown.now)}, {ago(shown.now - since).text}"]
    if count := shown.flaps.get(key, 0):
        yield "Flaps", [f"{count} in the last hour"]
    for family, event in entry.rows.items():
        routes = [f"default {hop_text(route.next_hop)}, metric {route.metric}" for route in event.default_routes]
        mtu = [f"MTU {event.row.nl_mtu}"] if event.row.nl_mtu is not None else []
        yield FAMILY_NAMES[family], [*map(address_text, event.addresses), *routes, *mtu] or ["no address"]
    about = [interface.description, interface.kind and f"kind {interface.kind}"]
    yield "Hardware", [text for text in (*about, interface.physical_address) if text]
    for label, luids in (("Part of", interface.higher), ("Above", interface.lower)):
        yield label, [_name(shown, InterfaceKey(key.node, luid)) for luid in luids]
    if interface.transmit_link_speed and interface.receive_link_speed not in (None, interface.transmit_link_speed):
        yield "Receives", [speed_text(interface.receive_link_speed or 0)]
    yield "LUID", [f"{key.luid}, index {entry.newest.row.interface_index}"]


def _name(shown: View, key: InterfaceKey) -> str:
    entry = shown.entries.get(key)
    return entry.words.name if entry else key.luid


def _titled(label: str, texts: list[str], width: int, glyphs: Glyphs) -> Iterator[PictureLine]:
    """Yields a label with its texts beside it, one below the other; where the label is too wide, below it."""
    if not texts:
        return
    shown = glyphs.cut(label, width)
    column = _KEY_WIDTH + 2 if width >= 40 else 2
    beside = len(label) <= _KEY_WIDTH and column > 2
    if not beside:
        yield (Span(0, shown, "cyan"),)
    for number, text in enumerate(_wrapped([glyphs.shown(text) for text in texts], width - column)):
        first = (Span(0, shown, "cyan"),) if beside and number == 0 else ()
        yield (*first, Span(column, glyphs.cut(text, max(1, width - column))))


def _wrapped(texts: list[str], width: int) -> Iterator[str]:
    for text in texts:
        yield from [text] if cell_len(text) <= width else wrap(text, max(8, width)) or [text]


def _change_lines(change: ToldChange, words: str, now: float, width: int, glyphs: Glyphs) -> Iterator[PictureLine]:
    """Yields a change: the time, its age where there is room, and the text, on further lines where it is long."""
    moment = moment_text(change.time, now)
    prefix = f"{moment:19}  {words:12}  " if width >= 80 else f"{moment}  "
    column = len(prefix) if len(prefix) + 20 <= width else 2
    first: PictureLine = (Span(0, glyphs.cut(prefix, width), "dim"),)
    if column == 2:
        yield first
        first = ()
    for text in _wrapped([glyphs.shown(change.text)], width - column):
        yield (*first, Span(column, glyphs.cut(text, max(1, width - column)), change.style))
        first = ()
