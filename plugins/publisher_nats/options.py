"""The options of a `nats` sink."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from publisher import ConfigurationError, SinkOptions
from publisher.durations import Duration
from publisher.terminal import printable

if TYPE_CHECKING:
    from publisher import ForgetRequest, SubscribeRequest

_PORT = 4222
Seconds = Annotated[float, Field(ge=0.5, le=300)]


def _is_moderate(lease: timedelta) -> timedelta:
    if not timedelta(seconds=2) <= lease <= timedelta(hours=1):
        raise ValueError('expected a time from "2s" to "1h"')
    return lease


class NatsServerAddress(NamedTuple):
    """The address of a server, taken from its URL."""

    host: str
    port: int
    tls: bool
    username: str | None

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without a user."""
        return f"{'tls' if self.tls else 'nats'}://{self.name}"


def parse_server(url: str) -> NatsServerAddress:
    """Returns the parts of a server's URL; raises ValueError with what was expected."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("expected a URL with a host, and a port from 1 to 65535 if any") from None
    if parts.scheme not in ("nats", "tls"):
        raise ValueError("expected nats:// or tls://, like tls://nats1.example.net:4222")
    if parts.password is not None:
        raise ValueError("expected a URL without a password, since logs show it: use password_file or the environment")
    if not parts.hostname or port == 0 or any(letter.isspace() for letter in parts.netloc):
        raise ValueError("expected a URL with a host, and a port from 1 to 65535 if any")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("expected a URL without a path: the option bucket names the bucket")
    user = None if parts.username is None else unquote(parts.username)
    return NatsServerAddress(parts.hostname, _PORT if port is None else port, parts.scheme == "tls", user)


class NatsOptions(SinkOptions):
    """The servers, the login and the bucket of a `nats` sink."""

    # An error must not repeat a password that stands in the URL.
    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["nats"] = "nats"
    servers: tuple[str, ...] = Field(
        min_length=1,
        max_length=50,
        description="One URL, or a list: nats:// or tls://, with user name, host and port (4222); never a password. "
        "All are servers of one cluster, tried in a random order",
    )
    username: str | None = Field(default=None, description="The user name, if it is not in a URL")
    password: SecretStr | None = Field(
        default=None, description="The password, meant for the environment; in a file use password_file"
    )
    password_file: Path | None = Field(default=None, description="The file whose first line is the password")
    token: SecretStr | None = Field(
        default=None, description="A token, meant for the environment; in a file use token_file"
    )
    token_file: Path | None = Field(default=None, description="The file whose first line is a token")
    credentials_file: Path | None = Field(default=None, description="The .creds file of a user, with JWT and seed")
    nkey_file: Path | None = Field(default=None, description="The file whose first line is the seed of an nkey")
    ca_file: Path | None = Field(default=None, description="PEM; the authorities to trust instead of the system's")
    cert_file: Path | None = Field(default=None, description="PEM; the client certificate and its chain")
    key_file: Path | None = Field(default=None, description="PEM; its key, when that is not in cert_file")
    insecure: bool = Field(
        default=False, description="Do not verify the servers' certificates; warned of at each start"
    )
    connect_timeout: Seconds = Field(default=5.0, description="Seconds to connect to one server")
    timeout: Seconds = Field(default=10.0, description="Seconds for each answer of a server after that")
    bucket: str = Field(
        default="interfaces",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=100,
        description="The key-value bucket; made when it is missing. The nodes' status is in `<bucket>_status`",
    )
    replicas: Literal[1, 3, 5] | None = Field(
        default=None, description="Copies of a bucket that is made; 3 in a cluster, and 1 on a server alone"
    )
    history: int = Field(
        default=64, ge=1, le=64, description="Values that a bucket that is made keeps of each interface: its past"
    )
    lease: Annotated[Duration, AfterValidator(_is_moderate)] = Field(
        default=timedelta(seconds=30), description="A node that wrote nothing for so long is lost for all who look"
    )
    domain: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The JetStream domain that has the bucket, where the server is a leaf node of it",
    )

    @field_validator("servers", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("servers")
    @classmethod
    def _are_servers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        names = [parse_server(url).name for url in servers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each server once: {', '.join(twice)}")
        return servers

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for name in ("password", "token"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"expected {name} or {name}_file, not both")
        addresses = self.addresses
        if len({address.tls for address in addresses}) > 1:
            raise ValueError("expected tls:// for each server, or for none")
        users = {address.username for address in addresses if address.username is not None}
        if len(users) + (self.username is not None) > 1:
            raise ValueError("expected one user name, in the URLs or as username")
        logins = {
            "user and password": bool(users) or self.username is not None or self._has("password"),
            "token": self._has("token"),
            "credentials_file": self.credentials_file is not None,
            "nkey_file": self.nkey_file is not None,
        }
        if len(given := [name for name, is_given in logins.items() if is_given]) > 1:
            raise ValueError(f"expected one way to log in, not {' and '.join(given)}")
        if self._has("password") and self.user is None:
            raise ValueError("expected username beside the password")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("expected cert_file beside key_file")
        if not addresses[0].tls and (self.ca_file or self.cert_file or self.insecure):
            raise ValueError("expected servers with tls:// beside ca_file, cert_file and insecure")
        return self

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None or getattr(self, f"{name}_file") is not None

    @property
    def addresses(self) -> tuple[NatsServerAddress, ...]:
        """The parts of the URLs."""
        return tuple(parse_server(url) for url in self.servers)

    @property
    def user(self) -> str | None:
        """The user name, from `username` or a URL."""
        named = (address.username for address in self.addresses if address.username is not None)
        return self.username if self.username is not None else next(named, None)

    @property
    def place(self) -> str:
        """The bucket, wherever it is reached: one name for all servers of a cluster, and no secret."""
        names = sorted(address.name.lower().removesuffix(".") for address in self.addresses)
        return f"nats://{','.join(names)}/{f'{self.domain}/' if self.domain else ''}{self.bucket}"

    @property
    def destination(self) -> str:
        """The servers and the bucket, without the user; in any order of the servers."""
        return self.place

    @property
    def exclusive(self) -> str:
        """The bucket: two sinks of one node would refuse each other."""
        return self.place


def options_for(request: ForgetRequest | SubscribeRequest) -> NatsOptions:
    """Returns the options for a URL with one server, or several behind commas, and `?domain=` behind them.

    Raises ValidationError, or ConfigurationError for anything else behind the servers.
    """
    scheme, _, rest = request.url.partition("://")
    servers, question, query = rest.partition("?")
    options: dict[str, Any] = {
        "servers": [f"{scheme.lower()}://{server}" for server in servers.rstrip("/").split(",")],
        "domain": _domain(query) if question else None,
        "bucket": request.base,
        "password_file": request.password_file,
        "token_file": request.token_file,
        "credentials_file": request.credentials_file,
        "ca_file": request.ca_file,
    }
    return NatsOptions.model_validate({name: value for name, value in options.items() if value is not None})


def _domain(query: str) -> str:
    """Returns the JetStream domain that a URL names behind its question mark."""
    match parse_qsl(query, keep_blank_values=True):
        case [("domain", domain)]:
            return domain
    raise ConfigurationError(f"expected nothing but ?domain=NAME behind the servers, and not {printable(query)!r}")
