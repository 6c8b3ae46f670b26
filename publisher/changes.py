"""The change of a member: its value before and after; and the four types of notification."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from .facts import Fact

K = TypeVar("K")
V = TypeVar("V")

NotificationType = Literal["parameter_notification", "add_instance", "delete_instance", "initial_notification"]


class FrozenDict(dict[K, V]):
    """A dictionary that cannot be changed: all sinks of a process share one event."""

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("an event cannot be changed: make a copy, dict(event.changed)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _frozen(value: Any) -> Any:
    return FrozenDict(value) if isinstance(value, dict) else value


Frozen = AfterValidator(_frozen)


class Change(Fact):
    """A member's value before and after, as JSON values; null where it was not known, or where there was none."""

    before: Annotated[Any, Frozen] = Field(description="Null: not known, or not there")
    after: Annotated[Any, Frozen] = Field(description="Null: not known any more, or not there any more")
