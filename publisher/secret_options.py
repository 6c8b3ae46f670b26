"""Secrets among a sink's options: marked by their author with SecretStr, or named like secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "***"
# Text of fewer characters turns up inside ordinary words: masked there it would make every message unreadable, and the
# places of the mask would reveal it.
_SHORTEST_SECRET = 4
# Of a URL's path and query only this much is taken for a token; "/in" and "?v=1" are none.
_SHORTEST_PATH = 6
# An error or a reason that a plugin quotes from elsewhere goes into the log, the status and the dead letters.
_LONGEST_TEXT = 2000
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    """apikey apitoken auth authorization bearer cookie credential creds jwt key pass passcode passphrase passwd
    password pin psk pwd secret signature token""".split()  # noqa: SIM905 - a list of words
)
# Words that may follow: `token_value`, `password_old`, `secret2`. `password_file` and `key_id` are no secrets.
_LAST_WORDS = frozenset(
    ("bytes", "current", "header", "new", "next", "old", "previous", "raw", "string", "text", "value")
)
# Values of options like `auth`, which say how and not with what.
_ORDINARY = frozenset(
    ("apikey", "auto", "basic", "bearer", "digest", "false", "login", "none", "null", "plain", "token", "true")
)


def is_secret_name(name: str) -> bool:
    """Returns whether an option of this name holds a secret: `password`, `api_key`, `accessToken`, `X-Auth-Token`."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and (words[-1] in _LAST_WORDS or words[-1].isdigit()):
        words.pop()
    return bool(words) and (words[-1] in _SECRET_WORDS or words[-1].removesuffix("s") in _SECRET_WORDS)


def secrets_in(value: object, *, named: bool = False) -> Iterator[str]:
    """Yields the secrets in a sink's options, nested ones too: SecretStr, texts named like secrets, and parts of URLs.

    Of a URL these are the password, and of http and https its path and query, where tokens are. `named` says that the
    value itself belongs to such a name. Texts under four characters are left out.
    """
    yield from (text for text in _secrets(value, named) if len(text) >= _SHORTEST_SECRET)


def _secrets(value: object, named: bool) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="replace")
        case bytes() if named:
            yield value.decode(errors="replace")
        case str() if named:
            yield from _credentials(value)
        case BaseModel():
            yield from _secrets(dict(value), named)
            yield from _secrets(value.model_extra or {}, named)
        case Mapping():
            for name, inner in value.items():
                yield from _secrets(inner, named or is_secret_name(str(name)))
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from _secrets(inner, named)
        case None | bool() | int() | float() | bytes():
            pass
        case _:  # a text, or one of pydantic's URLs
            yield from _of_url(str(value))


def _credentials(text: str) -> Iterator[str]:
    """Yields a text that is a secret; of "Bearer abc" the second part, too."""
    if text.lower() not in _ORDINARY:
        yield text
        scheme, _, rest = text.partition(" ")
        if scheme.lower() in _ORDINARY and rest:
            yield rest


def _of_url(text: str) -> Iterator[str]:
    parts = split_url(text)
    if parts is None:
        return
    yield from {parts.password or "", unquote(parts.password or "")}
    if parts.scheme in ("http", "https"):
        path = parts.path.rstrip("/")
        if len(path) >= _SHORTEST_PATH:
            yield path
        yield from (segment for segment in path.split("/") if _looks_like_a_token(segment))
        if len(parts.query) >= _SHORTEST_PATH:
            yield parts.query
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if is_secret_name(name) or _looks_like_a_token(value):
            yield value
            yield unquote(value)


def _looks_like_a_token(segment: str) -> bool:
    return len(segment) >= 12 and any(map(str.isdigit, segment)) and any(map(str.isalpha, segment))


def split_url(text: str) -> SplitResult | None:
    """Returns the parts of a URL; `None` for any other text."""
    if "://" not in text:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts if parts.scheme and parts.netloc else None


def without_secrets(options: BaseModel) -> dict[str, Any]:
    """Returns the options as JSON values that can be validated again, without everything that is a secret."""
    secrets = tuple(secrets_in(options))
    values = options.model_dump(mode="json", by_alias=True)
    # The mask of pydantic stands in the place of each SecretStr: it would be taken for the secret itself.
    cleaned = _cleaned(values, (*secrets, str(SecretStr("x"))))
    return cleaned if isinstance(cleaned, dict) else {}


_DROPPED = object()


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    match value:
        case str():
            plain = _without_password(value)
            return _DROPPED if any(_gives_away(plain, secret) for secret in secrets) else plain
        case dict():
            cleaned = {name: _cleaned(inner, secrets) for name, inner in value.items()}
            return {name: inner for name, inner in cleaned.items() if inner is not _DROPPED}
        case list():
            return [inner for entry in value if (inner := _cleaned(entry, secrets)) is not _DROPPED]
        case _:
            return value


def _gives_away(text: str, secret: str) -> bool:
    """Returns whether the text is, or has in it, the secret; a short one may be a part of an ordinary word."""
    return text == secret or (len(secret) >= _SHORTEST_PATH and secret in text)


def _without_password(text: str) -> str:
    parts = split_url(text)
    if parts is None or parts.password is None:
        return text
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{host}").geturl()


def masking(secrets: Iterable[str]) -> Callable[[str], str]:
    """Returns a function that puts `***` in the place of each of these secrets in a text, and shortens a long one."""
    # Longest first: one may be a part of another, and would leave the rest of it.
    ordered = sorted(set(secrets), key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in ordered:
            text = text.replace(secret, MASK)
        # Afterwards: the first part of a secret would not be found.
        return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"

    return mask
