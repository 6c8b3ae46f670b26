"""`publisher watch mqtt://...`: a live view of every node on a broker."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from publisher import Backoff, ConfigurationError, WatchRequest
from publisher.terminal import LiveTable, on_screen, plain

from ..client.connection import Connection, IncomingMessage
from ..client.errors import BrokerError
from ..client.login import read_login
from ..client.reconnect import Reconnect
from ..messages import MqttMessage
from ..options import MqttOptions
from .view import BrokerView

if TYPE_CHECKING:
    from rich.console import Console

Inbox = deque[IncomingMessage | BrokerError]

# Of a flood so much is taken between two pictures.
_MOST_PER_PICTURE = 500


class _Output(Protocol):
    """A place for the view: a screen, or lines."""

    def line(self, text: str) -> None: ...
    def draw(self, view: BrokerView, note: str) -> None: ...


def watch_broker(
    request: WatchRequest, *, console: Console | None = None, ended: Callable[[], bool] = lambda: False
) -> None:
    """Shows every node under `base` on this broker until Ctrl+C (KeyboardInterrupt is raised) or `ended` returns True.

    On a terminal it is a table, elsewhere a line for each event. Raises ConfigurationError for unusable arguments and
    BrokerError when the broker refuses the first connection; one that is lost later is made again.
    """
    from rich.console import Console

    options = _options(request)
    with ExitStack() as around:
        output = around.enter_context(_output(console or Console(), options.server.name))
        _BrokerWatch(options, output, ended).run()


class _BrokerWatch:
    """One watch, on the caller's thread."""

    def __init__(self, options: MqttOptions, output: _Output, ended: Callable[[], bool]) -> None:
        self._options = options
        self._output = output
        self._ended = ended
        self._client = f"watch-{secrets.token_hex(6)}"
        self._view = BrokerView(options.base, self._client)
        self._reconnect = Reconnect(Backoff(1.0, 30.0))

    def run(self) -> None:
        """Connects, and connects again when the connection is lost."""
        lost = self._session()
        while lost is not None:
            self._output.line(f"{lost}; trying again in {self._reconnect.remaining:.0f} s")
            self._output.draw(self._view, str(lost))
            time.sleep(self._reconnect.remaining)
            try:
                lost = self._session()
            except BrokerError as error:
                self._reconnect.failed()
                lost = error

    def _session(self) -> BrokerError | None:
        """Follows one connection to its end; returns the error that ended it, or `None`. Raises BrokerError."""
        inbox: Inbox = deque()
        connection = self._connection(inbox)
        connection.open()
        try:
            self._reconnect.connected()
            self._view.begin()
            self._subscribe(connection)
            while not self._ended():
                if error := self._step(connection, inbox):
                    self._reconnect.lost(taken_over=False)
                    return error
        finally:
            # Without waiting for acknowledgements: a person who presses Ctrl+C wants the prompt.
            connection.drop()
        return None

    def _connection(self, inbox: Inbox) -> Connection:
        login = read_login(self._options, f"publisher-{self._client}", logging.getLogger("publisher"))
        # 3.1.1: every broker speaks it on its usual port, the embedded one too, and no property is needed here.
        return Connection(
            self._options,
            login,
            protocol="3.1.1",
            on_message=inbox.append,
            on_lost=lambda _lost, error: inbox.append(error),
        )

    def _subscribe(self, connection: Connection) -> None:
        for topic in self._view.topics:
            if refusal := connection.subscribe(topic, qos=1):
                raise BrokerError(f"the broker refuses the subscription to {topic}: {refusal}")

    def _step(self, connection: Connection, inbox: Inbox) -> BrokerError | None:
        """Takes the messages that were received, then draws."""
        # Not for ever: on Windows a wait without a limit ignores Ctrl+C.
        connection.wait_for(lambda: bool(inbox), 1.0)
        for message in [inbox.popleft() for _ in range(min(len(inbox), _MOST_PER_PICTURE))]:
            if isinstance(message, BrokerError):
                return message
            for result in self._view.take(message):
                if isinstance(result, str):
                    self._output.line(result)
                else:
                    self._request(connection, result)
        self._output.draw(self._view, self._options.server.name)
        return None

    def _request(self, connection: Connection, request: MqttMessage) -> None:
        try:
            connection.put(request)
        except BrokerError as error:
            # The inbox receives it, too; the retained states of the next connection heal every gap.
            self._output.line(str(error))


def _options(request: WatchRequest) -> MqttOptions:
    try:
        return MqttOptions(
            url=request.url,
            protocol="3.1.1",
            base=request.base,
            password_file=request.password_file,
            ca_file=request.ca_file,
        )
    except ValidationError as error:
        reasons = "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in error.errors())
        raise ConfigurationError(f"this broker cannot be watched: {reasons}") from None


@contextmanager
def _output(console: Console, broker: str) -> Iterator[_Output]:
    if not console.is_terminal:
        yield _LineOutput(console)
        return
    with on_screen(console) as screen:
        yield _TableOutput(screen.show, broker)


class _TableOutput:
    """The table, with a note below it."""

    def __init__(self, show: Callable[[LiveTable], None], broker: str) -> None:
        self._show = show
        self._broker = broker

    def line(self, text: str) -> None:
        """Does nothing: the table shows the change."""

    def draw(self, view: BrokerView, note: str) -> None:
        """Draws the table with this note."""
        view.table.note = " · ".join(dict.fromkeys([self._broker, note, view.summary]))
        self._show(view.table)


class _LineOutput:
    """A line for each event, for pipes and files."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        """Prints the line."""
        self._console.print(plain(text), soft_wrap=True)

    def draw(self, view: BrokerView, note: str) -> None:
        """Does nothing: the lines are printed."""
