"""The errors of a NATS server, as the sink tells them apart."""

from __future__ import annotations

from publisher import PublisherError


class NatsUnavailable(PublisherError):  # noqa: N818  # as Retry: a state of the server, not a mistake
    """No answer: the connection failed, was lost, or the server took too long. The outcome is not known."""


class NatsRefused(PublisherError):  # noqa: N818  # as NatsUnavailable
    """The server answered that it does not do it; `code` is JetStream's number for the reason, 0 without one."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class PlaceMovedError(PublisherError):
    """The bucket's last message of the node is not the one that this sink knows: its guard refused a write."""


class RivalError(PublisherError):
    """Another publisher writes under this node's name, and is there."""


# The status of a message that nobody takes.
NO_RESPONDERS = 503
# JetStream's numbers (nats-server, server/errors.json).
NO_MESSAGE = 10037
NOT_ENABLED = (10039, 10076)  # for the account; on the server
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = (10071, 10164)  # 10164 does not name the last one
NOT_CLUSTERED = 10074
NO_PEERS = 10005
STREAM_EXISTS = 10058
