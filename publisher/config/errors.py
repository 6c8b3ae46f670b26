"""Messages about mistakes in the configuration: the place, the setting and the expected value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Iterable, Mapping
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
    """The origin of settings: a file with its text, and the settings that the environment gave."""

    file: Path | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    searched: tuple[Path, ...] = ()
    """The files that were looked for, one of which is `file` unless another was named."""

    def of(self, location: tuple[str | int, ...]) -> str:
        """Returns the file, with the line where it is known, or the variable that this setting came from."""
        if self.is_variable(location):
            name = "__".join(str(part).upper().replace("-", "_") for part in location)
            return f"environment variable PUBLISHER_{name}"
        if self.file is None:
            return "configuration"
        line = line_of(self.text, location)
        return str(self.file) if line is None else f"{self.file}:{line}"

    def is_variable(self, location: tuple[str | int, ...]) -> bool:
        """Returns whether the environment gave this setting."""
        here: Any = self.environment
        for part in location:
            if not isinstance(here, Mapping) or part not in here:
                return False
            here = here[part]
        return True


# What a mistyped word and the right one have in common at least: "uri" is near to "url", and "port" not to "format".
_NEAR = 0.65
# The words of other programs for settings and values of ours.
_OTHER_WORDS = {
    **dict.fromkeys(("host", "hostname", "broker", "server", "port"), ("url", "servers", "address")),
    **dict.fromkeys(("url", "urls"), ("url", "servers", "urls")),
    "servers": ("url",),
    **dict.fromkeys(("pass", "passwd", "password"), ("password_file",)),
    "token": ("token_file",),
    **dict.fromkeys(("file", "filename"), ("path",)),
    **dict.fromkeys(("listen", "bind"), ("address",)),
    **dict.fromkeys(("program", "script", "exec", "run"), ("command",)),
    "topic": ("base",),
    "message": ("text",),
    **dict.fromkeys(("hostname", "name"), ("node",)),
    **dict.fromkeys(("ipv4", "ip4", "v4"), ("inet",)),
    **dict.fromkeys(("ipv6", "ip6", "v6"), ("inet6",)),
}


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns `; did you mean '...'?` when a known word is near or means the same elsewhere, else an empty string."""
    words = list(known)
    near = get_close_matches(word.lower(), words, n=1, cutoff=_NEAR)
    near = near or [other for other in _OTHER_WORDS.get(word.lower(), ()) if other in words]
    return f"; did you mean {near[0]!r}?" if near else ""


_HEADER = re.compile(r"\s*\[([^][]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")

_BARE_TEXT = re.compile(r"\s*([\w.-]+)\s*=\s*[A-Za-z~/.]")
_BARE_SWITCH = re.compile(r"\s*([\w.-]+)\s*=\s*(?:(true|yes|on)|false|no|off)\s*(?:#.*)?$", re.IGNORECASE)


def line_of(text: str, location: Iterable[str | int]) -> int | None:
    """Returns the line of a TOML text in which this setting, or the table that it is missing from, is given.

    A text with strings of several lines is not looked into: they may look like settings.
    """
    if '"""' in text or "'''" in text:
        return None
    wanted = tuple(location)
    table: tuple[str, ...] = ()
    found, depth = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        path = table
        if header := _HEADER.match(line):
            path = table = _parts(header[1])
        elif key := _KEY.match(line):
            path = (*table, *_parts(key[1]))
        shared = min(len(path), len(wanted))
        if (
            depth < shared and path[:shared] == wanted[:shared]
        ):  # the setting, or the table that it is in, or a key in it
            found, depth = number, shared
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def read_text(path: Path) -> str:
    """Reads a file that is UTF-8; raises ConfigurationError."""
    try:
        # utf-8-sig: editors on Windows put a byte order mark first, which TOML does not allow.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8") from None


