"""The options of a `notify` sink."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from publisher import SinkOptions
from publisher.durations import Duration

from .services import AppriseService, load_services, require_apprise
from .template import Template

Seconds = Annotated[float, Field(gt=0, le=300)]


def _listed(value: Any) -> Any:
    """Returns the URLs of one text, which blanks separate: a variable of the environment is one."""
    return value.split() if isinstance(value, str) else value


def _template(text: str) -> str:
    Template(text)
    if any(not char.isprintable() and char not in "\n\t" for char in text):
        raise ValueError("expected no control characters but line feeds and tabs")
    return text


def _one_line(text: str) -> str:
    if not _template(text).isprintable():
        raise ValueError("expected one line")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError('expected some text, like "{text}"')
    return text


class NotifyOptions(SinkOptions):
    """The services that get a message, and the message."""

    # A refused value may be a secret: the error names what was expected, not what was given.
    model_config = ConfigDict(hide_input_in_errors=True)

    # A phone that gets every interface at each start is a phone whose owner turns this off.
    snapshot: bool = Field(default=False, description="send a message for each row of a snapshot, too")
    urls: Annotated[tuple[SecretStr, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description='URLs of Apprise, like ["ntfys://ntfy.example/topic"], each a secret; or one text with blanks '
        "between them, as in a variable of the environment",
    )
    urls_file: Path | None = Field(
        default=None,
        description="in place of urls: the file with the URLs, one a line, read again for each message; # begins a "
        "comment",
    )
    title: Annotated[str, Field(max_length=250), AfterValidator(_one_line)] = Field(
        default="{node}", description='the title, with names of the event\'s members in braces; "" for none'
    )
    text: Annotated[str, Field(max_length=10_000), AfterValidator(_template), AfterValidator(_not_blank)] = Field(
        default="{text}", description="the message, with names of the event's members in braces"
    )
    retry_refusals: Annotated[Duration, Field(ge=timedelta(0), le=timedelta(days=30))] = Field(
        default=timedelta(hours=1),
        description="how long a message is tried again that a service refuses (it answers with a status 3xx or 4xx) "
        'before it becomes a dead letter, like "15m" or "1h"; a service that cannot be reached is tried without an end',
    )
    connect_timeout: Seconds = Field(default=5.0, description="seconds to connect, unless a URL has its own cto=")
    timeout: Seconds = Field(default=15.0, description="seconds without an answer, unless a URL has its own rto=")

    @property
    def destination(self) -> str:
        """The same for all URLs: a message that waits for a wrong URL goes to the right one."""
        return "notify"

    @model_validator(mode="after")
    def _check(self) -> NotifyOptions:
        require_apprise()
        if bool(self.urls) == (self.urls_file is not None):
            raise ValueError('expected urls, like ["ntfys://ntfy.example/topic"], or urls_file, and not both')
        self.services(self.urls, "urls")
        return self

    def services(self, urls: tuple[SecretStr, ...], option: str) -> tuple[AppriseService, ...]:
        """Returns the services of an option's URLs; raises ValueError for the first one that Apprise cannot use."""
        names = (f"{option}[{number}]" for number in range(len(urls)))
        named = zip(names, (url.get_secret_value() for url in urls), strict=True)
        return load_services(named, connect_timeout=self.connect_timeout, timeout=self.timeout)
