"""Secrets from files, TLS contexts, and masks for texts that are shown. For sinks that speak to a server."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .sink import Log

if TYPE_CHECKING:
    import ssl

MASK = "***"
# Of a longer file only this much is read: the option may name a device that never ends.
_LONGEST_FILE = 64 * 1024
# A shorter text (a path like "/in", a header's "1") is no secret, and masking it would garble every message.
_SHORTEST_SECRET = 6
_REMEDIES = {
    errno.ENOENT: "create it, with the secret in its first line",
    errno.EACCES: "let the user that runs publisher read it",
    errno.EISDIR: "it is a directory: name a file",
}


def read_secret(path: Path, option: str) -> str:
    """Returns the first line of a file, without its line end.

    `option` is the option that names the file, like "password_file". Raises ConfigurationError, which names both, when
    the file cannot be read, is not UTF-8, or begins with an empty line.
    """
    line = _read(path, option).partition("\n")[0].rstrip("\r")
    if not line:
        raise ConfigurationError(f"{option} {path}: the first line is empty; write the secret there")
    return line


def read_secrets(path: Path, option: str) -> list[str]:
    """Returns the lines of a file, without blank ones and those that begin with #.

    Raises ConfigurationError, as `read_secret`, also when there is no such line.
    """
    lines = [line.strip() for line in _read(path, option).splitlines()]
    secrets = [line for line in lines if line and not line.startswith("#")]
    if not secrets:
        raise ConfigurationError(f"{option} {path}: it has no line; write the secrets there, one a line")
    return secrets


def _read(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_FILE).decode("utf-8-sig")  # editors on Windows begin files with a mark
    except UnicodeDecodeError:
        raise ConfigurationError(f"{option} {path}: it is not UTF-8; save it as UTF-8 text") from None
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        reason = f"{error.strerror or error}" + (f"; {remedy}" if remedy else "")
        raise ConfigurationError(f"{option} {path}: cannot be read: {reason}") from None


def tls_context(
    *, ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """Returns a context that verifies the server's certificate and name; the files are PEM.

    `ca_file` holds the authorities to trust instead of the system's; `cert_file` the client's certificate and its
    chain; `key_file` its key, when that is not in `cert_file`. Raises ConfigurationError, which names the file that
    cannot be used. `skip_verification` is the only way to accept other certificates.
    """
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"ca_file {ca_file}: no PEM certificates can be read from it: {error}") from None
    if cert_file is not None:
        try:
            # With a password, an encrypted key is an error; without, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(cert_file, key_file, password="")
        except OSError as error:
            files = f"cert_file {cert_file}" + (f", key_file {key_file}" if key_file else "")
            raise ConfigurationError(
                f"{files}: no PEM certificate and key, without a password, can be read: {error}"
            ) from None
    return context


def skip_verification(context: ssl.SSLContext, server: str, log: Log) -> None:
    """Makes the context accept any certificate, and logs a warning that names the server."""
    import ssl

    log.warning("the certificate of %s is not verified: insecure = true; anybody may read and change the data", server)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


class SecretMask:
    """Replaces secrets in texts by `***`. Texts under 6 characters count as no secrets and are left alone."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Longest first: a shorter secret may be a part of a longer one, and would leave the rest of it.
        self._secrets = sorted({text for text in secrets if len(text) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Returns the text without the secrets: a server may well answer with what it received."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def __repr__(self) -> str:
        return f"<SecretMask of {len(self._secrets)}>"
