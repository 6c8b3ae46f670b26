"""The login of a client: user, password and TLS context, read from the files that the options name."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, NamedTuple

from publisher import Log
from publisher.credentials import read_secret, skip_verification, tls_context

from .sockets import TlsSocket

if TYPE_CHECKING:
    from ..options import MqttOptions


class Login(NamedTuple):
    """The client id and the login, with the contents of the files that the options name."""

    client_id: str
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None


def read_login(options: MqttOptions, client_id: str, log: Log | None = None) -> Login:
    """Returns the login, with the files as they are now; raises ConfigurationError for unusable ones.

    With `insecure` a warning is logged, unless there is no `log`: a sink reads its login at each connection.
    """
    return Login(client_id, options.user, _password(options), _tls(options, log) if options.server.tls else None)


def _password(options: MqttOptions) -> str | None:
    if options.password_file is not None:
        return read_secret(options.password_file, "password_file")
    return None if options.password is None else options.password.get_secret_value()


def _tls(options: MqttOptions, log: Log | None) -> ssl.SSLContext:
    context = tls_context(ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
    context.sslsocket_class = TlsSocket
    if options.insecure:
        skip_verification(context, options.server.name, log or _silent())
    return context


def _silent() -> logging.Logger:
    log = logging.Logger("silent")
    log.addHandler(logging.NullHandler())
    return log
