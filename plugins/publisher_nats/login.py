"""The login of a connection: user, token, keys and TLS context, read from the files that the options name."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from publisher import ConfigurationError, Log
from publisher.credentials import read_secret, read_secrets, skip_verification, tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from .options import NatsOptions


def read_login(options: NatsOptions, log: Log | None = None) -> dict[str, Any]:
    """Returns the login as arguments of nats-py's `connect`, with the files as they are now.

    Raises ConfigurationError for a file that cannot be used, and for keys without the package nkeys. With `insecure` a
    warning is logged, if there is a `log`.
    """
    login: dict[str, Any] = {}
    if options.user is not None:
        login |= {"user": options.user, "password": _secret(options, "password") or ""}
    elif token := _secret(options, "token"):
        login["token"] = token
    elif options.nkey_file is not None:
        _require_nkeys(f"nkey_file {options.nkey_file}")
        login["nkeys_seed_str"] = _seed(read_secret(options.nkey_file, "nkey_file"), f"nkey_file {options.nkey_file}")
    elif options.credentials_file is not None:
        _require_nkeys(f"credentials_file {options.credentials_file}")
        _check_credentials(options.credentials_file)
        login["user_credentials"] = str(options.credentials_file)
    if options.addresses[0].tls:
        context = tls_context(ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
        if options.insecure:
            skip_verification(context, ", ".join(address.name for address in options.addresses), log or _silent())
        login["tls"] = context
    return login


def _secret(options: NatsOptions, name: str) -> str | None:
    path = getattr(options, f"{name}_file")
    if path is not None:
        return read_secret(path, f"{name}_file")
    secret = getattr(options, name)
    return None if secret is None else str(secret.get_secret_value())


def _require_nkeys(what: str) -> None:
    """Raises ConfigurationError where the package that signs with NATS keys is not installed, or cannot be imported."""
    try:
        import_module("nkeys")
    except ImportError as error:
        raise ConfigurationError(
            f"{what}: a login with NATS keys needs the Python package nkeys, which cannot be imported here ({error}): "
            "pip install nkeys beside publisher, or log in with password_file, token_file or cert_file, as in the "
            "container and the Debian package, which have no nkeys"
        ) from None


def _check_credentials(path: Path) -> None:
    """Raises ConfigurationError for a file that is none of a user: nats-py would read the end of it for ever."""
    lines = read_secrets(path, "credentials_file")
    begins = [any(f"BEGIN {name}" in line for line in lines[:-1]) for name in ("NATS USER JWT", "USER NKEY SEED")]
    if not all(begins):
        raise ConfigurationError(
            f"credentials_file {path}: expected a user's JWT and nkey seed, as `nsc generate creds` writes them"
        )


def _seed(text: str, what: str) -> str:
    import nkeys  # type: ignore[import-untyped]  # it has none

    try:
        nkeys.from_seed(bytearray(text.encode())).wipe()
    except Exception as error:  # noqa: BLE001 - nkeys raises errors of its own, of binascii and of PyNaCl
        raise ConfigurationError(f"{what}: its first line is no seed of an nkey, like SU...: {error}") from None
    return text


def _silent() -> logging.Logger:
    log = logging.Logger("silent")
    log.addHandler(logging.NullHandler())
    return log
