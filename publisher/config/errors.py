"""Messages about mistakes in the configuration: the place, the setting and the expected value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Origin:
    """The origin of settings: a file, and the settings that the environment gave."""

    file: Path | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)

    def of(self, location: tuple[str | int, ...]) -> str:
        """Returns the file or the environment variable that this setting came from."""
        here: Any = self.environment
        for part in location:
            if not isinstance(here, Mapping) or part not in here:
                return str(self.file) if self.file else "configuration"
            here = here[part]
        return f"environment variable PUBLISHER_{'__'.join(str(part).upper().replace('-', '_') for part in location)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean '...'?` when a known word is near, else an empty string."""
    near = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file; raises ConfigurationError with file, line and column."""
    try:
        # utf-8-sig: editors on Windows put a byte order mark first, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(_toml_problem(path, text, str(error))) from None


def _toml_problem(path: Path, text: str, message: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return f"{path}: {message}"
    lines = text.splitlines() or [""]
    line, column = place.groups(default="")
    return f"{path}:{line or len(lines)}:{column or len(lines[-1]) + 1}: {message[: place.start()]}"


def problems(error: ValidationError, model: type[BaseModel], origin: Origin, prefix: tuple[str, ...] = ()) -> list[str]:
    """Returns one line for each mistake: its place, the key and the expected value.

    The given value is left out, since it may be a secret.
    """
    # pydantic reports a mistake in a union once for each member: one line for each setting is enough.
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location = (*prefix, *detail["loc"])
        name = _name(location)
        lines.setdefault(name, f"{origin.of(location)}: {name}: {_expectation(detail, model)}".replace("\n", " "))
    return list(lines.values())


def _name(location: tuple[str | int, ...]) -> str:
    match location:
        case ("sinks", str(sink)) | ("sinks", str(sink), "[key]"):
            return f"sink {sink!r}"
        case ("sinks", str(sink), *rest):
            return f"sink {sink!r}: {_dotted(rest)}"
        case _:
            return _dotted(location)


def _dotted(parts: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a string",
    "tuple": "an array",
    "list": "an array",
    "set": "an array",
    "model": "a table",
    "dataclass": "a table",
    "dict": "a table",
}


def _expectation(detail: Any, model: type[BaseModel]) -> str:
    kind, message = str(detail["type"]), str(detail["msg"])
    match kind:
        case "extra_forbidden" | "unexpected_keyword_argument":
            *table, key = detail["loc"]
            return f"unknown setting{nearest(str(key), _keys(model, table))}"
        case "missing":
            return "missing"
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            return "invalid sink name: use letters, digits, _ and -, at most 64"
        case "byte_size" | "byte_size_unit":
            return 'should be a size, like 10485760 or "10 MiB"'
        case "time_delta_parsing" | "time_delta_type":
            return 'should be a length of time, like "12h" or "7d"'
        case "value_error":
            return message.removeprefix("Value error, ")
    expected, _, check = kind.rpartition("_")
    if expected in _EXPECTED:
        return f"should be {_EXPECTED[expected]}" + (f", not {_kind(detail['input'])}" if check == "type" else "")
    return message.replace("Input should", "should", 1)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "an array", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")


def _keys(model: type, location: Iterable[str | int]) -> list[str]:
    """Returns the keys of the table at this place."""
    fields = _fields(model)
    for part in location:
        annotation = fields[str(part)].annotation if part in fields else None
        fields = next((found for kind in (annotation, *get_args(annotation)) if (found := _fields(kind))), {})
    return [info.alias or name for name, info in fields.items()]


def _fields(kind: object) -> Mapping[str, FieldInfo]:
    """Returns the fields of a pydantic model or dataclass, none of anything else."""
    if not isinstance(kind, type):
        return {}
    if issubclass(kind, BaseModel):
        return kind.model_fields
    return kind.__pydantic_fields__ if is_pydantic_dataclass(kind) else {}
