"""One HTTP connection: uvicorn's, with time limits and a quiet log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

# A connection without a whole request is closed after so many seconds, however slowly one arrives.
REQUEST_SECONDS = 10.0


class LimitedConnection(H11Protocol):
    """Closes a connection whose request does not arrive in time, and one whose bytes are no HTTP. The server's loop.

    uvicorn limits the time between two requests, not that of one request.
    """

    def __init__(self, config: Config, state: ServerState, log: logging.Logger, ended: Callable[[], object]) -> None:
        super().__init__(config, state, {"connection": self}, asyncio.get_running_loop())
        # Of its own, not uvicorn's of the whole process, which would write to the program's log.
        self.logger = log
        self.access_log = False
        self._ended = ended
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except (h11.ProtocolError, ValueError) as error:
            # A request whose body breaks off in garbage while it is being answered: uvicorn answers a second time.
            self.logger.debug("a connection is closed: %s", error)
            self.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        try:
            super().connection_lost(exc)
        finally:
            self._ended()

    def abort(self) -> None:
        """Closes the connection at once, whatever waits to be sent."""
        if self.transport is not None:
            self.transport.abort()

    def _expect_request(self) -> None:
        self._forget_deadline()
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._close_without_request)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_without_request(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.abort()
