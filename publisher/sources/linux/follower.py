"""The loop of the source on Linux: messages, reads and reconciles, in their order.

docs/linux.md holds the measurements that the rules here come from.
"""

from __future__ import annotations

import math
import selectors
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ...events import Cause
from ...repeated import RepeatedWarning
from .. import Resync, SourceContext, Update
from ..luids import LuidAssigner
from .cache import FAMILIES_OF, LinkCache
from .coalesce import classify, hold_back, index_of, touched
from .known_routes import losing
from .parts import ReadPart
from .rtnetlink import RTM_DELNETCONF, RTM_NEWNETCONF, Decoder, Link, Message, Netconf, Record

if sys.platform == "linux":
    from .default_routes import DueReads, ReadRoutes
    from .netlink import InterruptedDumpError, RefusedError
    from .notifications import MOST_DATAGRAMS, SMALLEST_DATAGRAM, NotificationSocket
    from .reader import LinuxReader
    from .reconcile import NOTHING, Reconcile
    from .steady import SteadyStream
    from .sysctl import Modified, SettingWatches
    from .wakeup import Clocks, SuspendDetector, Wakeup

assert sys.platform == "linux"

# After a loss everything is read when the flood is over: nothing came for `_CALM`, or at the latest after `_PATIENCE`.
# Touched links are read when no more messages wait, or at the latest after `_PATIENCE`.
_CALM, _PATIENCE = 0.05, 1.0
_RETRY = 1.0
# Links that are read before messages are received again: 1 ms for the reads, and up to 10 for their rows and events.
_MOST_READ = 50
# The removal of a link that vanishes while it is read was reported by then; this bounds the attempts to receive it.
_ROUNDS = 4


@dataclass
class Counts:
    """Counts since the start: losses of messages, invalid messages, and records that our models do not accept."""

    lost: int = 0
    invalid_messages: int = 0
    invalid_records: int = 0


