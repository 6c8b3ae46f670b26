"""What is wrong with a configuration, in words that say where it is and what was expected."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..errors import ConfigurationError


@dataclass(frozen=True)
class Origin:
    """Where settings came from: a file, and the part of them that the environment said.

    `journal` is one that exists where the configuration says nothing of it; `names_sinks`, whether it says any sink.
    """

    file: Path | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    journal: Path | None = None
    names_sinks: bool = True

    def of(self, location: tuple[str | int, ...]) -> str:
        """The place to look at for this setting."""
        here: Any = self.environment
        for part in location:
            if not isinstance(here, Mapping) or part not in here:
                return str(self.file) if self.file else "configuration"
            here = here[part]
        return f"environment variable PUBLISHER_{'__'.join(str(part).upper().replace('-', '_') for part in location)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean '...'?` when something known is near, else nothing."""
    near = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content; raises ConfigurationError naming file, line and column."""
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
    """A line for each mistake: where, which key, what was expected. Never the value, which may be a secret."""
    # A union tells a mistake once for each of its members: one line for each place is enough.
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location = (*prefix, *detail["loc"])
        name = _name(location)
        lines.setdefault(name, f"{origin.of(location)}: {name} {_expectation(detail, model)}".replace("\n", " "))
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
    "dict": "a table",
}


def _expectation(detail: Any, model: type[BaseModel]) -> str:
    kind, message = str(detail["type"]), str(detail["msg"])
    match kind:
        case "extra_forbidden":
            *table, key = detail["loc"]
            return f"is no setting there is{nearest(str(key), _keys(model, table))}"
        case "missing":
            return "is missing"
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            return "is no name for a sink: letters, digits, _ and - only, at most 64"
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


def _keys(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """The keys that the model takes at this place."""
    for part in location:
        annotation = model.model_fields[str(part)].annotation if part in model.model_fields else None
        inner = [kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)]
        if not inner:
            return []
        model = inner[0]
    return [info.alias or name for name, info in model.model_fields.items()]


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
