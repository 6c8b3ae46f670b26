"""The options of an `mqtt` sink."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from publisher import SinkOptions

from .homeassistant.discovery import HomeAssistantOptions

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
# MQTT 5, 4.7.1, without those that begin with a wildcard: they would match the topics of every other program.
_BASE = re.compile(r"[^+#\x00/$][^+#\x00/]*(/[^+#\x00/]+)*")
_FILTER = re.compile(r"(?=.{1,1024}$)[^+#/\x00$][^+#/\x00]*(/(\+|[^+#/\x00]*))*(/#)?", re.DOTALL)
Seconds = Annotated[float, Field(ge=0.5, le=300)]
Format = Literal["json", "cloudevents", "cloudevents_binary"]
# TOML has `protocol = 5` and `protocol = "5"`; both mean the same.
Protocol = Annotated[
    Literal["auto", "5", "3.1.1"],
    BeforeValidator(lambda value: str(value) if value in (5, 5.0) else value),
]


class Server(NamedTuple):
    """The address of the broker, taken from the URL."""

    host: str
    port: int
    tls: bool
    websockets: bool
    path: str
    username: str | None

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def place(self) -> str:
        """The broker as a part of the name of a place: equal for equal brokers."""
        scheme = {(False, False): "mqtt", (True, False): "mqtts", (False, True): "ws", (True, True): "wss"}
        path = self.path if self.websockets else ""
        return f"{scheme[self.tls, self.websockets]}://{self.name.lower().removesuffix('.')}{path}"


def parse_url(url: str) -> Server:
    """Returns the parts of an MQTT URL; raises ValueError with what was expected."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("expected mqtt://, mqtts://, ws:// or wss://, like mqtts://user@broker.lan:8883")
    if parts.password is not None:
        raise ValueError("expected a URL without a password, since logs show it: use password_file or the environment")
    if not parts.hostname:
        raise ValueError("expected a URL with a host, like mqtts://user@broker.lan:8883")
    websockets = parts.scheme in ("ws", "wss")
    if (parts.path not in ("", "/") and not websockets) or parts.query or parts.fragment:
        raise ValueError("expected a path with ws:// and wss:// only, and no query: the option base sets the topics")
    return Server(
        host=parts.hostname,
        port=_port(parts, _DEFAULT_PORTS[parts.scheme]),
        tls=parts.scheme in ("mqtts", "wss"),
        websockets=websockets,
        path=parts.path if parts.path not in ("", "/") else "/mqtt",
        username=None if parts.username is None else unquote(parts.username),
    )


def _port(parts: SplitResult, default: int) -> int:
    try:
        given = parts.port
    except ValueError:  # no number, or too large
        given = 0
    if given == 0:
        raise ValueError("expected a port from 1 to 65535, like mqtts://user@broker.lan:8883")
    return default if given is None else given


