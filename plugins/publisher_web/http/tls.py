"""The certificate of the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from publisher import ConfigurationError

if TYPE_CHECKING:
    import ssl


def server_context(cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext | None:
    """Returns a context with this certificate, `None` without one; raises ConfigurationError, which names the file."""
    if cert_file is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # With a password, an encrypted key is an error; without, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except OSError as error:  # ssl.SSLError is one
        files = f"cert_file {cert_file}" + (f", key_file {key_file}" if key_file else "")
        raise ConfigurationError(
            f"{files}: no PEM certificate and key, without a password, can be read: {error}"
        ) from None
    return context
