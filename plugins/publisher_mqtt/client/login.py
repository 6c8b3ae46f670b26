"""The login of a client: user, password and TLS context, read from the files that the options name."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from publisher import Log
from publisher.credentials import read_secret, skip_verification, tls_context

from .connection import Login

if TYPE_CHECKING:
    from ..options import MqttOptions


def read_login(options: MqttOptions, client_id: str, log: Log) -> Login:
    """Returns the login; raises ConfigurationError for unusable files. `insecure` is logged as a warning."""
    return Login(client_id, options.user, _password(options), _tls(options, log) if options.server.tls else None)


def _password(options: MqttOptions) -> str | None:
    if options.password_file is not None:
        return read_secret(options.password_file, "password_file")
    return None if options.password is None else options.password.get_secret_value()


def _tls(options: MqttOptions, log: Log) -> ssl.SSLContext:
    context = tls_context(ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
    context.sslsocket_class = _TidySocket
    if options.insecure:
        skip_verification(context, options.server.name, log)
    return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho-mqtt 2.2.0 drops its reference there and leaves the socket open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise
