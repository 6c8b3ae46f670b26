"""The options of a `web` sink."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from publisher import SinkOptions
from publisher.credentials import read_secret

from .http.addresses import ListenAddress, is_host

DEFAULT_ADDRESS = "127.0.0.1:8780"
_NEEDS_TOKEN = (
    "everybody who reaches {address} could read this page: set token_file (or token), "
    'or keep it on this host with address = "127.0.0.1:{port}"'
)


def _valid_address(text: str) -> str:
    ListenAddress.of(text)
    return text


class WebOptions(SinkOptions):
    """The address of the page, and who may read it."""

    # A refused value may be the token: the error names what was expected, not what was given.
    model_config = ConfigDict(hide_input_in_errors=True)

    address: Annotated[str, AfterValidator(_valid_address)] = Field(
        default=DEFAULT_ADDRESS,
        description='the address, as "host:port" or "[IPv6]:port"; 0.0.0.0 and [::] are every address, and port 0 is '
        "a free one",
    )
    token: SecretStr | None = Field(
        default=None, description="the secret that readers give; needed for an address that other hosts reach"
    )
    token_file: Path | None = Field(default=None, description="the file whose first line is that secret")
    hosts: tuple[str, ...] = Field(
        default=(), description="further names by which browsers may ask for the page, like those of a proxy"
    )
    cert_file: Path | None = Field(default=None, description="PEM; the certificate and its chain, for https")
    key_file: Path | None = Field(default=None, description="PEM; its key, when that is not in cert_file")

    @property
    def listen(self) -> ListenAddress:
        """The address, split."""
        return ListenAddress.of(self.address)

    @property
    def url(self) -> str:
        """The URL of the page."""
        return self.listen.url(secure=self.cert_file is not None)

    @property
    def destination(self) -> str:
        """The URL of the page."""
        return self.url

    @property
    def exclusive(self) -> str:
        """The address: one socket can listen there."""
        return f"listens on {self.address}" if self.listen.port else ""

    def read_token(self) -> str | None:
        """Returns the token, `None` when none is needed; raises ConfigurationError."""
        if self.token_file is not None:
            return _fit_token(read_secret(self.token_file, "token_file"), f"token_file {self.token_file}")
        return None if self.token is None else self.token.get_secret_value()

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError(_NO_TOKEN)
        return token

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not is_host(host):
                raise ValueError(f'expected names of hosts, without a port, like "nas.home.lan", not {host!r}')
        return tuple(host.lower() for host in hosts)

    @model_validator(mode="after")
    def _check_together(self) -> WebOptions:
        if self.token is not None and self.token_file is not None:
            raise ValueError("expected token or token_file, not both")
        if self.key_file and not self.cert_file:
            raise ValueError("expected cert_file beside key_file")
        if not self.listen.is_loopback and self.token is None and self.token_file is None:
            raise ValueError(_NEEDS_TOKEN.format(address=self.address, port=self.listen.port))
        self._check_selection()
        return self

    def _check_selection(self) -> None:
        """Refuses what would leave old rows on the page."""
        chosen: dict[str, Any] = {"only.kinds": self.only.kinds, "only.causes": self.only.causes}
        for name in [*(key for key, value in chosen.items() if value), *([] if self.snapshot else ["snapshot"])]:
            raise ValueError(
                f"{name}: the page shows each row as it is, and would be out of date: leave it out, and choose rows by "
                "only.interfaces and only.families"
            )


_TOKEN = re.compile(r"[!-~]+")
_NO_TOKEN = "expected a token of printable ASCII without spaces"


def _fit_token(token: str, where: str) -> str:
    from publisher import ConfigurationError

    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(f"{where}: {_NO_TOKEN}")
    return token
