"""Publishes every change of every IP interface.

`watch()` follows the interfaces of this host in a Python program, `subscribe()` those that are published at a URL; the
rest is for authors of sinks and sources.
"""

import logging

from .async_sink import AsyncSink
from .async_watch import AsyncWatch
from .client import (
    AsyncSubscription,
    NodeStatus,
    SubscribeRequest,
    Subscription,
    asubscribe,
    subscribe,
)
from .delivery.backoff import Backoff
from .errors import ConfigurationError, PublisherError
from .events import (
    Added,
    Address,
    AnyEvent,
    Change,
    Changed,
    DefaultRoute,
    Deleted,
    Event,
    InitialNotification,
    Interface,
    IpInterface,
    IpInterfaceRow,
    Snapshot,
    SnapshotStarted,
)
from .filters import EventFilter
from .history import Flap, HistoryPage, HistoryQuery
from .lock import FileLock, InUseError
from .plugins import DefaultSinks, ForgetRequest, WebRequest, hookimpl
from .sink import Cursor, Ended, Log, Rejected, Retry, Sink, SinkContext, SinkOptions
from .sources import Remove, Resync, Source, SourceContext, Update, Upsert
from .watcher import InterfaceFilter, Watch, awatch, watch

__version__ = "0.1.0"

# Without a handler, `logging` prints warnings on stderr in a program that configures no output.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Added",
    "Address",
    "AnyEvent",
    "AsyncSink",
    "AsyncSubscription",
    "AsyncWatch",
    "Backoff",
    "Change",
    "Changed",
    "ConfigurationError",
    "Cursor",
    "DefaultRoute",
    "DefaultSinks",
    "Deleted",
    "Ended",
    "Event",
    "EventFilter",
    "FileLock",
    "Flap",
    "ForgetRequest",
    "HistoryPage",
    "HistoryQuery",
    "InUseError",
    "InitialNotification",
    "Interface",
    "InterfaceFilter",
    "IpInterface",
    "IpInterfaceRow",
    "Log",
    "NodeStatus",
    "PublisherError",
    "Rejected",
    "Remove",
    "Resync",
    "Retry",
    "Sink",
    "SinkContext",
    "SinkOptions",
    "Snapshot",
    "SnapshotStarted",
    "Source",
    "SourceContext",
    "SubscribeRequest",
    "Subscription",
    "Update",
    "Upsert",
    "Watch",
    "WebRequest",
    "__version__",
    "asubscribe",
    "awatch",
    "hookimpl",
    "subscribe",
    "watch",
]
