"""The names by which an option is taken for a secret, and the texts without them."""

from __future__ import annotations

import pytest

from publisher.secret_options import is_secret_name, masking


@pytest.mark.parametrize(
    "name",
    [
        "password", "passwords", "Password", "db_password", "dbPassword", "PASSWORD", "DB-PASSWORD", "password_old",
        "password2", "new_password_3", "passphrase", "passwd", "pwd", "pass", "secret", "secret_text", "token",
        "accessToken", "access_tokens", "HTTPToken", "token_value", "api_key", "apikey", "apiKey", "API_KEY",
        "X-Api-Key", "X-Auth-Token", "Authorization", "authorization_header", "auth", "bearer", "cookie", "credentials",
        "jwt", "pin", "private_key", "psk", "signature", "key",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_one(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "_", "2", "value", "password_file", "passwordFile", "token_url", "key_id", "key_file", "secret_name",
        "author", "authority", "compass", "monkey", "keyboard", "keepalive", "tokenizer", "spin", "pinned", "bypass",
        "user", "url", "topic", "pass_through", "auth_method",
    ],
)  # fmt: skip
def test_what_only_sounds_like_one_or_leads_to_one_is_none(name: str) -> None:
    assert not is_secret_name(name)


def test_a_long_text_is_shortened_and_shows_no_part_of_a_secret() -> None:
    mask = masking(["hunter2"])
    assert mask("no hunter2") == "no ***"
    text = mask("x" * 1996 + "hunter2" * 100_000)
    assert text == "x" * 1996 + "***" + "*" + "... (301996 characters)"
