"""Settings: one TOML file, overridden by PUBLISHER_... variables, validated before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from ..errors import ConfigurationError, PluginError
from ..nodes import node_from
from ..plugins.calling import LoadStep, called
from ..sink import Sink, SinkOptions
from ..watcher import InterfaceFilter
from .environment import read_environment
from .errors import Origin, parsed_toml, problems, read_text

if TYPE_CHECKING:
    from ..plugins import Plugins
    from .locations import Locations

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]


def default_sinks() -> dict[str, dict[str, Any]]:
    """Returns the sinks that are used when none is configured."""
    return {"terminal": {"type": "terminal"}}


def valid_node(name: str) -> str:
    """Returns the name if it can be a level of an MQTT topic; raises ValueError."""
    if not name:
        raise ValueError("must not be empty")
    if wrong := sorted({character for character in name if not _fits_a_topic_level(character)}):
        raise ValueError(f"must not contain {', '.join(map(ascii, wrong))}: it is a level of MQTT topics")
    if len(name.encode()) > 255:
        raise ValueError("must be at most 255 bytes long")
    return name


def _fits_a_topic_level(character: str) -> bool:
    """Returns whether MQTT allows the character in a level: MQTT 5, 1.5.4 and 4.7."""
    return character not in "+#/" and (character.isprintable() or character == " ")


def valid_address(address: str) -> str:
    """Returns the address if it is `host:port` or `[IPv6]:port`; raises ValueError."""
    split_address(address)
    return address


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port` or `[IPv6]:port`; raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError('must be an address and a port, such as "127.0.0.1:9464" or "[::1]:9464"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def valid_file(path: Path) -> Path:
    """Returns the path of a file, with `~` replaced by the user's directory; raises ValueError."""
    if path.name in ("", "..") or "\0" in str(path):
        raise ValueError("must be the path of a file")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"begins with {path.parts[0]}, and no such user's directory is known: name it") from None


class _Section(BaseModel):
    """A table of the file, in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JournalSettings(_Section):
    """The durable log of events. Without a path it is in the state directory of the user or of the service."""

    path: Annotated[Path, AfterValidator(valid_file)] = Field(
        default=Path("journal.sqlite3"),
        description="The file; by default journal.sqlite3 in the state directory of the user or of the service",
    )
    max_events: Annotated[int, Field(ge=1)] = Field(
        default=100_000, description="The number of events that it keeps, as far as max_bytes allows"
    )
    max_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        default=64 << 20, description="What it takes on the disk with its log, in bytes (64 MiB)"
    )
    synchronous: Literal["normal", "full"] = Field(
        default="normal", description="full also survives a power cut, and waits for the disk at each write"
    )


class LogSettings(_Section):
    """The log on standard error; `auto` is readable lines on a terminal and JSON elsewhere."""

    level: LogLevel = Field(default="info", description="The least important lines that are logged")
    format: LogFormat = Field(
        default="auto", description="auto is readable lines (console) on a terminal, and JSON elsewhere"
    )


class MetricsSettings(_Section):
    """Metrics for Prometheus, served on this address and port when one is given."""

    address: Annotated[str, AfterValidator(valid_address)] | None = Field(
        default=None, description="Host and port of the metrics for Prometheus; none are served without it"
    )


SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Settings(_Section):
    """The whole configuration. The sinks' own options are checked by `sink_options`."""

    node: Annotated[str, AfterValidator(valid_node)] = Field(
        default="localhost",
        description="This host's name in events and topics; by default the host's own, with - in place of what is no "
        "letter, digit, _ or -, as nas-home-lan of nas.home.lan",
    )
    source: str = Field(
        default="auto",
        min_length=1,
        description="The source of IP interfaces: auto (the system's own), linux, windows, recording:FILE, or a "
        "plugin's",
    )
    filter: InterfaceFilter = InterfaceFilter()
    journal: JournalSettings = JournalSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    reconcile_seconds: float = Field(
        default=60.0,
        ge=1,
        description="The time after which everything is read again, in seconds: for settings that change without a "
        "notification",
    )
    receive_buffer: int = Field(
        default=32 << 20,
        ge=4096,
        description="The kernel's receive buffer for notifications that are not read yet, in bytes (32 MiB), as far as "
        "net.core.rmem_max allows; Linux",
    )
    sinks: dict[SinkName, dict[str, Any]] = Field(
        default={},
        description="A table for each sink, by a name of your choice: its type, and that type's options; by default a "
        "terminal",
    )

    _origin: Origin = PrivateAttr(default=Origin())
    _journals: tuple[Path, ...] = PrivateAttr(default=())

    @property
    def source_name(self) -> str:
        """The source's name: the part before the first colon."""
        return self.source.partition(":")[0]

    @property
    def source_argument(self) -> str:
        """The source's argument: the part after the first colon."""
        return self.source.partition(":")[2]

    @property
    def origin(self) -> Origin:
        """The file and the variables that the settings came from, for messages."""
        return self._origin

    @property
    def journals(self) -> tuple[Path, ...]:
        """The journals that a running service may hold, this process's own first.

        Only the configured one, if one is configured: a service of the system may run with another configuration.
        """
        return self._journals or (self.journal.path,)


