"""Filters: which interfaces, and which events, are wanted."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .events import Cause, Event, Family, IpInterface, Kind

T = TypeVar("T")

_LUID = re.compile(r"[0-9a-fA-F]{16}")


def passes(alias: str, luid: str, include: Collection[str], exclude: Iterable[str]) -> bool:
    """Returns whether an interface passes: `exclude` wins, and an empty `include` is all.

    A pattern is a shell's, for the alias; one of 16 hexadecimal digits is a LUID as well.
    """
    wanted = not include or any(_matches(alias, luid, pattern) for pattern in include)
    return wanted and not any(_matches(alias, luid, pattern) for pattern in exclude)


def _matches(alias: str, luid: str, pattern: str) -> bool:
    return fnmatchcase(alias, pattern) or (len(pattern) == len(luid) and pattern.lower() == luid)


def _not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("must not be an empty list, which nothing passes: leave it out to have all")
    return values


Pattern = Annotated[str, Field(min_length=1)]
# A list that was left out is not dumped: what is dumped is valid again.
IfGiven = Annotated[tuple[T, ...], Field(exclude_if=operator.not_)]
NotEmpty = AfterValidator(_not_empty)


class EventFilter(BaseModel):
    """The events that a sink gets. What is left out restricts nothing.

    `interfaces`, `exclude` and `families` choose rows: the sink never hears of another row, neither in a snapshot nor
    by an event. `kinds` and `causes` choose among the events about those rows, and leave snapshots alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interfaces: Annotated[IfGiven[Pattern], NotEmpty] = Field(
        default=(),
        description="Rows pass of which one pattern is the alias, as a shell's pattern (`wan*`, `eth[01]`, with case), "
        "or the LUID",
    )
    exclude: tuple[Pattern, ...] = Field(
        default=(),
        description="Rows of which one pattern is the alias or the LUID do not pass; it wins over interfaces",
    )
    families: Annotated[IfGiven[Family], NotEmpty] = Field(default=(), description="Rows of these pass")
    kinds: Annotated[IfGiven[Kind], NotEmpty] = Field(
        default=(), description="Events of at least one of these kinds pass"
    )
    causes: tuple[Cause, ...] = Field(default=(), description="Events with one of these causes pass")

    @model_validator(mode="after")
    def _lets_something_pass(self) -> EventFilter:
        if all(_is_covered(pattern, self.exclude) for pattern in self.interfaces or ("*",)):
            named = "all that interfaces names" if self.interfaces else "all interfaces"
            raise ValueError(f"nothing passes: exclude takes out {named}: make its patterns narrower")
        return self

    @property
    def chooses_rows(self) -> bool:
        """True if some rows may not pass."""
        return bool(self.interfaces or self.exclude or self.families)

    @property
    def chooses_events(self) -> bool:
        """True if some events about rows that pass may not pass."""
        return bool(self.kinds or self.causes)

    def keeps(self, row: IpInterface) -> bool:
        """Returns whether the row passes."""
        return self.passes(row.interface.alias, row.luid, row.family)

    def passes(self, alias: str, luid: str, family: Family) -> bool:
        """Returns whether a row of this interface and family passes."""
        in_family = not self.families or family in self.families
        return in_family and passes(alias, luid, self.interfaces, self.exclude)

    def takes(self, event: Event) -> bool:
        """Returns whether an event about a row that passes is wanted, by its kinds and its cause."""
        if self.causes and event.cause not in self.causes:
            return False
        return not self.kinds or any(kind in self.kinds for kind in event.kinds)


def _is_covered(pattern: str, exclude: Collection[str]) -> bool:
    """Returns whether everything that a pattern matches is excluded for sure.

    It is by the pattern itself, and by one whose only wildcards are `*`, which then take the pattern's wildcards, too.
    A pattern for an alias excludes no LUID, but for `*`.
    """
    if _LUID.fullmatch(pattern):
        return any(pattern.lower() == other.lower() or not other.strip("*") for other in exclude)
    stars = (other for other in exclude if "?" not in other and "[" not in other)
    return pattern in exclude or any(fnmatchcase(pattern, other) for other in stars)
