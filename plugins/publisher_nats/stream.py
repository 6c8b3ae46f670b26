"""The streams of a bucket: made when they are missing, and judged when they are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import NO_PEERS, NOT_CLUSTERED, STREAM_EXISTS, STREAM_NOT_FOUND, NatsRefused
from .names import status_bucket, stream_of

if TYPE_CHECKING:
    from .connection import NatsConnection
    from .options import NatsOptions

NEEDED = (2, 12)


def bucket_config(options: NatsOptions, replicas: int) -> dict[str, Any]:
    """Returns the configuration of the stream that has the rows."""
    return _config(options.bucket, options.history, replicas) | {"allow_atomic": True}


def status_config(options: NatsOptions, replicas: int) -> dict[str, Any]:
    """Returns the configuration of the stream that has the nodes' status."""
    # The server's own marker, when a lease has run out, is what watchers are told by; it stays a day.
    return _config(status_bucket(options.bucket), 1, replicas) | {"subject_delete_marker_ttl": 86_400 * 10**9}


def _config(bucket: str, history: int, replicas: int) -> dict[str, Any]:
    return {
        "name": stream_of(bucket),
        "subjects": [f"$KV.{bucket}.>"],
        "max_msgs_per_subject": history,
        "num_replicas": replicas,
        "storage": "file",
        "discard": "new",
        "allow_msg_ttl": True,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }


async def ensured(connection: NatsConnection, options: NatsOptions) -> dict[str, Any]:
    """Returns the configuration of the bucket's stream, which is made when it is missing, as is the status'.

    Raises NatsUnavailable, or NatsRefused with what is needed.
    """
    require_version(connection)
    stream = await _found_or_made(connection, options, bucket_config)
    status = await _found_or_made(connection, options, status_config)
    for config, wanting in ((stream, missing_in(stream)), (status, missing_in_status(status))):
        if wanting:
            raise NatsRefused(
                f"the stream {config['name']} was made with other settings: it needs {', '.join(wanting)}; "
                f"change it (`nats stream edit {config['name']}`), or name another bucket"
            )
    return stream


def missing_in(stream: Mapping[str, Any]) -> list[str]:
    """Returns the settings that the bucket's stream needs and does not have."""
    needed = {"allow_atomic": True, "allow_msg_ttl": True}
    return [f"{name} = {str(value).lower()}" for name, value in needed.items() if stream.get(name, False) != value]


def missing_in_status(stream: Mapping[str, Any]) -> list[str]:
    """Returns the settings that the status' stream needs and does not have: without them no lost node is marked."""
    wanting = [] if stream.get("allow_msg_ttl", False) else ["allow_msg_ttl = true"]
    if not stream.get("subject_delete_marker_ttl", 0):
        wanting.append("subject_delete_marker_ttl = 24h")
    if stream.get("max_msgs_per_subject") != 1:
        # With more, the server makes a lease as long as the marker's time (nats-server, pull request 6818).
        wanting.append("max_msgs_per_subject = 1")
    return wanting


def require_version(connection: NatsConnection) -> None:
    """Raises NatsRefused for a server that is too old."""
    version = str(connection.server.get("version", ""))
    numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < NEEDED:
        raise NatsRefused(f"{connection.name} is nats-server {version or 'of no version'}: 2.12 or newer is needed")


async def stream_info(connection: NatsConnection, stream: str) -> dict[str, Any] | None:
    """Returns JetStream's answer about a stream, with `config` and `state`; None when there is none."""
    try:
        return await connection.api(f"STREAM.INFO.{stream}")
    except NatsRefused as error:
        if error.code == STREAM_NOT_FOUND:
            return None
        raise


async def _found_or_made(connection: NatsConnection, options: NatsOptions, config: Any) -> dict[str, Any]:
    name = config(options, 1)["name"]
    info = await stream_info(connection, name)
    while info is None:
        try:
            info = await _made(connection, options, config)
        except NatsRefused as error:
            if error.code != STREAM_EXISTS:
                raise NatsRefused(f"the stream {name} is missing and cannot be made: {error}", error.code) from error
            info = await stream_info(connection, name)  # another node made it meanwhile
    return dict(info["config"])


async def _made(connection: NatsConnection, options: NatsOptions, config: Any) -> dict[str, Any]:
    made = config(options, options.replicas or 3)
    try:
        return await connection.api(f"STREAM.CREATE.{made['name']}", made)
    except NatsRefused as error:
        if error.code == NOT_CLUSTERED and options.replicas is None:
            alone = config(options, 1)
            return await connection.api(f"STREAM.CREATE.{made['name']}", alone)
        if error.code in (NO_PEERS, NOT_CLUSTERED):
            count = made["num_replicas"]
            raise NatsRefused(
                f"{error}: for {count} copies it takes {count} servers of the cluster that run JetStream; "
                "start them, or set replicas = 1",
                error.code,
            ) from error
        raise