def parsed_toml(path: Path, text: str) -> dict[str, Any]:
    """Parses the text of a TOML file; raises ConfigurationError with file, line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(_toml_problem(path, text, str(error))) from None


def _toml_problem(path: Path, text: str, message: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return f"{path}: {message}"
    lines = text.splitlines() or [""]
    line, column = place.groups(default="")
    problem = message[: place.start()]
    hint = _toml_hint(problem, lines[int(line) - 1] if line else "")
    return f"{path}:{line or len(lines)}:{column or len(lines[-1]) + 1}: {problem}{hint}"


_SINK_NAME = "the name of a sink has letters, digits, _ and - only"


def _toml_hint(problem: str, line: str) -> str:
    """Returns the cure of the commonest mistakes; the value is left out, since it may be a secret."""
    if problem == "Invalid value" and (switch := _BARE_SWITCH.match(line)):
        return f": write {switch[1]} = {'true' if switch[2] else 'false'}"
    if problem == "Invalid value" and (text := _BARE_TEXT.match(line)):
        return f': text needs quotation marks: {text[1]} = "..."'
    if problem.startswith("Expected ']'") and line.lstrip().startswith("[sinks."):
        return f": {_SINK_NAME}"
    if problem.startswith(("Unescaped '\\'", "Invalid hex value")):
        return ": write a Windows path between single quotation marks, '...'"
    return ""


def problems(
    error: ValidationError,
    model: type[BaseModel],
    origin: Origin,
    prefix: tuple[str, ...] = (),
    top: Container[str] = (),
) -> list[str]:
    """Returns one line for each mistake: its place, the key and the expected value.

    `top` are the keys of the file that are in no table. The given value is left out, since it may be a secret.
    """
    # pydantic reports a mistake in a union once for each member: one line for each setting is enough.
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        location = (*prefix, *detail["loc"])
        name = _name(location)
        expected = _expectation(detail, model, location, top)
        lines.setdefault(name, f"{origin.of(location)}: {name}: {expected}".replace("\n", " "))
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


_QUOTED = re.compile(r"'([^']*)'")
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


def _expectation(detail: Any, model: type[BaseModel], location: tuple[str | int, ...], top: Container[str]) -> str:
    kind, message = str(detail["type"]), str(detail["msg"])
    match kind:
        case "extra_forbidden" | "unexpected_keyword_argument":
            *table, key = detail["loc"]
            if len(location) > 1 and str(key) in top:
                return "unknown setting here: write it above the first [table] of the file"
            return f"unknown setting{nearest(str(key), _keys(model, table))}"
        case "missing":
            return "missing"
        case "string_pattern_mismatch" if detail["loc"][-1] == "[key]":
            return "invalid sink name: use letters, digits, _ and -, at most 64"
        case "literal_error":
            return message.replace("Input should", "should", 1) + nearest(
                str(detail["input"]), _QUOTED.findall(message)
            )
        case "byte_size" | "byte_size_unit":
            return 'should be a size, like 10485760 or "10 MiB"'
        case "time_delta_parsing" | "time_delta_type":
            return 'should be a length of time, like "5s", "12h" or "7d"'
        case "value_error":
            return message.removeprefix("Value error, ")
        case "too_short":
            return "must not be an empty list"
    expected, _, check = kind.rpartition("_")
    if expected not in _EXPECTED:
        return message.replace("Input should", "should", 1)
    given = f", not {_kind(detail['input'])}" if check == "type" else ""
    return f"should be {_EXPECTED[expected]}{given}{_cure(expected, location, detail['input'])}"


def _cure(expected: str, location: tuple[str | int, ...], value: object) -> str:
    """Returns what to write in place of a value of another kind; the value is left out, since it may be a secret."""
    if location[0] == "sinks" and len(location) == 2 and not isinstance(value, dict):
        return ": a sink has a name, and a table of its own below a line [sinks.NAME]"
    if _EXPECTED[expected] == "an array" and isinstance(value, str):
        return f': write it in brackets, {location[-1]} = ["..."]'
    return ""


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
