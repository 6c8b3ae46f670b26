"""The secrets of a webhook: keys to sign with, headers, and the mask that keeps them out of messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from publisher import ConfigurationError
from publisher.credentials import SecretMask, read_secret

from .options import WebhookOptions
from .signature import parse_secret


@dataclass(frozen=True, repr=False)
class Authentication:
    """The keys to sign with, the current one first; the additional headers; and the mask of all secrets."""

    keys: tuple[bytes, ...]
    headers: dict[str, str]
    mask: SecretMask


def load_authentication(options: WebhookOptions) -> Authentication:
    """Reads the files that the options name; raises ConfigurationError for one that cannot be read or used."""
    secrets = _signing_secrets(options)
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    if options.token_file:
        headers["Authorization"] = f"Bearer {_read_token(options.token_file)}"
    mask = SecretMask([*secrets.values(), *_words(headers.values()), *_secret_parts(options.url)])
    keys = tuple(_key(origin, text) for origin, text in secrets.items())
    return Authentication(keys, headers, mask)


def _signing_secrets(options: WebhookOptions) -> dict[str, str]:
    """Returns the secrets as text, by the option that each comes from, the current one first."""
    given = {
        "secret": options.secret,
        "secret_file": options.secret_file,
        "previous_secret": options.previous_secret,
        "previous_secret_file": options.previous_secret_file,
    }
    return {
        f"{option} {value}" if isinstance(value, Path) else option: (
            read_secret(value, option) if isinstance(value, Path) else value.get_secret_value()
        ).strip()
        for option, value in given.items()
        if value is not None
    }


def _key(origin: str, text: str) -> bytes:
    try:
        return parse_secret(text)
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}") from None


def _read_token(path: Path) -> str:
    token = read_secret(path, "token_file").strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(f"token_file {path}: expected one token in printable ASCII")
    return token


def _words(values: Iterable[str]) -> Iterable[str]:
    """Returns each value, and each word of it: in `Bearer abc` the secret is `abc`."""
    return [text for value in values for text in (value, *value.split()) if text != "Bearer"]


def _secret_parts(url: str) -> list[str]:
    """Returns a URL's path and query, and the parts of them that look like a token."""
    parts = urlsplit(url)
    return [parts.path, parts.query, *re.findall(r"[\w.~%+-]{12,}", f"{parts.path}?{parts.query}")]
