"""Subscriptions over HTTP: the Server-Sent Events of a page, with `Last-Event-ID` after a reconnect."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from publisher import ConfigurationError, Cursor, PublisherError
from publisher.client import Nodes, Question, SubscribeRequest, Wait
from publisher.credentials import read_secret, tls_context
from publisher.terminal import printable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_CONNECT_SECONDS = 10.0
# A page sends a comment after 15 quiet seconds.
_QUIET_SECONDS = 45.0
_NO_ROOM_SECONDS = 0.1
_AT_ONCE = 1 << 16
# An event with 2,000 addresses has half of it.
_LONGEST_LINE = 1 << 20
_LONGEST_ID = 64


class PageError(PublisherError):
    """A page cannot be reached or refuses the subscription, or the connection is lost."""


class SseTransport:
    """Connects to one page; it remembers the last message of which it has everything."""

    def __init__(self, request: SubscribeRequest) -> None:
        """Raises ConfigurationError for a URL or an option that cannot be used."""
        try:
            parts, _ = urlsplit(request.url), urllib3.util.parse_url(request.url)
        except ValueError:  # with the whole URL, which may have a password
            raise ConfigurationError("this page cannot be subscribed to: its URL has no valid host and port") from None
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{parts.scheme}://{parts.hostname or ''} cannot be subscribed to: expected a URL like "
                "http://nas.lan:8780/, without user, password and query; the token is in token_file"
            )
        if request.password_file is not None:
            raise ConfigurationError("password_file is for a broker: a page takes a token_file")
        if request.credentials_file is not None:
            raise ConfigurationError("credentials_file is for nats:// and tls://: a page takes a token_file")
        if request.ca_file is not None and parts.scheme.lower() != "https":
            raise ConfigurationError("ca_file is for https://: nothing is verified over http://")
        self._request = request
        self._path = f"{parts.path.rstrip('/')}/events"
        self._name = parts.netloc
        self._token()
        self._tls = tls_context(ca_file=request.ca_file) if parts.scheme.lower() == "https" else None
        starts = list(request.since.values())
        # Over a page of many nodes there is no place that is theirs.
        self.last_id = _id_of(starts[0]) if len(starts) == 1 else ""

    def connect(self, nodes: Nodes) -> SseLink:
        """Returns a link that the page has accepted; raises PageError, ConfigurationError."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if (token := self._token()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        sockets: list[Any] = []
        # A pool for each: what an answer was read from to its end, another one would use again.
        pool = urllib3.PoolManager(ssl_context=self._tls).connection_from_url(self._request.url)
        pool.ConnectionCls = functools.partial(_connection, self._tls is not None, sockets)  # type: ignore[assignment]  # it is only called
        try:
            response = pool.urlopen(
                "GET",
                self._path,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_CONNECT_SECONDS),
            )
        except urllib3.exceptions.ReadTimeoutError as error:
            raise PageError(f"{self._name}: it did not answer within {_CONNECT_SECONDS:g} s: no page?") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PageError(f"{self._name}: {_reason(error)}") from error
        if (refusal := _refusal(response)) is not None:
            response.close()
            raise PageError(f"{self._name}: {refusal}")
        for connected in sockets:
            connected.settimeout(_QUIET_SECONDS)
        return SseLink(self, response, sockets, nodes)

    def lost(self, reason: str) -> PageError:
        """Returns the error of a link that ended."""
        return PageError(f"the connection to {self._name} is lost: {reason}")

    def _token(self) -> str | None:
        file = self._request.token_file
        token = None if file is None else read_secret(file, "token_file")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigurationError(
                f"token_file {file}: a token has ASCII characters only, since it is sent in a header"
            )
        return token


