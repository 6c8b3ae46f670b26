"""The configured sinks, with what the supervisor needs to know of each: values, made before they take effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretBytes, SecretStr

from ..errors import ConfigurationError, described
from ..sink import Sink, SinkOptions

SinkPlan = Mapping[str, tuple[type[Sink], SinkOptions]]


@dataclass(frozen=True)
class PlannedSink:
    """A sink as it is configured; another `fingerprint` is another configuration, another `destination` a new sink."""

    sink: type[Sink]
    options: SinkOptions
    destination: str
    fingerprint: str


def planned(plan: SinkPlan) -> dict[str, PlannedSink]:
    """Returns the sinks by name; calls properties of plugins' options, so not on the core's thread.

    Raises ConfigurationError for options whose destination cannot be named.
    """
    return {name: _planned(name, sink, options) for name, (sink, options) in plan.items()}


def _planned(name: str, sink: type[Sink], options: SinkOptions) -> PlannedSink:
    try:
        destination: object = options.destination
        if not isinstance(destination, str):
            raise TypeError(f"it is a {type(destination).__name__}: it must be text")
        return PlannedSink(sink, options, destination, _fingerprint(sink, options))
    except BaseException as error:  # whatever a plugin raises
        raise ConfigurationError(f"sink {name!r}: its destination cannot be named: {described(error)}") from error


def _fingerprint(sink: type[Sink], options: SinkOptions) -> str:
    """Returns what distinguishes two configurations of a sink, by their secrets too; nothing can be read from it."""
    values = json.dumps(options.model_dump(), default=_json_value)
    return hashlib.sha256(f"{sink.__module__}.{sink.__qualname__} {values}".encode()).hexdigest()


def _json_value(value: Any) -> Any:
    """Returns the same for the same value at every start: a set has its members in any order."""
    match value:
        case SecretStr() | SecretBytes():
            return str(value.get_secret_value())
        case set() | frozenset():
            return sorted(map(str, value))
        case _:
            return str(value)
