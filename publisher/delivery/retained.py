"""The places of the configured sinks, and the options of a sink that was left: values, without I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from ..errors import ConfigurationError, PluginError
from ..journal.places import RetainedPlace
from ..secret_options import is_secret_name, split_url, without_secrets
from ..sink import Log, Sink, SinkContext, SinkOptions
from .context import IdleContext
from .plan import SinkPlan

Retained = Mapping[str, tuple[RetainedPlace, ...] | None]
"""The places of each sink by its name; `None` for a sink whose `retains` failed."""

_MOST_PLACES = 100
_LONGEST_PLACE = 1000
# Options that say who logs in and with what, beside those named like secrets and those that name a file.
_LOGIN = frozenset({"username", "user", "insecure"})


def retained_by(plan: SinkPlan, types: Mapping[str, type[Sink]], node: str, log: Log) -> Retained:
    """Returns the places that the configured sinks retain things at; calls plugins, so not on the core's thread."""
    names = {sink: name for name, sink in types.items()}
    return {
        name: _places_of(name, names.get(sink, ""), sink, options, node, log)
        for name, (sink, options) in plan.items()
        if sink.retains is not Sink.retains
    }


def _places_of(
    name: str, kind: str, sink: type[Sink], options: SinkOptions, node: str, log: Log
) -> tuple[RetainedPlace, ...] | None:
    try:
        return tuple(
            RetainedPlace(type=kind, place=place, sink=name, node=node, options=without_secrets(one))
            for one in options.by_destination
            for place in _checked(sink(one, IdleContext(name, node, log)).retains())
        )
    except BaseException as error:
        text = "sink %r: its places cannot be named, so nothing that a sink of its type left is emptied: %s"
        log.warning(text, name, type(error).__name__, exc_info=error)
        return None


def _checked(places: object) -> tuple[str, ...]:
    if not isinstance(places, tuple) or not all(isinstance(place, str) and place for place in places):
        raise PluginError(f"retains() returned {places!r}: it returns a tuple of texts")
    if len(places) > _MOST_PLACES or any(len(place) > _LONGEST_PLACE for place in places):
        raise PluginError(f"retains() returns at most {_MOST_PLACES} places of {_LONGEST_PLACE} characters")
    return places


def grouped(places: Iterable[RetainedPlace]) -> list[list[RetainedPlace]]:
    """Returns the places that one sink empties together: of one name, type and node, and with the same options."""
    groups: dict[tuple[str, ...], list[RetainedPlace]] = {}
    for place in places:
        groups.setdefault((place.sink, place.type, place.node, repr(place.options)), []).append(place)
    return list(groups.values())


def sink_to_empty(place: RetainedPlace, types: Mapping[str, type[Sink]], plan: SinkPlan, context: SinkContext) -> Sink:
    """Returns a sink that can empty this place; raises PluginError, and whatever the plugin raises."""
    sink = types.get(place.type)
    if sink is None:
        raise PluginError(f"no plugin offers a sink of type {place.type!r} any more: install it, or drop this place")
    configured = [one for other, options in plan.values() if other is sink for one in options.by_destination]
    return sink(options_to_empty(place, sink, configured), context)


def options_to_empty(place: RetainedPlace, sink: type[Sink], configured: Iterable[SinkOptions]) -> SinkOptions:
    """Returns the recorded options with the login of a configured sink of this type at the same server, if any.

    `configured` are the options of the configured sinks of this type. Another server gets no login of theirs. Raises
    ConfigurationError when the options are not valid (any more).
    """
    values = place.options
    for options in configured:
        if _servers(options.model_dump(mode="json")) & _servers(values):
            values = _with_login(values, options)
            break
    try:
        return sink.Options.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise ConfigurationError(f"its recorded options are not valid any more: {first_mistake(error)}") from None


def first_mistake(error: ValidationError) -> str:
    """Returns the first mistake, without the value that was given."""
    [first, *_] = error.errors(include_url=False, include_input=False, include_context=False)
    return f"{'.'.join(map(str, first['loc'])) or 'options'}: {first['msg']}"


def _with_login(values: Mapping[str, Any], donor: BaseModel) -> dict[str, Any]:
    dumped = donor.model_dump(mode="json", by_alias=True)
    aliases = {name: info.alias or name for name, info in type(donor).model_fields.items()}
    merged = {name: value for name, value in values.items() if not _is_login(name)}
    for name, value in dict(donor).items():
        key = aliases.get(name, name)
        if _is_login(name):
            merged[key] = _revealed(value, dumped.get(key))
        elif name == "url" and _but_user(str(value)) == _but_user(str(values.get(key))):
            merged[key] = dumped[key]  # with the user's name in it
    return {name: value for name, value in merged.items() if value is not None}


def _is_login(name: str) -> bool:
    return name in _LOGIN or name.endswith("_file") or is_secret_name(name)


def _revealed(value: object, dumped: Any) -> Any:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case SecretBytes():
            return value.get_secret_value().decode(errors="replace")
        case _:
            return dumped


def _servers(values: Mapping[str, Any]) -> set[tuple[str, str, int | None]]:
    """Returns scheme, host and port of the options `url`, `urls` and `servers`."""
    urls = [values.get("url"), *(values.get("urls") or ()), *(values.get("servers") or ())]
    parts = [split_url(url) for url in urls if isinstance(url, str)]
    return {(url.scheme, url.hostname or "", url.port) for url in parts if url}


def _but_user(url: str) -> str:
    parts = split_url(url)
    return url if parts is None else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
