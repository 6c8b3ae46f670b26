"""The columns of the table: which ones fit into a width, and the cells of an interface in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from rich.cells import cell_len

from ..text import ago
from .choices import Item, Sort
from .interfaces import InterfaceEntry, View
from .picture import Glyphs

# An IPv4 address with its prefix length has at most 18 characters; of less of it nobody can tell which it is.
_LEAST_ADDRESSES = 18
_LEAST_NAME = 10
_LONGEST_ROUTE = 25
# Below this width the node has no column of its own, and is before the name: nas/eth0.
_LEAST_FOR_NODES = 70
_LONGEST_NODE = 16
# An hour in which nothing changes.
LONGEST_REST = 3600.0


class Cell(NamedTuple):
    """A text in a column."""

    text: str
    style: str = ""


class Heading(NamedTuple):
    """One column: its title, the sort that it shows, its width, and the cell of an interface."""

    title: str
    sort: Sort | None
    width: int
    cell: Callable[[InterfaceEntry], Cell]


class TableColumns:
    """The columns of one picture. `fresh_seconds`: so long its cells stay the same, if only time passes."""

    def __init__(self, shown: View, glyphs: Glyphs) -> None:
        self._shown = shown
        self._glyphs = glyphs
        self._nodes = {key.node for key in shown.entries} | shown.nodes.keys()
        self.several = len(self._nodes) > 1
        self.fresh_seconds = LONGEST_REST

    def headings(self, items: Sequence[Item], width: int) -> list[Heading]:
        """Returns the columns that fit into the width, by their importance; the addresses take the rest."""
        widths = [item.words.widths for item in items if isinstance(item, InterfaceEntry)]
        names, states, speeds, routes = map(max, zip(*widths, strict=True)) if widths else (0, 0, 0, 0)
        nodes = max((cell_len(self._glyphs.shown(node)) for node in self._nodes), default=0)
        named = self.several and width < _LEAST_FOR_NODES
        if named:
            names += nodes + 1
        if any(not node.online for node in self._shown.nodes.values()):
            states = max(states, len("offline"))
        name_width = min(width, max(names, _LEAST_NAME), max(_LEAST_NAME, width // 4))
        name = Heading("Interface", "name", name_width, partial(self._name, name_width if named else 0))
        node = Heading("Node", None, max(4, min(nodes, _LONGEST_NODE)), self._node)
        state = Heading("State", "state", max(5, states), self._state)
        speed = Heading("Speed", "speed", max(6, speeds), self._speed)
        changed = Heading("Changed", "changed", 11, self._changed)
        flaps = Heading("Flaps", "flaps", 6, self._flaps)
        route = Heading("Default route", None, max(13, min(routes, _LONGEST_ROUTE)), self._route)
        families = Heading("IP", None, 3, lambda entry: Cell(entry.words.families))
        mtu = Heading("MTU", None, 5, lambda entry: Cell(entry.words.mtu))
        addresses = Heading("Addresses", None, _LEAST_ADDRESSES, self._route)
        by_node = [node] if self.several and not named else []
        chosen, room = [name], width - name.width
        for heading in (state, addresses, *by_node, changed, flaps, speed, route, families, mtu):
            # With more columns the addresses need more room, too: two of them say more than an MTU.
            least = heading.width + 1 + (8 if heading in (route, families, mtu) else 0)
            if least <= room:
                chosen.append(heading)
                room -= heading.width + 1
        wide = Heading("Addresses", None, room + _LEAST_ADDRESSES, partial(self._addresses, room + _LEAST_ADDRESSES))
        order = (*by_node, name, state, speed, changed, flaps, route, families, mtu)
        return [*(heading for heading in order if heading in chosen), *([wide] if addresses in chosen else [])]

    def is_offline(self, entry: InterfaceEntry) -> bool:
        """Returns whether the node of the interface is offline."""
        node = self._shown.nodes.get(entry.key.node)
        return node is not None and not node.online

    def _name(self, with_node: int, entry: InterfaceEntry) -> Cell:
        """Returns the name, or, within so many cells, the node's and its own: of both the node's is cut first."""
        name = self._glyphs.shown(entry.words.name)
        if not with_node:
            return Cell(name)
        node = self._glyphs.cut(self._glyphs.shown(entry.key.node), max(3, with_node - cell_len(name) - 1))
        return Cell(f"{node}/{name}")

    def _node(self, entry: InterfaceEntry) -> Cell:
        return Cell(self._glyphs.shown(entry.key.node))

    def _state(self, entry: InterfaceEntry) -> Cell:
        if self.is_offline(entry):
            return Cell("offline", "red")  # nobody knows its state of now
        return Cell(entry.words.state, entry.words.state_style)

    def _speed(self, entry: InterfaceEntry) -> Cell:
        return Cell(entry.words.speed, "" if entry.words.bits_per_second else "dim")

    def _changed(self, entry: InterfaceEntry) -> Cell:
        if entry.changed_at is None:
            return Cell("")
        text, seconds = ago(age := self._shown.now - entry.changed_at)
        self.fresh_seconds = min(self.fresh_seconds, seconds)
        return Cell(text, "bold" if age < 60 else "")

    def _flaps(self, entry: InterfaceEntry) -> Cell:
        count = self._shown.flaps.get(entry.key, 0)
        if count:
            self.fresh_seconds = min(self.fresh_seconds, 60.0)
        return Cell(str(count), "yellow") if count else Cell("")

    def _route(self, entry: InterfaceEntry) -> Cell:
        return Cell(entry.words.route)

    def _addresses(self, width: int, entry: InterfaceEntry) -> Cell:
        """Returns the addresses that fit whole, and how many there are besides."""
        addresses = entry.words.addresses
        text = addresses[0] if addresses else ""
        for count in range(1, len(addresses) + 1):
            more = f" +{len(addresses) - count}" if count < len(addresses) else ""
            longer = " ".join(addresses[:count]) + more
            if len(longer) > width:
                break
            text = longer
        return Cell(self._glyphs.shown(text))
