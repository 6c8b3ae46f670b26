"""Connections to the first broker that accepts: with the login as it is now, in the newest MQTT that it speaks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from publisher import ConfigurationError

from .acknowledgements import nothing
from .connection import Connection, IncomingMessage
from .errors import BrokerError, NoAnswerError, will_refused

if TYPE_CHECKING:
    from ..messages import MqttMessage
    from ..options import MqttOptions, Server
    from .login import Login
    from .suspects import Suspects

Version = Literal["5", "3.1.1"]


ReadLogin = Callable[["MqttOptions"], "Login"]


class Dialer:
    """Makes the connections of one sink or subscription; `read_login` is called for each broker. One thread."""

    def __init__(self, options: MqttOptions, read_login: ReadLogin) -> None:
        self._brokers = [_Broker(one, read_login) for one in options.by_destination]
        self._used: Server | None = None
        self.names = ", ".join(one.server.name for one in options.by_destination)
        """The brokers, for messages."""
        self.passed_over: list[BrokerError] = []
        """Why brokers before the one of the last connection were not used."""
        self.has_moved = False
        """True when the last connection is not to the broker of the one before."""

    def dial(
        self,
        *,
        will: MqttMessage | None = None,
        on_message: Callable[[IncomingMessage], None],
        on_lost: Callable[[Connection, BrokerError], None] = lambda _connection, _error: None,
        suspects: Suspects | None = None,
        drops: Callable[[bytes], bool] = nothing,
    ) -> Connection:
        """Returns a connection that a broker has accepted, the first that does.

        Raises BrokerError with the reason of each, also for a file of the login.
        """
        make = partial(Connection, will=will, on_message=on_message, on_lost=on_lost, suspects=suspects, drops=drops)
        self.passed_over = []
        for broker in self._brokers:
            try:
                connection = broker.dial(make, will)
            except BrokerError as error:
                self.passed_over.append(error)
            else:
                self.has_moved = self._used not in (None, connection.server)
                self._used = connection.server
                return connection
        if len(self.passed_over) == 1:
            raise self.passed_over[0]
        raise BrokerError("; ".join(map(str, self.passed_over)))


class _Broker:
    """Connects to one broker.

    The version that it accepted is remembered, so that an old broker is not asked for MQTT 5 each time.
    """

    def __init__(self, options: MqttOptions, read_login: ReadLogin) -> None:
        self._options = options
        self._read_login = read_login
        self._accepted: Version | None = None

    def dial(self, make: Callable[..., Connection], will: MqttMessage | None) -> Connection:
        """Returns a connection that the broker has accepted; raises BrokerError."""
        login = self._login()
        versions = self._options.protocols if self._accepted is None else (self._accepted,)
        failures: dict[Version, NoAnswerError] = {}
        for version in versions:
            connection = make(self._options, login, protocol=version)
            try:
                connection.open()
            except NoAnswerError as failure:
                failures[version] = failure
            else:
                self._accepted = version
                return connection
        raise self._explained(login, will, failures)

    def _login(self) -> Login:
        try:
            return self._read_login(self._options)
        except ConfigurationError as error:
            raise BrokerError(str(error)) from error

    def _explained(self, login: Login, will: MqttMessage | None, failures: dict[Version, NoAnswerError]) -> BrokerError:
        """Returns the error of the newest version, or that the will is the reason: a connection without it works."""
        for version, failure in failures.items():
            if will is not None and not failure.silent and self._accepts(version, login):
                return BrokerError(will_refused(self._options, will))
        # What was asked last may be answered otherwise next time, as after an upgrade of the broker.
        self._accepted = None
        return next(iter(failures.values()))

    def _accepts(self, version: Version, login: Login) -> bool:
        """Returns whether the broker accepts a connection without a will."""
        probe = Connection(self._options, login, protocol=version, on_message=lambda _message: None)
        try:
            probe.open()
        except BrokerError:
            return False
        probe.close()
        return True