def load_settings(path: Path | None, locations: Locations, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Loads the configuration from this file, or from the first one found; without one, the defaults.

    The environment takes precedence over the file, and `overrides` (nested like the file) over both. Raises
    ConfigurationError with one line for each mistake.
    """
    found = path or locations.find_config()
    text = read_text(found) if found else ""
    file = parsed_toml(found, text) if found else {}
    environment = read_environment(Settings, locations.environment, file.get("sinks"))
    origin = Origin(found, environment, text, locations.configs)
    defaults = {"node": node_from(locations.hostname), "journal": {"path": locations.journal}}
    merged = _merged(_merged(_merged(defaults, file), environment), overrides or {})
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise ConfigurationError("\n".join(problems(error, Settings, origin, top=Settings.model_fields))) from None
    settings._origin = origin
    if settings.journal.path == locations.journal:
        settings._journals = locations.journals
    return settings


def with_default_sinks(settings: Settings, found: Mapping[str, dict[str, Any]] | None = None) -> Settings:
    """Returns the settings; where they configure no sink, with the default sinks and those that a first run found."""
    if settings.sinks:
        return settings
    return settings.model_copy(update={"sinks": {**default_sinks(), **(found or {})}})


def sink_options(settings: Settings, plugins: Plugins) -> dict[str, tuple[type[Sink], SinkOptions]]:
    """Returns each sink's class and validated options; raises ConfigurationError with one line for each mistake."""
    checked: dict[str, tuple[type[Sink], SinkOptions]] = {}
    wrong: list[str] = []
    for name, table in settings.sinks.items():
        where = settings.origin.of(("sinks", name))
        kind = table.get("type")
        sink_class = plugins.sink(kind) if isinstance(kind, str) else None
        if sink_class is None:
            wrong.append(f"{where}: sink {name!r}: {_no_such_type(kind, plugins)}")
            continue
        options = {key: value for key, value in table.items() if key != "type"}
        try:
            checked[name] = (sink_class, _validated(name, sink_class, options))
        except ValidationError as error:
            wrong += problems(error, sink_class.Options, settings.origin, ("sinks", name), Settings.model_fields)
        except PluginError as error:
            wrong.append(f"{where}: {error}")
    wrong += _stale(settings, checked)
    wrong += _shared(settings, checked)
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return checked


def _stale(settings: Settings, sinks: Mapping[str, tuple[type[Sink], SinkOptions]]) -> Iterator[str]:
    """Yields a line for each option by which what a sink keeps for later readers would not be kept up to date."""
    for name, (sink, options) in sinks.items():
        if sink.retains is Sink.retains:
            continue
        unfit = {
            ("only", "kinds"): options.only.kinds,
            ("only", "causes"): options.only.causes,
            ("snapshot",): not options.snapshot,
        }
        for key in (key for key, is_given in unfit.items() if is_given):
            where = settings.origin.of(("sinks", name, *key))
            yield (
                f"{where}: sink {name!r}: {'.'.join(key)}: this sink keeps each row's state at its destination, which "
                "would then be out of date: leave it out, and choose rows by only.interfaces and only.families"
            )


def _shared(settings: Settings, sinks: Mapping[str, tuple[type[Sink], SinkOptions]]) -> Iterator[str]:
    """Yields a line for each sink that writes to what an earlier one has for itself."""
    owners: dict[str, str] = {}
    for name, (_, options) in sinks.items():
        owner = owners.setdefault(options.exclusive, name) if options.exclusive else name
        if owner != name:
            where = settings.origin.of(("sinks", name))
            there = f"{sinks[owner][1].destination} of sink {owner!r}"
            yield f"{where}: sink {name!r}: {options.destination} is {there}, too: give one of them another"


def _validated(name: str, sink: type[Sink], options: Mapping[str, Any]) -> SinkOptions:
    """Returns the options; raises ValidationError, and PluginError for whatever else a plugin's validator does."""

    def validate() -> SinkOptions | ValidationError:
        try:
            return sink.Options.model_validate(options)
        except ValidationError as error:
            return error

    found = called(f"sink {name!r}", LoadStep(f"sink {name!r}: its options cannot be validated"), validate)
    if isinstance(found, ValidationError):
        raise found
    return found


def _no_such_type(kind: object, plugins: Plugins) -> str:
    if isinstance(kind, str):
        return plugins.no_such_sink(kind)
    problem = "type: missing" if kind is None else "type: should be a string"
    return f"{problem}; there are: {', '.join(sorted(plugins.sinks)) or 'none'}"


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Returns both tables merged; a value of `upper` replaces one of `lower`."""
    both = dict(lower)
    for key, value in upper.items():
        below = both.get(key)
        both[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both