class Follower:
    """The loop of a source, with its sockets."""

    def __init__(self, context: SourceContext, wakeup: Wakeup, wakeup_fd: int, clocks: Clocks, counts: Counts) -> None:
        self._context = context
        self._log = context.log
        self._wakeup = wakeup
        self._wakeup_fd = wakeup_fd
        self._now = clocks.running
        self._suspend = SuspendDetector(clocks)
        self._counts = counts
        self._dropped = RepeatedWarning(context.log, clocks.running)
        self._unread = RepeatedWarning(context.log, clocks.running)
        decoder = Decoder()
        self._reader = LinuxReader(decoder, context.log, FAMILIES_OF[context.families])
        luids = LuidAssigner(context.luids)
        self._cache = LinkCache(context.log, luids, self._reader.details, context.families, clocks.running)
        # Opened before anything is read: every later change is received.
        self._socket = NotificationSocket(decoder, context.receive_buffer, context.log)
        # Notifications that the receive buffer can hold.
        self._capacity = self._socket.receive_buffer // SMALLEST_DATAGRAM
        self._watches = SettingWatches()
        self._watches_fd = self._watches.fileno()
        self._selector = selectors.DefaultSelector()
        for fd in (self._socket.fileno(), wakeup_fd, self._watches_fd):
            if fd >= 0:
                self._selector.register(fd, selectors.EVENT_READ)
        self._steady = SteadyStream(self._socket.fileno(), self._capacity)
        # Of the last turn.
        self._applied = 0
        # Received and not applied yet; the first ones may be the begin of a removal of which the rest still waits.
        self._held: list[Message] = []
        self._waiting: deque[Message] = deque()
        # Since when more messages wait in the socket than were received.
        self._behind_since: float | None = None
        # Messages that were applied since a read of everything was due.
        self._applied_since_due = 0
        self._lost_since: float | None = None
        # In the order in which they are to be read: one that is touched again and again keeps its place.
        self._touched: dict[int, None] = {}
        self._causes: list[Cause] = []
        self._due = 0.0
        self._reconcile = Reconcile(self._reader, self._cache)
        self._routes = DueReads(self._reader.default_routes, self._reader.families, context.log, clocks.running)

    def start(self) -> list[Update]:
        """Returns the first list; raises SourceError."""
        self._causes = ["startup"]
        updates = self._read_everything()
        self._log.debug("following rtnetlink with a receive buffer of %d bytes", self._socket.receive_buffer)
        return updates

    def next(self) -> list[Update]:
        """Returns the next updates, none when woken or when the idle time is over; raises SourceError."""
        idle = self._context.idle_seconds
        idle_until = math.inf if idle is None else self._now() + idle
        while True:
            ready = self._wait(idle_until)
            if self._suspend.was_suspended():
                self._log.info("the system was suspended; all interfaces are read again")
                self._request("reconcile")
            if not ready and self._has_nothing_to_do():
                return []
            if woken := self._wakeup_fd in ready:
                for cause in self._wakeup.take():
                    self._request(cause)
            updates = self._follow(self._modified(ready))
            if self._resync_is_due():
                updates += self._reconcile_or_resync()
            if self._reconcile.goes_on and not self._touched and self._may_go_in_parts():
                updates += self._compare_next()
            self._counts.invalid_records = self._cache.validator.invalid
            if updates or woken or self._now() >= idle_until:
                return updates

    def _has_nothing_to_do(self) -> bool:
        """Returns whether a wait that ended without a descriptor ended for the idle time alone.

        All the code between two waits costs 100 µs when its caches are cold, as they are after an idle second.
        """
        return not (
            self._more_wait()
            or self._held
            or self._touched
            or self._cache.incomplete
            or self._reconcile.goes_on
            or self._now() >= min(self._due, self._cache.put_off_until, self._routes.due_at)
        )

    def _may_go_in_parts(self) -> bool:
        """Returns whether a part can be compared now: no message waits that leads to an earlier state than it shows."""
        return not self._causes and self._lost_since is None and not self._more_wait()

    def _compare_next(self) -> list[Update]:
        """Reads the next part of everything, and returns the updates of what no message reported."""
        try:
            shown = self._reconcile.next()
        except (InterruptedDumpError, RefusedError) as error:
            self._log.warning("cannot read the interfaces in parts: %s; all are read again", error)
            self._request("reconcile", _RETRY)
            self._reconcile.forget()
            return []
        if not self._reconcile.goes_on:
            self._end_reconcile()
        if shown is NOTHING:
            return []
        # They may be about what the part shows.
        self._queue(self._receive())
        reported = self._reconcile.reported
        if self._behind_since is not None:
            reported |= shown.indexes()
        self._touched |= dict.fromkeys(reported.intersection(link.ifindex for link in shown.links))
        return self._cache.compare(shown, reported)

    def _end_reconcile(self) -> None:
        if self._watches.has_room:
            self._watches.keep_only(self._cache.names())
        if self._reader.details.path_mtu_times() != self._cache.path_mtu:
            self._request("reconcile")
        self._routes.mark(self._reader.families, "reconcile")

    def close(self) -> None:
        """Releases the sockets."""
        self._selector.close()
        self._watches.close()
        self._socket.close()
        self._reader.close()

    def _wait(self, until: float) -> set[int]:
        """Returns the descriptors that are ready."""
        # After a loss all rows come with the resync.
        put_off_until = math.inf
        if self._lost_since is None:
            put_off_until = min(self._cache.put_off_until, self._routes.due_at)
        at_once = self._more_wait() or self._touched or (self._reconcile.goes_on and self._may_go_in_parts())
        pause = 0.0 if at_once else min(self._due, until, put_off_until) - self._now()
        timeout = None if pause == math.inf else max(0.0, pause)
        if not at_once:
            self._steady.turn(self._applied)
            self._applied = 0
        return {key.fd for key, _ in self._selector.select(timeout)}

    def _modified(self, ready: set[int]) -> set[int]:
        """Returns the interfaces of which a setting was written."""
        modified = self._watches.modified() if self._watches_fd in ready else Modified(set(), all=False)
        if modified.all:
            self._due = min(self._due, self._now() + _CALM)
        return modified.indexes

    def _follow(self, modified: set[int]) -> list[Update]:
        """Returns the updates of received messages and of written settings."""
        messages = self._next_messages()
        self._cache.read_times(modified)
        self._reconcile.reported |= modified
        self._touched |= dict.fromkeys(modified | touched(messages, self._cache.link))
        reads = self._read_touched(messages) if self._may_read() else None
        self._routes.mark(self._cache.routes.changed_by(messages), "notification")
        routes = self._read_routes() if reads is not None else ReadRoutes({}, {})
        updates = self._cache.apply(messages, reads, routes.reported)
        if routes.found:
            updates += self._cache.compare(ReadPart(routes=routes.found), set())
        self._watch(messages, reads or ())
        if self._cache.incomplete and reads is not None:
            updates += self._complete()
        return updates

    def _read_routes(self) -> ReadRoutes:
        """Returns the default routes that were due; those of a link come with the waiting message that takes them."""
        read = self._routes.next()
        families = read.reported.keys() | read.found.keys()
        if not families:
            return read
        fresh = self._receive()
        self._queue(fresh)
        if reported := losing(fresh):
            self._routes.mark(families, "notification")
        listed = self._cache.routes.kept({**read.reported, **read.found}, reported)
        # These messages may report what a reconcile seems to have found.
        silent = read.found.keys() - self._cache.routes.changed_by(fresh)
        return ReadRoutes(
            {family: listed[family] for family in families - silent}, {family: listed[family] for family in silent}
        )

    def _complete(self) -> list[Update]:
        """Reads whole the links of which a message carried a part, and takes what no waiting message reports."""
        reads = self._read(self._cache.incomplete)
        fresh = self._receive()
        self._queue(fresh)
        reported = {index_of(message.record) for message in fresh}
        return self._cache.complete({index: link for index, link in reads.items() if index not in reported})

    def _next_messages(self) -> list[Message]:
        """Returns the next messages, a bounded number, in order."""
        if self._waiting:
            messages = [self._waiting.popleft() for _ in range(min(MOST_DATAGRAMS, len(self._waiting)))]
        else:
            held, fresh = self._held, self._receive()
            fresh, self._held = hold_back(fresh) if self._behind_since is not None else (fresh, [])
            messages = held + fresh
        self._applied = len(messages)
        self._applied_since_due += self._applied
        return messages

    def _receive(self) -> list[Message]:
        received = self._socket.receive()
        now = self._now()
        if not received.more:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        if received.lost:
            self._counts.lost += 1
            if self._lost_since is None:
                self._dropped.warn("the kernel dropped messages; all interfaces are read when the flood is over")
                self._lost_since = now
                self._causes.insert(0, "overrun")
        if self._lost_since is not None and (received.lost or received.messages):
            self._due = min(now + _CALM, self._lost_since + _PATIENCE)
        self._reconcile.reported.update(map(_index, received.messages))
        for datagram in received.invalid:
            self._counts.invalid_messages += 1
            self._log.error("invalid message of the kernel: %s; all interfaces are read again", datagram.hex())
            self._request("reconcile", _RETRY)
        return received.messages

    def _more_wait(self) -> bool:
        return bool(self._waiting) or self._behind_since is not None

    def _may_read(self) -> bool:
        """Returns whether touched links are to be read now. After a loss their settings come with all rows."""
        if self._lost_since is not None:
            return False
        overdue = self._behind_since is not None and self._now() >= self._behind_since + _PATIENCE
        return overdue or not self._more_wait()

    def _resync_is_due(self) -> bool:
        """Returns whether everything is to be read now.

        What waits when it becomes due is applied before: no more messages wait, or as many were applied as the receive
        buffer can hold. After a loss there is no such order to keep.
        """
        if self._now() < self._due:
            self._applied_since_due = 0
            return False
        return self._lost_since is not None or not self._more_wait() or self._applied_since_due > self._capacity

    def _read_touched(self, messages: list[Message]) -> dict[int, Link | None]:
        """Reads each touched link once. The removal of one that no longer exists is received, too, into `messages`."""
        reads: dict[int, Link | None] = {}
        indexes = self._to_read_now(messages)
        for index in indexes:
            del self._touched[index]
        for round_ in range(1, _ROUNDS + 1):
            reads |= self._read(indexes)
            removed = {index for index, link in reads.items() if link is None}
            if round_ == _ROUNDS or not removed or removed <= classify(messages).removed:
                break
            fresh = self._next_messages()
            messages += fresh
            indexes = touched(fresh, self._cache.link)
        if self._behind_since is not None:
            self._behind_since = self._now()
        return reads

    def _to_read_now(self, messages: Iterable[Message]) -> set[int]:
        """Returns the touched links of which these messages report more than settings, and a bounded number of others.

        A write to `all` reports a setting of each link. The others are those that have waited longest.
        """
        if len(self._touched) <= _MOST_READ:
            return set(self._touched)
        more = {index_of(message.record) for message in messages if self._reports_more(message.record)}
        now = self._touched.keys() & more
        others = (index for index in self._touched if index not in now)
        return now | set(islice(others, max(0, _MOST_READ - len(now))))

    def _reports_more(self, record: Record | None) -> bool:
        """Returns whether a message reports more than settings of the families."""
        if isinstance(record, Netconf):
            return False
        known = self._cache.link(index_of(record))
        return known is None or not isinstance(record, Link) or record.own != known.own

    def _read(self, indexes: Iterable[int]) -> dict[int, Link | None]:
        """Returns the links as they are now; none when they cannot be read: everything is read again then."""
        try:
            return self._reader.links(indexes)
        except InterruptedDumpError as error:
            self._unread.warn("cannot read a link now: %s; all interfaces are read again", error)
            self._request("reconcile", _RETRY)
            return {}

    def _watch(self, messages: Iterable[Message], reads: Iterable[int]) -> None:
        """Watches new links, and those whose directories were renamed or made again."""
        for kind, _, _, record in messages:
            if kind in (RTM_NEWNETCONF, RTM_DELNETCONF):
                index = index_of(record)
                if kind == RTM_DELNETCONF or not self._watches.complete(index):
                    self._watches.forget(index)
        for index in reads:
            name = self._cache.name(index)
            if name is None:
                self._watches.forget(index)
            else:
                self._watches.keep(index, name)

    def _reconcile_or_resync(self) -> list[Update]:
        if not self._may_go_in_parts():
            return self._resync()
        if not (self._reconcile.goes_on or self._touched):
            self._due = self._now() + self._context.reconcile_seconds
            self._reconcile.begin()
        return []

    def _resync(self) -> list[Update]:
        put_off = self._cache.flush() if self._lost_since is None else []
        try:
            return put_off + self._read_everything()
        except InterruptedDumpError as error:
            self._unread.warn("cannot read the interfaces now: %s; trying again in %.0f s", error, _RETRY)
            self._due = self._now() + _RETRY
            return put_off

    def _read_everything(self) -> list[Update]:
        """Returns a Resync for each cause. Raises InterruptedDumpError, and then nothing has changed; SourceError."""
        if self._lost_since is not None:
            # Until the socket is empty the kernel drops messages without another report (netlink_overrun).
            self._receive_all()
        self._reconcile.forget()
        dump = self._reader.dump()
        self._reconcile.dumped()
        self._routes.forget()
        self._routes.mark(set(self._reader.families) - dump.routes.keys(), "reconcile")
        self._lost_since = None
        self._due = self._now() + self._context.reconcile_seconds
        causes, self._causes = self._causes or ["reconcile"], []
        # The dump may show what these report; the cache needs all of them.
        self._receive_all()
        if losing(self._waiting):
            self._routes.mark(dump.routes.keys(), "notification")
        rows, waiting = self._cache.resync(dump, list(self._waiting))
        self._waiting = deque(waiting)
        self._touched.clear()
        self._watches.keep_only(self._cache.names())
        return [Resync(rows, cause) for cause in dict.fromkeys(causes)]

    def _receive_all(self) -> None:
        """Receives everything that waits, and no more than the receive buffer can hold."""
        for _ in range(1 + self._capacity // MOST_DATAGRAMS):
            self._queue(self._receive())
            if self._behind_since is None:
                break

    def _queue(self, messages: list[Message]) -> None:
        """Lets received messages wait, after those that were held back."""
        self._waiting += self._held + messages
        self._held = []

    def _request(self, cause: Cause, delay: float = 0.0) -> None:
        """Requests a read of everything, at the latest after this delay; after a loss, when the flood is over."""
        self._causes.append(cause)
        if self._lost_since is None:
            self._due = min(self._due, self._now() + delay)


def _index(message: Message) -> int:
    return index_of(message.record)
