"""The options of a `webhook` sink."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from publisher import SinkOptions
from publisher.durations import Duration

from .addresses import is_address, is_private
from .formats import Format
from .signature import parse_secret

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_OURS = re.compile(r"host|user-agent|content-.*|transfer-encoding|connection|webhook-.*|ce-.*", re.IGNORECASE)
Seconds = Annotated[float, Field(gt=0, le=300)]


class WebhookOptions(SinkOptions):
    """The URL, how events are written, and how requests are secured."""

    # A refused value may be a secret: the error names what was expected, not what was given.
    model_config = ConfigDict(hide_input_in_errors=True)

    # Many receivers (Slack, Home Assistant) have their secret in the path: it is in no repr and in no log line.
    url: str = Field(
        repr=False,
        description="the receiver, http or https; no log shows its path, since many receivers have their secret there",
    )
    format: Format = Field(
        default="structured",
        description="structured: a CloudEvent as JSON, of the type application/cloudevents+json; binary: the event's "
        "own JSON, with the CloudEvent's attributes in headers; plain: the event's own JSON; text: a line for people, "
        "one for both families of a change, for ntfy and the like. Express, n8n and Node-RED read only "
        "application/json by themselves: binary and plain",
    )
    batch: bool = Field(default=False, description="send up to 100 events in one request, as a CloudEvents JSON batch")
    secret: SecretStr | None = Field(default=None, description="signs requests; whsec_ and base64 of 24 to 64 bytes")
    secret_file: Path | None = Field(default=None, description="the file whose first line is the secret")
    previous_secret: SecretStr | None = Field(
        default=None, description="signs requests as well, while receivers change to the new secret"
    )
    previous_secret_file: Path | None = Field(
        default=None, description="the file whose first line is the previous secret"
    )
    headers: dict[str, SecretStr] = Field(
        default={}, description="additional headers of each request; the values are masked in logs"
    )
    token_file: Path | None = Field(default=None, description="the file whose first line is a bearer token")
    ca_file: Path | None = Field(default=None, description="PEM; the authorities to trust instead of the system's")
    cert_file: Path | None = Field(default=None, description="PEM; the client certificate and its chain")
    key_file: Path | None = Field(default=None, description="PEM; its key, when that is not in cert_file")
    proxy_from_environment: bool = Field(
        default=False, description="use the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name"
    )
    allow_plain_http: bool = Field(default=False, description="send unencrypted to public addresses, too")
    retry_refusals: Annotated[Duration, Field(ge=timedelta(0), le=timedelta(days=30))] = Field(
        default=timedelta(hours=1),
        description="how long redirects and the statuses 401, 402, 403, 404, 405, 407, 421 and 426, which are about "
        'the receiver and not about an event, are tried again before events become dead letters, like "15m" or "1h"',
    )
    connect_timeout: Seconds = Field(default=5.0, description="seconds to connect")
    timeout: Seconds = Field(default=15.0, description="seconds for one whole request")

    @property
    def destination(self) -> str:
        """The origin, and a digest that changes with any other part of the URL, since that may be a secret."""
        return f"{self.origin}#{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part of the URL that may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @model_validator(mode="before")
    @classmethod
    def _leave_snapshots_out(cls, given: Any) -> Any:
        """Makes `snapshot = false` the default of lines for people: a phone is not to get every interface at start."""
        if isinstance(given, dict) and given.get("format") == "text":
            return {"snapshot": False} | given
        return given

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected a URL like https://example.net/hook")
        if "@" in parts.netloc:
            raise ValueError("expected a URL without user and password: use headers or token_file for them")
        if parts.fragment or not re.fullmatch(r"[!-~]+", url):
            raise ValueError("expected a URL in printable ASCII without a fragment: percent-encode the rest")
        return url

    @field_validator("secret", "previous_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        """Refuses a secret that cannot sign; one in a file is read when the sink opens."""
        if secret is not None:
            parse_secret(secret.get_secret_value())
        return secret

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or _OURS.fullmatch(name):
                raise ValueError(f"expected names of headers that the webhook does not set itself, not {name!r}")
            if not re.fullmatch(r"[ -~]*", value.get_secret_value()):
                raise ValueError(f"expected printable ASCII as the value of {name!r}")
        return headers

    @model_validator(mode="after")
    def _check_together(self) -> WebhookOptions:
        for name in ("secret", "previous_secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"expected {name} or {name}_file, not both")
        if self._has("previous_secret") and not self._has("secret"):
            raise ValueError("expected secret or secret_file beside the previous one")
        if self.batch and self.format != "structured":
            raise ValueError('expected format = "structured" with batch: CloudEvents has no other batch')
        if self.token_file and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("expected token_file or a header Authorization, not both")
        if self.key_file and not self.cert_file:
            raise ValueError("expected cert_file beside key_file")
        self._check_plain_http()
        return self

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None or getattr(self, f"{name}_file") is not None

    def _check_plain_http(self) -> None:
        """Refuses a public address; of a host name the address is known only when connected."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http" and not self.allow_plain_http and is_address(host) and not is_private(host):
            raise ValueError(f"url: {PLAIN_HTTP}")


PLAIN_HTTP = (
    "expected https://, since plain http:// to a public address can be read and changed on its way; "
    "set allow_plain_http = true to accept that"
)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises when it is no port
    except ValueError:
        raise ValueError("expected a URL with a host, and a port from 0 to 65535 if any") from None
    return parts
