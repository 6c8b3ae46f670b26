"""What the environment says of the configuration: PUBLISHER_... variables, tables with two underscores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource

from ..errors import ConfigurationError
from .errors import nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ENVIRONMENT_PREFIX = "PUBLISHER_"


def read_environment(model: type[BaseSettings], environment: Mapping[str, str], sinks: object) -> dict[str, Any]:
    """The PUBLISHER_... variables, nested as in the file, whose `sinks` are given; raises ConfigurationError."""
    for name in environment:
        _check_variable(model, name)
    given = _Environment(model, environment)()
    if patterns := given.get("filter"):
        given["filter"] = {key: _listed(value) for key, value in patterns.items()}
    if tables := given.get("sinks"):
        # Names of variables have no case and no "-": a sink of the file is meant whatever its name's case.
        known = {name.lower().replace("-", "_"): name for name in sinks} if isinstance(sinks, dict) else {}
        given["sinks"] = {known.get(name, name): _decoded(table) for name, table in tables.items()}
    return given


def _check_variable(model: type[BaseSettings], name: str) -> None:
    """Raise ConfigurationError for a variable that is meant for us and sets nothing."""
    key, *rest = name.lower().removeprefix(ENVIRONMENT_PREFIX.lower()).split("__")
    if key == name.lower():
        return
    if key not in model.model_fields:
        hint = nearest(key, model.model_fields)
        # A container's links set names such as PUBLISHER_PORT_1883_TCP: those are nobody's mistake.
        if hint or rest:
            raise ConfigurationError(f"environment variable {name}: there is no setting {key!r}{hint}")
    elif not rest and isinstance(model.model_fields[key].default, (BaseModel, dict)):
        raise ConfigurationError(
            f"environment variable {name}: {key} is a table: set {name}__<KEY> for each of its keys"
        )


def _listed(value: Any) -> Any:
    """A list out of a variable: JSON, or items with commas between them."""
    decoded = _decoded(value)
    return [item.strip() for item in decoded.split(",") if item.strip()] if isinstance(decoded, str) else decoded


def _decoded(value: Any) -> Any:
    """What a variable says: arrays and tables are JSON, the rest is text for the settings' types to read."""
    if isinstance(value, dict):
        return {key: _decoded(inner) for key, inner in value.items()}
    try:
        return json.loads(value) if value.startswith(("[", "{")) else value
    except ValueError:
        return value


class _Environment(EnvSettingsSource):
    """PUBLISHER_... variables out of a mapping instead of the process's own."""

    def __init__(self, model: type[BaseSettings], environment: Mapping[str, str]) -> None:
        self._environment = {name.lower(): value for name, value in environment.items()}
        super().__init__(model)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._environment

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002  # its signature
        """As it is: what looks like JSON may be a password, and an error here would not name the variable."""
        return value
