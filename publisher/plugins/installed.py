"""The installed entry points of the group `publisher`."""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, distributions
from typing import NamedTuple

from ..errors import described
from .offers import PluginFailure

ENTRY_POINT_GROUP = "publisher"
OWN_DISTRIBUTION = "interface-publisher"


class Found(NamedTuple):
    """An entry point, and the distribution that has it."""

    entry: EntryPoint
    distribution: str
    version: str

    @property
    def built_in(self) -> bool:
        """True for a plugin of this very distribution."""
        return self.distribution == OWN_DISTRIBUTION

    def __str__(self) -> str:
        return f"plugin {self.entry.name!r} of {self.distribution}"


def installed(failures: list[PluginFailure]) -> list[Found]:
    """Returns the entry points of the group, of the first distribution of each name on the path, as imports find it.

    Built-in ones come first. A distribution that cannot be read is added to `failures`, and the others count:
    importlib.metadata.entry_points() is not used, since one that is malformed ends it for all.
    """
    seen: set[str] = set()
    found: list[Found] = []
    try:
        for distribution in distributions():
            found += _of(distribution, seen, failures)
    except Exception as error:  # noqa: BLE001 - a finder on sys.meta_path may raise anything
        failures.append(PluginFailure("(all)", "a finder of distributions", f"failed: {described(error)}"))
    return sorted(found, key=lambda one: (not one.built_in, one.distribution, one.entry.name))


def _of(distribution: Distribution, seen: set[str], failures: list[PluginFailure]) -> list[Found]:
    try:
        # Searched in the text first: few distributions have the group, and only theirs needs to be parsed.
        if f"[{ENTRY_POINT_GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            return []
        about = distribution.metadata  # parsed anew at each access
        name = about["Name"]
        if not name:
            raise ValueError("its metadata has no Name")
        if name in seen:
            return []
        seen.add(name)
        entries = [entry for entry in distribution.entry_points if entry.group == ENTRY_POINT_GROUP]
        return [Found(entry, name, about["Version"] or "unknown") for entry in entries]
    except Exception as error:  # noqa: BLE001 - malformed in whichever way: it is named, and the others load
        failures.append(
            PluginFailure("entry_points.txt", _name_of(distribution), f"cannot be read: {described(error)}")
        )
        return []


def _name_of(distribution: Distribution) -> str:
    """Returns a name for a distribution that cannot be read: its own, else that of its folder."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001 - as above
        name = None
    folder = getattr(distribution, "_path", None)
    return str(name or getattr(folder, "name", None) or "a distribution without a name")
