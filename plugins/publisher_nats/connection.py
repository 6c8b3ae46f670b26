"""One connection to a server: dialing, requests with their answers, and its end. On the sink's event loop."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nats import errors

from .client import NatsClient
from .errors import NO_RESPONDERS, NOT_ENABLED, NatsRefused, NatsUnavailable
from .explained import explained, words
from .login import read_login
from .messages import Ack, NatsMessage

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from .messages import InboxMessage
    from .options import NatsOptions, NatsServerAddress

# A server that hangs is noticed after three of these without an answer, when nothing else is sent.
_PING_SECONDS = 20
# A stream that elects its leader, since it was just made or its servers were restarted, answers nothing, and a request
# of that moment gets no answer later: a thousand nodes that came back together waited the whole timeout.
_AGAIN_SECONDS = 0.5
# A server of a cluster learns of a stream that was just made a moment later; until then nobody takes a message for it.
_NOBODY_SECONDS, _NOBODY_PAUSE = 0.4, 0.05


class NatsConnection:
    """A connection with JetStream's requests; all methods are for the loop that opened it.

    It does not reconnect: whoever uses it dials again, at a time of its own. `lost` is called on the loop, once, when
    an open connection has ended without `close`.
    """

    def __init__(self, options: NatsOptions, lost: Callable[[], object] = lambda: None) -> None:
        self._options = options
        self._lost = lost
        self._client: NatsClient | None = None
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._inbox = ""
        self._asked = 0
        self.refused: NatsRefused | None = None
        """The last subject that the access control refused: what is sent there gets no answer."""
        self._api = f"$JS.{options.domain}.API" if options.domain else "$JS.API"

    @property
    def is_open(self) -> bool:
        """True while the server answers, as far as is known."""
        return self._client is not None and self._client.is_connected

    @property
    def max_payload(self) -> int:
        """The most bytes of a message with its headers."""
        return self._client.max_payload if self._client else 0

    @property
    def server(self) -> Mapping[str, Any]:
        """The server's INFO, as it was received first: `version`, `server_name`, `cluster`, `connect_urls`."""
        return self._client.info if self._client else {}

    @property
    def name(self) -> str:
        """Host and port of the server, for messages."""
        return self._client.address if self._client else ""

    async def open(self) -> None:
        """Connects to the first server that accepts, in a random order; raises NatsUnavailable or NatsRefused."""
        login = read_login(self._options)
        addresses = list(self._options.addresses)
        random.shuffle(addresses)
        failures: list[Exception] = []
        for address in addresses:
            try:
                self._client = await self._dial(address, login)
            except (NatsUnavailable, NatsRefused) as error:
                failures.append(error)
            else:
                return
        refusal = next((error for error in failures if isinstance(error, NatsRefused)), None)
        kind = NatsUnavailable if refusal is None else NatsRefused
        raise kind("; ".join(map(str, failures)))

    async def _dial(self, address: NatsServerAddress, login: Mapping[str, Any]) -> NatsClient:
        client = NatsClient(address.name, self._reported)
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await client.connect(
                    [address.url],
                    name="publisher",
                    allow_reconnect=False,
                    connect_timeout=int(self._options.connect_timeout) + 1,
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=2,
                    error_cb=client.failed,
                    disconnected_cb=self._ended,
                    **login,
                )
                self._inbox = client.new_inbox()
                await client.subscribe(f"{self._inbox}.*", cb=self._answered)
        except BaseException as error:
            await client.end()
            raise explained(error, address.name, self._options) from error
        client.is_ready = True
        return client

    async def _ended(self) -> None:
        """Called by nats-py when the connection is over, for whatever reason."""
        self._fail(NatsUnavailable(f"the connection to {self.name} was lost"))
        if self._client is not None:
            self._lost()

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)

    def _reported(self, error: Exception) -> None:
        """Takes what the server reports beside the answers: a refused subject gets no answer, ever."""
        if "permissions violation" in str(error).lower():
            self.refused = NatsRefused(f"{self.name}: {words(error)} (its access control)")
            self._fail(self.refused)

    async def _answered(self, message: Msg) -> None:
        future = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if future is not None and not future.done():
            future.set_result(message)

    async def request(
        self,
        subject: str,
        value: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        again_after: float | None = None,
    ) -> Msg:
        """Returns the answer to a request; raises NatsUnavailable or NatsRefused.

        With `again_after` it is sent again after so many seconds without an answer, then after twice as many.
        """
        client, left = self._open_client(), self._options.timeout
        wait = again_after or left
        while left > 0:
            wait = min(wait, left)
            with suppress(TimeoutError):
                return await self._request_once(client, subject, value, headers, wait)
            left, wait = left - wait, 2 * wait
        # Nothing is known of a connection that does not answer: the next attempt begins with a new one.
        silent = NatsUnavailable(f"{client.address} did not answer within {self._options.timeout:g} s ({subject})")
        await self.close(silent)
        raise silent

    async def _request_once(
        self, client: NatsClient, subject: str, value: bytes, headers: Mapping[str, str] | None, seconds: float
    ) -> Msg:
        self._asked += 1
        token = str(self._asked)
        future = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds) as limit:
                await client.publish(subject, value, f"{self._inbox}.{token}", dict(headers) if headers else None)
                _require_time(limit)
                message: Msg = await future
        except (errors.Error, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise NatsUnavailable(f"{client.address}: {words(error)}") from error
        finally:
            self._waiting.pop(token, None)
            if future.done() and not future.cancelled():
                future.exception()  # it may have failed while publishing was under way
        if message.headers and message.headers.get("Status") == "503":
            raise NatsRefused(f"{client.address}: nobody takes {subject}", NO_RESPONDERS)
        return message

    async def api(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the answer of JetStream's API, like `STREAM.INFO.KV_interfaces`; raises as `request`."""
        try:
            value = json.dumps(body).encode() if body else b""
            return _answer(await self.request(f"{self._api}.{subject}", value, again_after=_AGAIN_SECONDS))
        except NatsRefused as error:
            if error.code in (NO_RESPONDERS, *NOT_ENABLED):
                raise NatsRefused(self._no_jetstream(), error.code) from error
            raise

    def _no_jetstream(self) -> str:
        if self._options.domain:
            return f"{self.name}: no JetStream domain {self._options.domain!r} is reached from there, or it is off"
        return (
            f"{self.name}: JetStream is off there, or for this account: start the server with `jetstream {{}}` in its "
            "configuration (`nats-server -js`), or name the domain (domain = ...) where it is a leaf node; a node's "
            "own login may not watch"
        )

    async def subscribe(self, take: Callable[[InboxMessage], object]) -> Subscription:
        """Has a function called with each message to a subject of this connection alone; raises NatsUnavailable."""
        try:
            return await self._open_client().subscribe_directly(take)
        except (errors.Error, OSError) as error:
            raise NatsUnavailable(f"{self.name}: {words(error)}") from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Ends such a subscription, unless the connection has ended."""
        if self._client is not None:
            await self._client.unsubscribe_directly(subscription)

    async def ask(self, subject: str, body: Mapping[str, Any], reply: str) -> None:
        """Sends a question to JetStream's API, whose answers go to another subject; raises NatsUnavailable."""
        try:
            await self._open_client().publish(f"{self._api}.{subject}", json.dumps(body).encode(), reply)
        except (errors.Error, OSError) as error:
            raise NatsUnavailable(f"{self.name}: {words(error)}") from error

    async def put(self, message: NatsMessage, patience: float = _NOBODY_SECONDS) -> Ack:
        """Stores one message; raises NatsUnavailable, after which it may be stored or not, or NatsRefused.

        Where nobody takes it, it is sent again for `patience` seconds.
        """
        until = time.monotonic() + patience
        while True:
            try:
                return await self._put(message)
            except NatsRefused as error:
                if error.code != NO_RESPONDERS or time.monotonic() > until:
                    raise
            await asyncio.sleep(_NOBODY_PAUSE)

    async def _put(self, message: NatsMessage) -> Ack:
        answer = _answer(await self.request(self._subject(message), message.value, message.headers))
        return Ack(answer["seq"], answer["stream"])

    async def put_batch(self, messages: Sequence[NatsMessage]) -> Ack:
        """Stores all of them, or none: an atomic batch (NATS' ADR-50). Raises as `put`."""
        batch = secrets.token_hex(16)
        *first, last = (
            message.with_headers({"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)})
            for number, message in enumerate(messages, 1)
        )
        await self._send(first)
        return await self._put(last.with_headers({"Nats-Batch-Commit": "1"}))

    async def _send(self, messages: Sequence[NatsMessage]) -> None:
        """Sends messages that get no answer; raises NatsUnavailable."""
        client = self._open_client()
        try:
            async with asyncio.timeout(self._options.timeout) as limit:
                for message in messages:
                    await client.publish(self._subject(message), message.value, headers=dict(message.headers))
                    _require_time(limit)
        except TimeoutError:
            stuck = NatsUnavailable(f"{client.address} took nothing for {self._options.timeout:g} s")
            await self.close(stuck)
            raise stuck from None
        except (errors.Error, OSError) as error:
            raise NatsUnavailable(f"{client.address}: {words(error)}") from error

    def _subject(self, message: NatsMessage) -> str:
        """Returns the subject to publish to: a leaf node passes `$KV` on to another domain behind that one's prefix."""
        return f"{self._api}.{message.subject}" if self._options.domain else message.subject

    def _open_client(self) -> NatsClient:
        if self._client is None or not self._client.is_connected:
            raise NatsUnavailable("there is no connection to a server")
        return self._client

    async def close(self, reason: NatsUnavailable | None = None) -> None:
        """Ends the connection, within about a second also when the server hangs. Harmless when repeated.

        Requests that wait for an answer get the reason.
        """
        client, self._client = self._client, None
        if client is not None:
            await client.end()
        self._fail(reason or NatsUnavailable("the connection was closed"))


def _answer(message: Msg) -> dict[str, Any]:
    """Returns JetStream's answer; raises NatsRefused for an error."""
    try:
        answer = json.loads(message.data)
        error = answer.get("error")
    except (ValueError, AttributeError):
        raise NatsRefused(f"the answer is none of JetStream: {message.data[:100]!r}") from None
    if error:
        raise NatsRefused(str(error.get("description", error)), int(error.get("err_code", 0)))
    return dict(answer)


def _require_time(limit: asyncio.Timeout) -> None:
    """Raises TimeoutError when the time is over: nats-py's `publish` swallows the cancellation."""
    if limit.expired():
        raise TimeoutError
