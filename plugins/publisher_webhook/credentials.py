"""What a webhook must keep to itself: keys, headers, and the text that no log line, error or dead letter may show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from publisher import ConfigurationError

from .options import WebhookOptions
from .signature import parse_secret

# Shorter text (a path like "/in", a header "1") is no secret, and to hide it would garble every message.
_SHORTEST_SECRET = 6


@dataclass(frozen=True, repr=False)
class Credentials:
    """The keys to sign with, the newest first; the further headers; and the text to hide."""

    keys: tuple[bytes, ...]
    headers: dict[str, str]
    hidden: tuple[str, ...]

    def hide(self, text: str) -> str:
        """The text without anything secret: a receiver may well answer with what it was sent."""
        for secret in self.hidden:
            text = text.replace(secret, "***")
        return text


def load_credentials(options: WebhookOptions) -> Credentials:
    """Read the files that the options name; raises ConfigurationError for one that cannot be read or used."""
    secrets = _signing_secrets(options)
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    if options.token_file:
        headers["Authorization"] = f"Bearer {_read_token(options.token_file)}"
    hidden = _hidden([*secrets.values(), *_words(headers.values()), *_secret_parts(options.url)])
    keys = tuple(_key(origin, text) for origin, text in secrets.items())
    return Credentials(keys, headers, hidden)


def _signing_secrets(options: WebhookOptions) -> dict[str, str]:
    """The secrets as text, by where they come from, the current one first."""
    given = {
        "secret": options.secret,
        f"secret_file {options.secret_file}": options.secret_file,
        "previous_secret": options.previous_secret,
        f"previous_secret_file {options.previous_secret_file}": options.previous_secret_file,
    }
    return {
        origin: _read(origin, value) if isinstance(value, Path) else value.get_secret_value().strip()
        for origin, value in given.items()
        if value is not None
    }


def _key(origin: str, text: str) -> bytes:
    try:
        return parse_secret(text)
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}") from None


def _read_token(path: Path) -> str:
    origin = f"token_file {path}"
    token = _read(origin, path)
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(f"{origin}: expected one token in printable ASCII")
    return token


def _read(origin: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{origin}: cannot be read: {reason}") from None


def _words(values: Iterable[str]) -> Iterable[str]:
    """Each value, and each word of it: in `Bearer abc` the secret is `abc`."""
    return [text for value in values for text in (value, *value.split())]


def _secret_parts(url: str) -> list[str]:
    """A URL's path and query, and the parts of them that look like a token."""
    parts = urlsplit(url)
    return [parts.path, parts.query, *re.findall(r"[\w.~%+-]{12,}", f"{parts.path}?{parts.query}")]


def _hidden(texts: Iterable[str]) -> tuple[str, ...]:
    """The longest first, so that no part of one is left because a shorter one was hidden in it."""
    found = {text for text in texts if len(text) >= _SHORTEST_SECRET and text != "Bearer"}
    return tuple(sorted(found, key=len, reverse=True))
