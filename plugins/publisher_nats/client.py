"""nats-py's client, without what it does not do well: a server without TLS, odd headers and subjects, a hung socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nats import errors
from nats.aio.client import Client

from .messages import InboxMessage

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_CLOSE_SECONDS = 1.0


class NatsClient(Client):
    """nats-py's client, with what it does not say: the INFO, and the end of a socket that takes nothing."""

    def __init__(self, address: str, report: Callable[[Exception], object]) -> None:
        super().__init__()
        self.address = address
        self.is_ready = False
        self._report = report
        self._direct: dict[int, Callable[[InboxMessage], object]] = {}

    @property
    def info(self) -> dict[str, Any]:
        """The server's INFO."""
        return self._server_info

    async def failed(self, error: Exception) -> None:
        """Ends an attempt to connect with its first error: nats-py would try the same server for ever."""
        if not self.is_ready:
            raise error
        self._report(error)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # nats-py goes on without TLS where the server does not ask for it, whatever the URL says: anybody in between
        # could take that word out, and would receive the password.
        if initial_connection and "tls" in self.options and not info.get("tls_required"):
            raise errors.Error("the server offers no TLS: use nats:// if that is meant, or turn TLS on there")
        if initial_connection and "tls" not in self.options and info.get("tls_required"):
            raise errors.Error("the server requires TLS: use tls://")
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        # Called when TLS is set up. nats-py does that with a protocol that asyncio tells nothing of, and at its end
        # asyncio would warn: "returning true from eof_received() has no effect when using ssl".
        writer = getattr(self._transport, "_io_writer", None)
        protocol = writer and writer.transport.get_protocol()  # None when the server has ended it already
        if "tls" in self.options and isinstance(protocol, asyncio.StreamReaderProtocol):
            setattr(protocol, "_over_ssl", True)  # noqa: B010 - typeshed has no private attributes
        return super()._connect_command()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # nats-py's own looks at each letter of each name: a tenth of the time in which a fleet's rows are read.
        found = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            name = name.strip()
            if colon and name.isascii() and len(name.split()) == 1:
                found[name.decode()] = value.strip().decode("utf-8", "replace")
        return found

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        # nats-py ends its reading, and tells nobody, over a header that it cannot decode; anybody may store one.
        try:
            return await super()._process_headers(headers)
        except (IndexError, ValueError):  # UnicodeDecodeError is one
            return None

    async def subscribe_directly(self, take: Callable[[InboxMessage], object]) -> Subscription:
        """Has a function called with each message of a new inbox."""

        async def queued(message: Msg) -> None:
            take(InboxMessage(message.subject, message.reply, message.data, message.headers or {}))

        subscription = await self.subscribe(self.new_inbox(), cb=queued)
        self._direct[subscription._id] = take
        return subscription

    async def unsubscribe_directly(self, subscription: Subscription) -> None:
        """Ends such a subscription."""
        self._direct.pop(subscription._id, None)
        with suppress(errors.Error):  # the connection is closed
            await subscription.unsubscribe()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # nats-py's own has a queue and a task between: a tenth of the time in which a fleet's rows are read. It also
        # ends its reading over a subject that is no UTF-8, which anybody may store.
        if (take := self._direct.get(sid)) is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            found = await self._process_headers(headers) if headers else None
            take(InboxMessage(subject.decode("utf-8", "replace"), reply.decode(), data, found or {}))

    async def end(self) -> None:
        """Closes the connection; one that does not close in time is cut."""
        try:
            # AttributeError: nats-py 2.11 closes the socket also where none was opened.
            with suppress(TimeoutError, errors.Error, OSError, AttributeError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._close(Client.CLOSED, do_cbs=False)
        finally:
            self._cut()

    def _cut(self) -> None:
        """Ends what nats-py may have left: in 2.11 it stops half-way where the server has ended the connection."""
        for subscription in self._subs.values():
            if subscription._wait_for_msgs_task is not None:
                subscription._wait_for_msgs_task.cancel()
        writer = getattr(self._transport, "_bare_io_writer", None)
        if writer is not None:
            writer.transport.abort()
