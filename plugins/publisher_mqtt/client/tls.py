"""The TLS context of a sink."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from publisher import ConfigurationError

if TYPE_CHECKING:
    from ..options import MqttOptions


def tls_context(options: MqttOptions) -> ssl.SSLContext:
    """Verifies the broker's certificate and name, but for `insecure`; raises ConfigurationError for unusable files."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca_file {options.ca_file}: no usable PEM certificates ({error})") from error
    context.sslsocket_class = _TidySocket
    if options.cert_file is not None:
        try:
            # An encrypted key would make OpenSSL ask at the terminal, for ever when there is none.
            context.load_cert_chain(options.cert_file, options.key_file, password="")
        except (OSError, ssl.SSLError) as error:
            files = f"cert_file {options.cert_file}" + (f", key_file {options.key_file}" if options.key_file else "")
            raise ConfigurationError(f"{files}: no usable certificate and key ({error})") from error
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets it there, open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def read_password(options: MqttOptions) -> str | None:
    """The password, without the line end that editors add; raises ConfigurationError when the file cannot be read."""
    if options.password_file is None:
        return None if options.password is None else options.password.get_secret_value()
    return _first_line(options.password_file)


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"password_file {path} cannot be read: {error}") from error
