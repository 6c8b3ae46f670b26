"""The PUBLISHER_... variables of the environment, as a part of the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .errors import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

_PREFIX = "publisher_"


def read_environment(model: type[BaseModel], environment: Mapping[str, str], sinks: object) -> dict[str, Any]:
    """Returns the PUBLISHER_... variables, nested like the file: PUBLISHER_JOURNAL__PATH sets `path` of `[journal]`.

    `sinks` is the file's table of sinks, whose names the variables are matched with. Values stay text, for the
    models to convert, except JSON arrays and objects. Raises ConfigurationError for an unknown variable.
    """
    # Names of variables have neither case nor "-": PUBLISHER_SINKS__HO_ME__URL means the file's [sinks.Ho-me].
    known = {name.lower().replace("-", "_"): name for name in sinks} if isinstance(sinks, dict) else {}
    given: dict[str, Any] = {}
    for name, value in environment.items():
        if name.lower().startswith(_PREFIX) and (keys := _keys(model, name)):
            if keys[0] == "sinks":
                keys[1] = known.get(keys[1], keys[1])
            _put(given, keys, _listed(value) if _is_list(keys) else _decoded(value), name)
    return given


def _is_list(keys: list[str]) -> bool:
    """Returns whether a setting is a list: those of `filter`, and of the filter `only` of a sink."""
    return keys[0] == "filter" or (keys[0] == "sinks" and keys[2:3] == ["only"] and len(keys) == 4)


def _keys(model: type[BaseModel], name: str) -> list[str]:
    """Returns the path to the setting that a variable sets, or an empty list for a variable that is not ours."""
    keys = name.lower().removeprefix(_PREFIX).split("__")
    if keys[0] not in model.model_fields:
        hint = nearest(keys[0], model.model_fields)
        # Container links set names such as PUBLISHER_PORT_1883_TCP, which are not mistakes of the user.
        if not hint and len(keys) == 1:
            return []
        raise ConfigurationError(f"environment variable {name}: unknown setting {keys[0]!r}{hint}")
    if len(keys) == 1 and not isinstance(model.model_fields[keys[0]].default, (str, int, float)):
        raise ConfigurationError(
            f"environment variable {name}: {keys[0]} is a table: set {name}__<KEY> for each of its keys"
        )
    return keys


def _put(table: dict[str, Any], keys: list[str], value: object, name: str) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigurationError(f"environment variable {name}: another variable sets {key} itself; remove one")
    if isinstance(table.get(keys[-1]), dict):
        raise ConfigurationError(f"environment variable {name}: other variables set keys of {keys[-1]}; remove one")
    table[keys[-1]] = value


def _listed(value: str) -> object:
    """Returns a list from a JSON array or from items with commas between them."""
    decoded = _decoded(value)
    return [item.strip() for item in decoded.split(",") if item.strip()] if isinstance(decoded, str) else decoded


def _decoded(value: str) -> object:
    """Returns JSON arrays and objects decoded, other text as it is: a password may look like broken JSON."""
    try:
        return json.loads(value) if value.startswith(("[", "{")) else value
    except ValueError:
        return value
