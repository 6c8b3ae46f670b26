"""The login of a client: user, password and TLS context, read from the files that the options name."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, NamedTuple

from publisher import Log
from publisher.credentials import read_secret, skip_verification, tls_context

from .transport import HandshakeLimit

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
    context.sslsocket_class = _TidySocket
    if options.insecure:
        skip_verification(context, options.server.name, log or _silent())
    return context


def _silent() -> logging.Logger:
    log = logging.Logger("silent")
    log.addHandler(logging.NullHandler())
    return log


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho-mqtt 2.2.0 drops its reference there and leaves the socket open.

    A WebSocket handshake over it has what is left of the time.
    """

    limit: HandshakeLimit | None = None

    def do_handshake(self, block: bool = False) -> None:
        if seconds := self.gettimeout():
            self.limit = HandshakeLimit(seconds)
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self.limit is None:
            return super().recv(buflen, flags)
        self.settimeout(self.limit.remaining)
        return self.limit.count(super().recv(buflen, flags))

    def setblocking(self, flag: bool) -> None:
        self.limit = None
        super().setblocking(flag)
