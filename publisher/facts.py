"""The base of the models of facts, and the members of them that are not known.

The models are frozen and strict: a value that does not fit is an error here, never a surprise at a subscriber.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticOmit, core_schema

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")

IfKnown = Annotated[T | None, Field(exclude_if=partial(operator.is_, None))]
"""A member that is `None` where it is not known, and left out of the JSON then."""


class Unknown(Enum):
    """The type of `UNKNOWN`, for members whose `None` means something else."""

    UNKNOWN = "unknown"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: object) -> JsonSchemaValue:
        raise PydanticOmit  # the JSON leaves it out


UNKNOWN = Unknown.UNKNOWN
"""Stands in Python for a lifetime that is not known."""


_new, _set = object.__new__, object.__setattr__


class Fact(BaseModel):
    """A frozen, strict model that takes no unknown member. Every member is in the JSON but one that is not known."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", json_schema_serialization_defaults_required=True
    )

    names: ClassVar[set[str]]
    """The names of all members."""
    derived: ClassVar[tuple[str, ...]]
    """The names of what is made of the members once, and kept."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        cls.names = set(cls.model_fields)
        own = tuple(name for name, member in vars(cls).items() if isinstance(member, cached_property))
        cls.derived = getattr(super(cls, cls), "derived", ()) + own

    def model_post_init(self, _context: object, /) -> None:
        """Has all instances share one set of names of members: one of its own takes 2 KiB for a row, half of it."""
        object.__setattr__(self, "__pydantic_fields_set__", self.names)

    @classmethod
    def of_valid(cls, members: dict[str, Any]) -> Self:
        """Returns one with all these members, which are valid, in their order; `model_construct` gives each a set of
        names of its own.
        """
        made = _new(cls)
        _set(made, "__dict__", members)
        _set(made, "__pydantic_fields_set__", cls.names)
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made

    def replaced(self, members: Mapping[str, Any]) -> Self:
        """Returns a copy with these members, which are valid."""
        values = {**self.__dict__, **members}
        for name in self.derived:
            values.pop(name, None)
        return self.of_valid(values)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Says of the published JSON which members may be missing, and that those are never null for it."""
        made = handler(schema)
        if handler.mode == "serialization":
            optional = {name for name, member in cls.model_fields.items() if member.exclude_if}
            _leave_out(handler.resolve_ref_schema(made), optional)
        return made


def _leave_out(schema: JsonSchemaValue, names: set[str]) -> None:
    """Makes these members optional in a schema, and never null unless null means something else than unknown."""
    schema["required"] = [name for name in schema.get("required", ()) if name not in names]
    for name in names:
        member = schema["properties"][name]
        if "default" in member and member.pop("default") is None:
            others = [choice for choice in member.pop("anyOf") if choice != {"type": "null"}]
            member |= others[0] if len(others) == 1 else {"anyOf": others}
