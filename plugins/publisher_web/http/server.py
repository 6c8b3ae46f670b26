"""The HTTP server: a bounded number of connections, no signals, nothing on standard output."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from publisher import Log

from .connection import REQUEST_SECONDS, LimitedConnection
from .guard import LARGEST_HEAD

# More wait in the kernel: the process needs descriptors for other things, too.
_MOST_CONNECTIONS = 256
_SEND_BUFFER = 256 * 1024
_KEEP_ALIVE_SECONDS = 5
# For answers that have begun when the server is to end.
_END_SECONDS = 1.0
_RETRY_ACCEPT_SECONDS = 1.0

Application = Callable[[Any, Any, Any], Awaitable[None]]


class PageServer:
    """Serves an ASGI application on sockets that listen. All methods are called on one event loop.

    uvicorn parses requests and writes answers. Its own server is left out: it looks around ten times a second, logs
    to the whole process's log, and accepts any number of connections.
    """

    def __init__(self, application: Application, log: Log) -> None:
        config = Config(
            application,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        config.load()
        self._config = config
        self._state = ServerState()
        self._log = log
        self._own_log = _own_log(log)
        self._room = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()

    def start(self, listeners: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Begins to accept connections; the sockets are closed by `close`."""
        asyncio.get_running_loop().set_exception_handler(self._note_failure)
        self._accepting = [asyncio.ensure_future(self._accept(listener, tls)) for listener in listeners]

    async def close(self) -> None:
        """Ends all connections, within about a second."""
        await _cancelled(self._accepting)
        await _cancelled(list(self._handshakes))
        for connection in list(self._state.connections):
            connection.shutdown()
        if tasks := list(self._state.tasks):
            await asyncio.wait(tasks, timeout=_END_SECONDS)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await _cancelled(list(self._state.tasks))

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                await self._room.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as error:
                    self._room.release()
                    self._log.warning("no connection can be accepted for now: %s", error.strerror or error)
                    await asyncio.sleep(_RETRY_ACCEPT_SECONDS)
                except BaseException:
                    self._room.release()
                    raise
                else:
                    task = loop.create_task(self._connect(connection, tls))
                    self._handshakes.add(task)
                    task.add_done_callback(self._handshakes.discard)

    async def _connect(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Hands a connection to HTTP, after the handshake if there is one."""
        room = _Room(self._room)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # The kernel would hold up to 4 MB for each viewer that stops reading.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            timeout = None if tls is None else REQUEST_SECONDS
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: LimitedConnection(self._config, self._state, self._own_log, room.leave),
                connection,
                ssl=tls,
                ssl_handshake_timeout=timeout,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError is an OSError
            connection.close()
            room.leave()
            self._own_log.debug("a connection failed: %s", error)

    def _note_failure(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Takes what asyncio would write to the log of the whole process: mostly connections that broke."""
        error = context.get("exception")
        if error is None or isinstance(error, OSError):
            self._own_log.debug("%s: %s", context.get("message"), error)
        else:
            self._log.error("the page's server: %s", context.get("message"), exc_info=error)


class _Room:
    """The place of one connection, given back once."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._room: asyncio.Semaphore | None = room

    def leave(self) -> None:
        """Gives the place back."""
        room, self._room = self._room, None
        if room is not None:
            room.release()


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task


class _Forwarded(logging.Handler):
    """Hands uvicorn's records to the log of the sink: errors as they are, and the rest, like bad requests, for debug.

    Anybody who connects can make bad requests, as many as he likes.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._to = log

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.WARNING if record.levelno >= logging.ERROR else logging.DEBUG
        self._to.log(level, "the page's server: %s", record.getMessage().strip(), exc_info=record.exc_info)


def _own_log(log: Log) -> logging.Logger:
    logger = logging.Logger("publisher.web", logging.DEBUG)
    logger.addHandler(_Forwarded(log))
    return logger
