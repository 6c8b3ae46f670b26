"""Bounded, strict parsers for bytes that somebody else wrote: messages, answers, requests, lines of a file.

    info = parse_model(message.payload, Info, max_bytes=4096)

Every reason to refuse is an `UntrustedError`, and nothing else is ever raised, whatever the bytes are. Work and memory
are bounded by `max_bytes`, and the depth is checked before anything is parsed.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from .errors import PublisherError
from .printable import printable

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 32
# What other programs read without loss: a signed or an unsigned integer of 64 bits.
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
_MOST_DIGITS = 20
_LONGEST_REASON = 200
# Possessive, so that a long string is neither tried twice nor remembered character by character.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class UntrustedError(PublisherError):
    """Bytes from elsewhere are not what was expected; the text is the reason, short and printable."""

    def __init__(self, reason: str) -> None:
        text = printable(reason)
        super().__init__(text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}...")


def parse_json(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Returns the JSON value (RFC 8259) of UTF-8 bytes; raises UntrustedError. Any thread, no I/O.

    Refused are also what JSON parsers disagree about: repeated members, lone surrogates, a byte order mark, NaN and
    Infinity, integers beyond 64 bits and numbers beyond a float. `max_depth` counts arrays and objects, and is meant to
    stay below 200.
    """
    text = _text(data, max_bytes, max_depth)
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UntrustedError(f"not JSON: {error.msg} at character {error.pos}") from None
    # JSON's escapes can name half of a pair, which no UTF-8 has: it could not be written anywhere again.
    if "\\u" in text and _has_lone_surrogate(value):
        raise UntrustedError("a lone surrogate in a text")
    return value


def parse_model(data: bytes, model: type[M], *, max_bytes: int, max_depth: int = MAX_DEPTH) -> M:
    """Returns the model of JSON bytes, validated strictly; raises UntrustedError. Any thread, no I/O.

    Refused is all that `parse_json` refuses, and a value that does not fit. Unknown members are refused if the model
    forbids them (`extra`).
    """
    parse_json(data, max_bytes=max_bytes, max_depth=max_depth)
    try:
        # From the bytes again: in JSON, strict models take a text for a time and an array for a tuple.
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise UntrustedError(_first_fault(error)) from None


def _text(data: bytes, max_bytes: int, max_depth: int) -> str:
    if len(data) > max_bytes:
        raise UntrustedError(f"{len(data)} bytes, which is more than {max_bytes}")
    if data.count(b"[") + data.count(b"{") > max_depth:
        _check_depth(data, max_depth)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UntrustedError(f"not UTF-8 at byte {error.start}") from None


def _check_depth(data: bytes, max_depth: int) -> None:
    """Raises UntrustedError for brackets that are nested too deep, which would exhaust the stack of a parser."""
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise UntrustedError(f"nested deeper than {max_depth}")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise UntrustedError("a member is repeated")
    return value


def _integer(digits: str) -> int:
    # Before it is converted: Python limits the digits of a conversion with an error of its own.
    value = int(digits) if len(digits.lstrip("-")) <= _MOST_DIGITS else None
    if value is None or not _LEAST <= value <= _MOST:
        raise UntrustedError("an integer of more than 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise UntrustedError("a number that is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise UntrustedError(f"{name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _has_lone_surrogate(value: JsonValue) -> bool:
    if isinstance(value, str):
        return _LONE_SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_lone_surrogate(name) or _has_lone_surrogate(part) for name, part in value.items())
    return isinstance(value, list) and any(map(_has_lone_surrogate, value))


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    member = ".".join(map(str, first["loc"]))
    return f"{member}: {first['msg']}" if member else str(first["msg"])
