"""The subscriber's side: the rows and the changes of every node at a URL; and the contract of its transports."""

from .asynchronous import AsyncSubscription, asubscribe
from .nodes import Nodes
from .outbox import NodeStatus
from .rows import RowKey, Rows
from .subscription import StopEvent, Subscription, subscribe
from .transport import ClientLink, Question, SubscribeRequest, Transport, TransportFactory, Wait

__all__ = [
    "AsyncSubscription",
    "ClientLink",
    "NodeStatus",
    "Nodes",
    "Question",
    "RowKey",
    "Rows",
    "StopEvent",
    "SubscribeRequest",
    "Subscription",
    "Transport",
    "TransportFactory",
    "Wait",
    "asubscribe",
    "subscribe",
]
