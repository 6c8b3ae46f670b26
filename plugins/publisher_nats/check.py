"""Tries the servers, the buckets and the rights for `publisher check`: nothing is stored there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from publisher.terminal import printable

from .connection import NatsConnection
from .errors import NO_RESPONDERS, WRONG_LAST_SEQUENCE, NatsRefused, NatsUnavailable
from .messages import NatsMessage
from .names import NodeSubjects, status_bucket, stream_of
from .place import last_message
from .status import StatusKey
from .stream import missing_in, missing_in_status, require_version, stream_info

if TYPE_CHECKING:
    from .options import NatsOptions

# A guard that no stream can meet: the server refuses the message, once it has looked at the right to send it.
_NEVER = {"Nats-Expected-Last-Subject-Sequence": str(1 << 62)}
_NO_INTERFACE = "0" * 16
_ROUND_TRIPS = 3
# A server that has yet to learn of a bucket that was just made has nobody who takes a message; neither has a login that
# may not write. That is told apart by waiting, once for all that is tried.
_PATIENCE_SECONDS = 3.0
# nats-server, server/errors.json: JSStreamMismatchErr.
_NAME_DIFFERS = 10056


async def check_servers(options: NatsOptions, node: str) -> str:
    """Returns a line of what works; raises NatsRefused with a line of what does not."""
    alone = [options.model_copy(update={"servers": (url,), "username": options.user}) for url in options.servers]
    connections = [NatsConnection(one) for one in alone]
    troubles: list[str] = []
    lines: list[str] = []
    try:
        for error in await asyncio.gather(*(one.open() for one in connections), return_exceptions=True):
            if isinstance(error, NatsUnavailable | NatsRefused):
                troubles.append(str(error))
            elif error is not None:
                raise error
        if reached := [one for one in connections if one.is_open]:
            lines.append(await _BucketCheck(reached, options, node).line())
    except (NatsUnavailable, NatsRefused) as error:
        troubles.insert(0, str(error))
    finally:
        await asyncio.gather(*(one.close() for one in connections))
    if troubles:
        raise NatsRefused("; ".join([*troubles, *lines]))
    return lines[0]


class _BucketCheck:
    """One look at the buckets, by the first of the servers that were reached."""

    def __init__(self, reached: Sequence[NatsConnection], options: NatsOptions, node: str) -> None:
        self._reached, self._options = reached, options
        self._connection = reached[0]
        self._node = node
        self._subjects = NodeSubjects(options.bucket, node)
        self._streams = stream_of(options.bucket), stream_of(status_bucket(options.bucket))
        self._patient_until = time.monotonic() + _PATIENCE_SECONDS

    async def line(self) -> str:
        """Returns what works; raises NatsUnavailable or NatsRefused with what does not."""
        for one in self._reached:
            require_version(one)
        rows, status = [await stream_info(self._connection, name) for name in self._streams]
        for info, missing in ((rows, missing_in), (status, missing_in_status)):
            if info is not None and (wanting := missing(info["config"])):
                raise NatsRefused(f"the stream {info['config']['name']} needs other settings: {', '.join(wanting)}")
        if refusals := [error for right in self._rights(rows, status) if (error := await _refusal(right))]:
            raise NatsRefused("; ".join(map(str, refusals)) + self._why(refusals))
        remarks = [
            self._about(rows),
            await self._speed(),
            *_copies(rows),
            *_copies(status),
            *await self._holder(status),
        ]
        return f"publishes to the bucket {self._options.bucket} on {self._servers(rows)}; {'; '.join(remarks)}"

    def _why(self, refusals: Sequence[NatsRefused]) -> str:
        """Returns the reason of refusals that give none: a subject that this login's account does not import."""
        if any(error.code == NO_RESPONDERS for error in refusals):
            return f": this login may not write the keys of the node {self._node!r}; each node has one of its own"
        return ""

    def _servers(self, rows: dict[str, Any] | None) -> str:
        """Returns the servers, their versions and their cluster."""
        names = ", ".join(one.name for one in self._reached)
        versions = sorted({str(one.server.get("version")) for one in self._reached})
        parts = [f"nats-server {' and '.join(map(printable, versions))}"]
        cluster = self._connection.server.get("cluster")
        copies = 0 if rows is None else 1 + len((rows.get("cluster") or {}).get("replicas") or ())
        size = max(copies, len(self._connection.server.get("connect_urls") or ()), len(self._reached))
        parts.append(f"cluster {printable(str(cluster))} of {size} servers" if cluster else "one server alone")
        if self._options.addresses[0].tls:
            verified = "" if not self._options.insecure else ", the certificate is not verified: insecure = true"
            parts.append(f"TLS{verified}")
        return f"{names} ({'; '.join(parts)})"

    def _about(self, rows: dict[str, Any] | None) -> str:
        if rows is None:
            return "the bucket is not there yet, and the first start makes it"
        config = rows["config"]
        copies = config.get("num_replicas", 1)
        return f"{copies} {'copy' if copies == 1 else 'copies'}, history {config.get('max_msgs_per_subject')}"

    async def _speed(self) -> str:
        """Returns the time that JetStream takes for an answer: the shortest of some."""
        times = []
        for _ in range(_ROUND_TRIPS):
            began = time.perf_counter()
            await stream_info(self._connection, self._streams[0])
            times.append(time.perf_counter() - began)
        return f"answers in {min(times) * 1000:.1f} ms"

    def _rights(
        self, rows: dict[str, Any] | None, status: dict[str, Any] | None
    ) -> list[Callable[[], Awaitable[object]]]:
        """Returns attempts at everything that the sink does, none of which stores anything."""
        rights: list[Callable[[], Awaitable[object]]] = []
        written = [self._subjects.position, self._subjects.row(_NO_INTERFACE, "inet")]
        for stream, info, subjects in zip(
            self._streams, (rows, status), (written, [self._subjects.status]), strict=True
        ):
            if info is None:
                rights.append(partial(self._make, stream))
            else:
                rights.append(partial(last_message, self._connection, stream, subjects[0]))
                rights += [partial(self._write, subject) for subject in subjects]
        return rights

    async def _write(self, subject: str) -> None:
        try:
            await self._connection.put(NatsMessage(subject, b"", _NEVER), self._patient_until - time.monotonic())
        except NatsRefused as error:
            if error.code not in WRONG_LAST_SEQUENCE:
                raise

    async def _make(self, stream: str) -> None:
        """Asks for a stream under another name than that of the request, which is refused."""
        try:
            await self._connection.api(f"STREAM.CREATE.{stream}", {"name": f"{stream}_"})
        except NatsRefused as error:
            if error.code != _NAME_DIFFERS:
                raise NatsRefused(f"the stream {stream} is missing and cannot be made: {error}") from error

    async def _holder(self, status: dict[str, Any] | None) -> list[str]:
        """Returns a remark when another host holds the lease of this node."""
        if status is None:
            return []
        holder = (await StatusKey(self._options.bucket, self._node).read(self._connection)).holder
        if holder is None or holder.host == socket.gethostname():
            return []
        return [f"the host {printable(holder.host)} publishes there as {self._node} now"]


async def _refusal(attempt: Callable[[], Awaitable[object]]) -> NatsRefused | None:
    try:
        await attempt()
    except NatsRefused as error:
        return error
    return None


def _copies(info: dict[str, Any] | None) -> list[str]:
    """Returns a remark about servers that do not have a stream as it is now."""
    if info is None:
        return []
    peers = (info.get("cluster") or {}).get("replicas") or ()
    away = [printable(str(peer.get("name"))) for peer in peers if peer.get("offline") or not peer.get("current")]
    return [f"{info['config']['name']} is not up to date on {', '.join(away)}"] if away else []