class SseLink:
    """One answer to `/events`, which has no end."""

    def __init__(self, transport: SseTransport, response: BaseHTTPResponse, sockets: list[Any], nodes: Nodes) -> None:
        self._transport = transport
        self._response = response
        self._sockets = sockets
        self._nodes = nodes
        self._parser = SseParser()
        self._interrupted = threading.Event()

    def receive(self, wait: Wait, seconds: float) -> None:
        """Gives what came to the nodes; waits for it as long as the page is alive. Raises PageError at the end."""
        del wait
        if not self._nodes.has_room:
            # Nothing is read: the page drops what it holds back, and sends the rows again.
            self._interrupted.wait(min(seconds, _NO_ROOM_SECONDS))
            return
        try:
            data = self._response.read1(_AT_ONCE)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._transport.lost(_reason(error)) from error
        if self._interrupted.is_set():
            return
        if not data:
            raise self._transport.lost("the page has ended it")
        for message in self._parser.messages(data):
            if message.kind == "node":
                self._nodes.streamed_status(message.data)
            elif message.kind == "message":
                self._nodes.streamed(message.data)
            self._transport.last_id = message.id or self._transport.last_id

    def ask(self, question: Question) -> None:
        """Sends nothing: a stream has no gaps, and nobody answers over it."""
        if question.last is not None:
            self._nodes.past_refused(question.node)

    def states_again(self, node: str) -> None:
        """Does nothing: a stream has no gaps."""

    def interrupt(self) -> None:
        """Ends a `receive`, by ending the connection."""
        self._interrupted.set()
        for connected in self._sockets:
            with contextlib.suppress(OSError):
                # Of a TLS socket, only what is below: its own method is not for two threads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the connection."""
        self._response.close()
        for connected in self._sockets:
            connected.close()


class StreamMessage(NamedTuple):
    """A message of a stream; `id` is empty for one after which nobody can resume."""

    kind: str
    data: bytes
    id: str


class SseParser:
    """Server-Sent Events (HTML, 9.2.6), of bounded length."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._kind = ""
        self._id = ""

    def messages(self, data: bytes) -> Iterator[StreamMessage]:
        """Yields the messages that end within the next bytes; raises PageError for a line without an end."""
        lines = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE or self._size > _LONGEST_LINE:
            raise PageError("the page sends a message without an end")
        for line in lines:
            if line:
                self._take(line)
            elif (message := self._message()) is not None:
                yield message

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._kind = value[:_LONGEST_ID].decode("utf-8", "replace")
        elif name == b"id" and len(value) <= _LONGEST_ID and value.isascii() and value.decode().isprintable():
            self._id = value.decode()  # it is sent in a header

    def _message(self) -> StreamMessage | None:
        data, kind, place = b"\n".join(self._data), self._kind or "message", self._id
        self._data, self._size, self._kind, self._id = [], 0, "", ""
        return StreamMessage(kind, data, place) if data else None


def _connection(secure: bool, sockets: list[Any], *arguments: Any, **options: Any) -> HTTPConnection:
    """Returns a connection whose socket is added to `sockets` when it is open: an answer may keep it for itself."""
    kind: type[HTTPConnection] = HTTPSConnection if secure else HTTPConnection
    made = kind(*arguments, **options)
    connect = made.connect

    def connected() -> None:
        connect()
        sockets.append(made.sock)

    made.connect = connected  # type: ignore[method-assign]  # of this one alone
    return made


def _refusal(response: BaseHTTPResponse) -> str | None:
    """Returns the reason why an answer is no stream of events; `None` for one that is."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    match response.status:
        case 200 if kind == "text/event-stream":
            return None
        case 200:
            return f"no page of publisher: it answers /events with {printable(kind[:100]) or 'no content type'}"
        case 401:
            return "the page needs its token, or another one: name its file as token_file"
        case 403:
            return "the page is not asked for by this name: add it to the option `hosts` of its sink"
        case 404:
            return "no page of publisher: there is no /events"
        case status:
            return f"the page answers {status} {printable((response.reason or '')[:100])}".rstrip()


def _reason(error: Exception) -> str:
    match error:
        case urllib3.exceptions.NewConnectionError(__cause__=ConnectionRefusedError()):
            return "nothing listens there: wrong port, or the page is off"
        case urllib3.exceptions.NewConnectionError(__cause__=OSError(strerror=str(reason))):
            return printable(reason)
        case urllib3.exceptions.ConnectTimeoutError():
            return f"it did not answer within {_CONNECT_SECONDS:g} s: wrong host or port, or a firewall"
        case urllib3.exceptions.ReadTimeoutError():
            return f"nothing came for {_QUIET_SECONDS:g} s"
        case urllib3.exceptions.ProtocolError():
            return "it ended in the middle of an answer: no page of publisher, or one that stopped"
        case urllib3.exceptions.SSLError() if "WRONG_VERSION_NUMBER" in str(error):
            return "it does not speak TLS: use http://"
        case _:
            return printable(str(error)) or type(error).__name__


def _id_of(place: Cursor) -> str:
    return f"{place.epoch}-{place.seq:016d}"