class ReplayOptions(BaseModel):
    """The limits of `replay/get`; a request over a limit gets no answer, and a line in the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="Requests are answered")
    requests_per_second: float = Field(
        default=5.0, gt=0, le=1000, description="The requests that are answered in a second, in the long run"
    )
    burst: int = Field(default=20, ge=1, le=1000, description="The requests that are answered at once")
    max_request_bytes: int = Field(default=4096, ge=64, le=1 << 20, description="The size of a request, in bytes")
    # The worker's own limit for the events that it holds in memory at once.
    max_events: int = Field(
        default=4096, ge=1, le=4096, description="The events of an answer; a longer tail is answered by the snapshot"
    )


class MqttOptions(SinkOptions):
    """The broker, the login and the format of an `mqtt` sink."""

    # An error must not repeat a password that stands in the URL.
    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["mqtt"] = "mqtt"
    url: str | None = Field(
        default=None,
        description="The broker: mqtt://, mqtts://, ws:// or wss://, with user name, host and port; never a password",
    )
    urls: tuple[str, ...] = Field(
        default=(),
        max_length=10,
        description="In place of url: several, tried in this order at each connection; the first that accepts is used",
    )
    username: str | None = Field(default=None, description="The user name, if it is not in the URL")
    password: SecretStr | None = Field(
        default=None, description="The password, meant for the environment; in a file use password_file"
    )
    password_file: Path | None = Field(default=None, description="The file whose first line is the password")
    ca_file: Path | None = Field(default=None, description="PEM; the authorities to trust instead of the system's")
    cert_file: Path | None = Field(default=None, description="PEM; the client certificate and its chain")
    key_file: Path | None = Field(default=None, description="PEM; its key, when that is not in cert_file")
    insecure: bool = Field(default=False, description="Do not verify the broker's certificate; warned of at each start")
    protocol: Protocol = Field(
        default="auto", description="MQTT 5, or 3.1.1 when the broker does not speak 5; or one of them alone"
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=65535,
        pattern=r"^[^\x00]*$",
        description="The name of the connection at the broker; by default made of the node and the sink",
    )
    base: str = Field(
        default="interfaces",
        max_length=200,
        description="The first level of the topics, or several",
    )
    keepalive: int = Field(
        default=30,
        ge=5,
        le=65535,
        description="The time between two signs of life, in seconds; a frozen broker is noticed after about twice that",
    )
    connect_timeout: Seconds = Field(default=10.0, description="Seconds to connect, until the broker has accepted")
    timeout: Seconds = Field(default=10.0, description="Seconds for each answer of the broker after that")
    format: Format = Field(
        default="json", description="The form of events: as they are, or as CloudEvents (cloudevents_binary: MQTT 5)"
    )
    message_expiry: int | None = Field(
        default=None,
        ge=1,
        le=0xFFFF_FFFF,
        description="The time after which the broker drops an event, in seconds (MQTT 5); never by default",
    )
    replay: ReplayOptions = ReplayOptions()
    replay_topics: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="Topic filters (`answers/#`) that a request's response topic (MQTT 5) may match; "
        "always allowed is `replay/<client>` of the node itself",
    )
    volatile: bool = Field(
        default=False, description="The broker is there for this run alone: nothing has to be emptied on it afterwards"
    )
    home_assistant: HomeAssistantOptions = Field(
        default=HomeAssistantOptions(), description="The devices of Home Assistant: `false` for none, or a table"
    )

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url

    @field_validator("urls")
    @classmethod
    def _are_mqtt(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        places = [parse_url(url).place for url in urls]
        if twice := sorted({place for place in places if places.count(place) > 1}):
            raise ValueError(f"expected each broker once: {', '.join(twice)}")
        return urls

    @field_validator("replay_topics")
    @classmethod
    def _are_filters(cls, filters: tuple[str, ...]) -> tuple[str, ...]:
        for one in filters:
            if not _FILTER.fullmatch(one):
                raise ValueError(f"expected topic filters that begin with a name, like answers/#, not {one[:100]!r}")
        return filters

    @field_validator("home_assistant", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        """Takes `home_assistant = false` as off, and `true` as on with its defaults."""
        if isinstance(value, str) and value.lower() not in ("true", "false"):  # of the environment
            raise ValueError("should be true, false, or a table")
        return {"enabled": value} if isinstance(value, bool | str) else value

    @field_validator("base")
    @classmethod
    def _is_topic(cls, base: str) -> str:
        if not _BASE.fullmatch(base):
            raise ValueError("expected a topic without + and #, and without $ or / at its beginning, like interfaces")
        return base

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if bool(self.urls) == (self.url is not None):
            raise ValueError("expected url, or urls for several brokers" + (", not both" if self.urls else ""))
        if self.password is not None and self.password_file is not None:
            raise ValueError("expected password or password_file, not both")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("expected cert_file beside key_file")
        servers = [one.server for one in self.by_destination]
        if self.username is not None and any(server.username is not None for server in servers):
            raise ValueError("expected the user name in url or as username, not both")
        if not any(server.tls for server in servers) and (self.ca_file or self.cert_file or self.insecure):
            raise ValueError("expected a URL with mqtts:// or wss:// beside ca_file, cert_file and insecure")
        if self.protocol == "3.1.1" and (self.format == "cloudevents_binary" or self.message_expiry is not None):
            raise ValueError('expected protocol = "5" with cloudevents_binary and message_expiry')
        return self

    @property
    def protocols(self) -> tuple[Literal["5", "3.1.1"], ...]:
        """The versions of MQTT to try, in this order."""
        if self.protocol != "auto":
            return (self.protocol,)
        needs_five = self.format == "cloudevents_binary" or self.message_expiry is not None
        return ("5",) if needs_five else ("5", "3.1.1")

    @property
    def by_destination(self) -> tuple[Self, ...]:
        """The options of each broker, in the order in which they are tried: with one `url`, and no `urls`."""
        return tuple(self.model_copy(update={"url": url, "urls": ()}) for url in self.urls) or (self,)

    @property
    def server(self) -> Server:
        """The parts of the URL, of several of the first one."""
        return parse_url(self.url or self.urls[0])

    @property
    def user(self) -> str | None:
        """The user name, from `username` or the URL."""
        return self.username if self.username is not None else self.server.username

    @property
    def destination(self) -> str:
        """The broker and the base, without the user; of several brokers the first: the others stand in for it."""
        server = self.server
        return f"mqtt://{server.name}/{self.base}"
