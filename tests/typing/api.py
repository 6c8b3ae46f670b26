"""The public API in use: by the author of a sink, by the author of a source, by a program that watches.

`make lint` checks the types, `test_api.py` runs it. It imports public modules only. `assert_type` pins the type that a
user gets: a change there breaks their type check, so it belongs in the changelog.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, Self, assert_never, assert_type

from publisher import (
    Added,
    Address,
    AnyEvent,
    AsyncSink,
    AsyncSubscription,
    AsyncWatch,
    Change,
    Changed,
    ConfigurationError,
    Cursor,
    DefaultRoute,
    DefaultSinks,
    Deleted,
    Ended,
    Event,
    EventFilter,
    FileLock,
    Flap,
    ForgetRequest,
    HistoryPage,
    HistoryQuery,
    InitialNotification,
    Interface,
    InterfaceFilter,
    InUseError,
    IpInterface,
    IpInterfaceRow,
    Log,
    NodeStatus,
    PublisherError,
    Rejected,
    Remove,
    Resync,
    Retry,
    Sink,
    SinkContext,
    SinkOptions,
    Snapshot,
    SnapshotStarted,
    Source,
    SourceContext,
    SubscribeRequest,
    Subscription,
    Update,
    Upsert,
    Watch,
    WebRequest,
    asubscribe,
    awatch,
    hookimpl,
    subscribe,
    watch,
)
from publisher.client import ClientLink, Nodes, Question, RowKey, Rows, TransportFactory, Wait
from publisher.events import UNKNOWN, Cause, Family, Key, Kind, NotificationType, Settled, Unknown, make_luid
from publisher.netioapi import (
    CancelInsideCallbackError,
    IfRow,
    IfStackRow,
    InterfaceNotFoundError,
    InvalidHandleError,
    InvalidParameterError,
    InvertedIfStackRow,
    IpForwardRow,
    NetioError,
    NotFoundError,
    NotificationHandle,
    NotSupportedError,
    SystemFailureError,
    UnicastIpAddressRow,
    cancel_mib_change_notify2,
    convert_interface_alias_to_luid,
    convert_interface_guid_to_luid,
    convert_interface_index_to_luid,
    convert_interface_luid_to_alias,
    convert_interface_luid_to_guid,
    convert_interface_luid_to_index,
    convert_interface_luid_to_name,
    convert_interface_name_to_luid,
    get_if_entry2,
    get_if_stack_table,
    get_if_table2,
    get_inverted_if_stack_table,
    get_ip_forward_table2,
    get_ip_interface_entry,
    get_ip_interface_table,
    get_unicast_ip_address_entry,
    get_unicast_ip_address_table,
    initialize_ip_interface_entry,
    notify_ip_interface_change,
    notify_route_change2,
    notify_unicast_ip_address_change,
    set_ip_interface_entry,
)
from publisher.text import joined, text_of


# The author of a sink.
class NotebookSink(Sink):
    """Write one line for each event into a notebook."""

    class Options(SinkOptions):
        """The options of a `notebook` sink."""

        path: Path
        longest: int = 80

        @property
        def destination(self) -> str:
            return str(self.path)

        @property
        def exclusive(self) -> str:
            return f"notebook {self.path.resolve()}"

        @property
        def by_destination(self) -> tuple[Self, ...]:
            return (self,)

    options: Options
    batch_size = 16

    def __init__(self, options: Options, context: SinkContext) -> None:
        super().__init__(options, context)
        self.lock = FileLock(options.path.with_suffix(".lock"))

    def open(self) -> None:
        if not self.options.path.parent.is_dir():
            raise Retry(f"{self.options.path.parent} is not a folder", after=30.0)
        try:
            self.lock.acquire()
        except InUseError as error:
            raise Retry(f"another publisher writes here: {error}", after=30.0) from error
        self.context.call(self.rule_off, delay=60.0)

    def publish(self, events: Sequence[Event]) -> None:
        for index, event in enumerate(events):
            line = describe(event)
            if len(line) > self.options.longest:
                raise Rejected(f"a line of {len(line)} characters does not fit", index=index)
            if self.options.path.is_dir():
                raise Ended("the notebook became a folder", index=index, durable=False)
            self.write(line)

    def close(self) -> None:
        self.lock.release()

    def cursor(self) -> Cursor | None:
        return None

    def fileno(self) -> int | None:
        return None

    def ready(self) -> None: ...

    def check(self) -> str:
        if self.options.path.is_dir():
            raise ConfigurationError(f"{self.options.path} is a folder: name a file")
        return f"writes to {self.options.path}"

    def retains(self) -> tuple[str, ...]:
        return (str(self.options.path),)

    def forget(self, places: Sequence[str]) -> None:
        for place in places:
            Path(place).unlink(missing_ok=True)

    def rule_off(self) -> None:
        """Draws a line; called on the sink's thread."""
        self.write("---")
        for event in self.context.snapshot():
            self.write(describe(event))
        missed = self.context.events_since(self.context.epoch, 0)
        assert_type(missed, list[Event] | None)
        if missed is None:
            self.context.request_snapshot()
        assert_type(self.context.luids(), frozenset[str])
        self.write_history(datetime.now(UTC) - timedelta(hours=1))

    def write_history(self, since: datetime) -> None:
        """Writes what happened; any thread may call it."""
        page = self.context.history(HistoryQuery(since=since, kinds=("link_down",), limit=10))
        assert_type(page, HistoryPage)
        assert_type(page.more, bool)
        for event in page.events:
            assert_type(event, Event)
            self.write(describe(event))
        flaps = self.context.flaps(since)
        assert_type(flaps, dict[str, tuple[Flap, ...]])
        assert_type([(flap.time, flap.count) for found in flaps.values() for flap in found], list[tuple[datetime, int]])
        assert_type(self.context.status(), dict[str, Any])

    def write(self, line: str) -> None:
        """Appends one line."""
        with self.options.path.open("a", encoding="utf-8") as notebook:
            notebook.write(f"{line}\n")


# The author of a sink for an async library.
class SlowSink(AsyncSink):
    """Writes nothing, slowly."""

    async def aopen(self) -> None:
        self.written = 0

    async def apublish(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        self.written += len(events)

    async def aclose(self) -> None:
        self.written = 0

    def check(self) -> str:
        assert_type(self.run(self.look()), str)
        return self.run(self.look())

    async def look(self) -> str:
        """Returns a line."""
        return "works"


def wants(options: SinkOptions) -> str:
    """Returns the options that every sink has, in words."""
    assert_type(options.only, EventFilter)
    assert_type(options.settle, timedelta | None)
    assert_type(options.snapshot, bool)
    return "some" if assert_type(options.skips, bool) else "all"


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    return {"notebook": NotebookSink, "slow": SlowSink}


@hookimpl
def publisher_default_sinks(log: Log) -> DefaultSinks:
    """Adds a notebook to a run without a configuration, if there is one already."""
    path = Path("notebook.txt")
    if not path.is_file():
        log.debug("no notebook at %s", path)
        return DefaultSinks({})
    return DefaultSinks({"notebook": {"type": "notebook", "path": str(path)}}, (f"Notebook:  {path}",))


@hookimpl
def publisher_clients() -> dict[str, TransportFactory]:
    return {"notebook": NotebookTransport}


@hookimpl
def publisher_forgetters() -> dict[str, Callable[[ForgetRequest, SinkContext], Sink]]:
    return {"notebook": notebook_of}


def notebook_of(request: ForgetRequest, context: SinkContext) -> Sink:
    """Returns the sink of a notebook, for `publisher forget notebook://FILE`."""
    return NotebookSink(NotebookSink.Options(path=Path(request.url.removeprefix("notebook://"))), context)


@hookimpl
def publisher_pages() -> dict[str, Callable[[WebRequest, Subscription], None]]:
    return {"notebook": write_page}


def write_page(request: WebRequest, subscription: Subscription) -> None:
    """A page as a file, named by the address."""
    assert_type(request.hosts, tuple[str, ...])
    with subscription as events, Path(request.address or "page.txt").open("w") as page:
        page.writelines(f"{event.node}: {event.text()}\n" for event in events)


# The author of a client.
class NotebookTransport:
    """Follows a notebook in which a node writes its status, for `publisher.subscribe("notebook://FILE")`."""

    def __init__(self, request: SubscribeRequest) -> None:
        self._path = Path(request.url.removeprefix("notebook://"))

    def connect(self, nodes: Nodes) -> ClientLink:
        if not self._path.is_file():
            raise PublisherError(f"{self._path} is no notebook")
        return NotebookLink(self._path, nodes)


class NotebookLink:
    """An open notebook."""

    def __init__(self, path: Path, nodes: Nodes) -> None:
        self._path = path
        self._nodes = nodes
        self._woken = threading.Event()

    def receive(self, wait: Wait, seconds: float) -> None:
        assert_type(wait, Wait)
        self._nodes.status(self._path.stem, self._path.read_bytes())
        self._woken.wait(seconds)

    def ask(self, question: Question) -> None:
        self._nodes.refused(question.node)

    def states_again(self, node: str) -> None: ...

    def interrupt(self) -> None:
        self._woken.set()

    def close(self) -> None: ...


# A program that subscribes.
def listen(url: str, most: int = 10) -> list[str]:
    """Returns one line for each of the first things that are received."""
    rows = Rows()
    lines: list[str] = []
    with subscribe(url, nodes=["nas"], since={"nas": Cursor("0" * 16, 1)}, stop=threading.Event()) as subscription:
        assert_type(subscription, Subscription)
        assert_type(next(iter([subscription])).nodes, Mapping[str, NodeStatus])
        assert_type(subscription.history("nas", last=10), list[AnyEvent] | None)
        while len(lines) < most and not subscription.closed:
            received = subscription.read(1.0)
            assert_type(received, list[AnyEvent | NodeStatus])
            for entry in received:
                if isinstance(entry, NodeStatus):
                    lines.append(f"{entry.node} {entry.online} {entry.in_sync} {entry.skips} {entry.epoch}-{entry.seq}")
                else:
                    rows.apply(entry)
                    lines.append(explain(entry))
    assert_type(list(rows.values()), list[InitialNotification | Added | Changed])
    assert_type(next(iter(rows), None), RowKey | None)
    return lines


async def alisten(url: str, credentials: Path) -> AnyEvent | None:
    """Returns the first event that is received."""
    async with asubscribe(url, credentials_file=credentials) as subscription:
        assert_type(subscription, AsyncSubscription)
        assert_type(await subscription.read(1.0), list[AnyEvent | NodeStatus])
        assert_type(await subscription.history("nas", "0006008002000000"), list[AnyEvent] | None)
        async for event in subscription:
            assert_type(event, AnyEvent)
            return event
    return None


# The author of a source.
class OneInterface:
    """A source with a single interface, which goes up, changes its address and is removed."""

    def __init__(self, context: SourceContext) -> None:
        self._alias = context.argument or "one0"
        self._idle_seconds = context.idle_seconds
        self._requests: SimpleQueue[Cause | Literal["wake", "close"]] = SimpleQueue()

    def updates(self) -> Iterator[Sequence[Update]]:
        row = self.row("192.0.2.1")
        yield [Resync((row,), "startup")]
        yield [Upsert(self.row("192.0.2.2")), Remove(row.luid, row.family, "reconcile")]
        while (request := self._next_request()) != "close":
            yield [] if request == "wake" else [Resync((), request)]

    def row(self, address: str) -> IpInterface:
        """Returns the interface with this address."""
        luid = make_luid(if_type=6, net_luid_index=1)
        return IpInterface(
            row=IpInterfaceRow(family="inet", interface_luid=luid, interface_index=1, connected=True),
            interface=Interface(
                alias=self._alias, type=6, admin_status="up", oper_status="up", media_connect_state="connected"
            ),
            addresses=(Address(address=address, prefix_length=24, scope="global", dad_state="preferred"),),
        )

    def wake(self) -> None:
        self._requests.put("wake")

    def resync(self, cause: Cause = "reconcile") -> None:
        self._requests.put(cause)

    def close(self) -> None:
        self._requests.put("close")

    def _next_request(self) -> Cause | Literal["wake", "close"]:
        try:
            return self._requests.get(timeout=self._idle_seconds)
        except Empty:
            return "wake"


def open_one(context: SourceContext) -> Source:
    """Opens the source; its type shows that the class fits the protocol."""
    return OneInterface(context)


# A program that watches.
def follow(source: Source | None = None, most: int = 10) -> list[str]:
    """Returns one line for each of the first events; with `source` None, of this host's interfaces."""
    lines: list[str] = []
    events = watch("inet", interfaces=InterfaceFilter(exclude=("lo",)), source=source)
    assert_type(events, Watch)
    iterated: Iterator[AnyEvent] = events
    try:
        for event in iterated:
            lines.append(explain(event))
            if len(lines) == most:
                break
    except PublisherError as error:
        lines.append(f"no more: {error}")
    return lines


async def afollow(source: Source) -> list[str]:
    """Returns one line for each change, for asyncio."""
    events = awatch(source=source, snapshot=False, stop=threading.Event())
    assert_type(events, AsyncWatch)
    return [explain(event) async for event in events]


def explain(event: AnyEvent) -> str:
    """Returns the event as a line; no case needs a look at `None`, and none is missing."""
    match event:
        case SnapshotStarted(snapshot=snapshot):
            assert_type(snapshot, Snapshot)
            return "snapshot"
        case InitialNotification(interface=interface, snapshot=snapshot):
            assert_type(snapshot, Snapshot)
            return f"{event.notification_type} {interface.alias}"
        case (
            Added(interface=interface, default_routes=default_routes)
            | Deleted(interface=interface, default_routes=default_routes)
        ):
            assert_type(default_routes, tuple[DefaultRoute, ...])
            return f"{event.notification_type} {interface.alias}"
        case Changed(luid=luid, family=family, row=row, interface=interface, changed=changed):
            assert_type(luid, str)
            assert_type(family, Family)
            assert_type(row, IpInterfaceRow)
            assert_type(interface.last_change, datetime | None)
            assert_type(interface.last_link_speed, int | None)
            assert_type(interface.best_link_speed, int | None)
            assert_type(interface.carrier_transitions, int | None)
            return " ".join((event.notification_type, interface.alias, *sorted(changed)))
        case _:
            assert_never(event)


def describe(event: Event) -> str:
    """Returns the event as a line."""
    assert_type(event.notification_type, NotificationType)
    assert_type(event.key, Key | None)
    assert_type(event.family, Family | None)
    assert_type(event.addresses, tuple[Address, ...])
    assert_type(event.changed, dict[str, Change])
    assert_type(event.snapshot, Snapshot | None)
    assert_type(event.kinds, tuple[Kind, ...])
    assert_type(event.text(), str)
    assert_type(event.settled, Settled | None)
    assert_type(event.json_bytes, bytes)
    assert_type(Event.from_json(event.json_bytes), AnyEvent)
    assert_type(joined([event]), list[list[Event]])
    assert_type(text_of([event]), str)
    assert_type(event.ip_interface_json, bytes)
    for address in event.addresses:
        assert_type(address.valid_until, datetime | Unknown | None)
        if address.valid_until is not UNKNOWN:
            assert_type(address.valid_until, datetime | None)
    if event.row is None or event.interface is None:
        return "snapshot"
    assert_type(event.row.nl_mtu, int | None)
    changed = " ".join(sorted(event.changed))
    return f"{event.notification_type} {event.interface.alias} {changed}".rstrip()


# A program that makes the Windows calls.
def interface_changed(context: list[str], row: IpInterfaceRow | None, notification_type: NotificationType) -> None:
    """Is called back for each change of an IP interface."""
    context.append(notification_type if row is None else row.interface_luid)


def address_changed(context: list[str], row: UnicastIpAddressRow | None, notification_type: NotificationType) -> None:
    """Is called back for each change of an address."""
    context.append(notification_type if row is None else row.address)


def route_changed(context: list[str], row: IpForwardRow | None, notification_type: NotificationType) -> None:
    """Is called back for each change of a default route."""
    context.append(notification_type if row is None else row.next_hop or row.destination_prefix)


def register() -> list[str]:
    """Registers the callbacks and cancels them; returns what they were called with."""
    seen: list[str] = []
    interfaces = notify_ip_interface_change("unspec", interface_changed, seen, initial_notification=True)
    addresses = notify_unicast_ip_address_change(socket.AF_INET6, address_changed, seen)
    assert_type(interfaces, NotificationHandle)
    assert_type(addresses, NotificationHandle)
    routes = notify_route_change2("inet", route_changed, seen)
    assert_type(routes, NotificationHandle)
    cancel_mib_change_notify2(routes)
    cancel_mib_change_notify2(addresses)
    cancel_mib_change_notify2(interfaces)
    return seen


def read() -> list[str]:
    """Returns the alias of each interface."""
    assert_type(get_ip_interface_table(23), list[IpInterfaceRow])
    assert_type(get_if_stack_table(), list[IfStackRow])
    assert_type(get_inverted_if_stack_table(), list[InvertedIfStackRow])
    assert_type(get_unicast_ip_address_table("inet"), list[UnicastIpAddressRow])
    routes = get_ip_forward_table2()
    assert_type(routes, list[IpForwardRow])
    for route in routes:
        assert_type(route.next_hop, str | None)
        assert_type(route.metric, int | None)
        assert_type(route.valid_until, datetime | Unknown | None)
    table = get_if_table2()
    assert_type(table, list[IfRow])
    for row in table:
        luid = row.interface_luid
        entry = get_if_entry2(luid)
        assert_type(entry.in_octets, int | None)
        assert_type(entry.hardware_interface, bool | None)
        assert_type(convert_interface_luid_to_index(luid), int)
        assert_type(convert_interface_index_to_luid(row.interface_index), str)
        assert_type(convert_interface_luid_to_alias(luid), str)
        assert_type(convert_interface_alias_to_luid(row.alias), str)
        assert_type(convert_interface_name_to_luid(convert_interface_luid_to_name(luid)), str)
    return [row.alias for row in table]


def refused() -> list[int | None]:
    """Returns the codes of calls that fail."""
    calls: list[Callable[[], Any]] = [
        lambda: get_ip_interface_entry("inet", index=0xFFFF_FFFF),
        lambda: get_unicast_ip_address_entry("192.0.2.1", index=0xFFFF_FFFF),
        lambda: set_ip_interface_entry(None),
        lambda: initialize_ip_interface_entry(None),
        lambda: get_if_entry2(index=0),
        lambda: convert_interface_guid_to_luid(convert_interface_luid_to_guid("0" * 15 + "1")),
    ]
    codes: list[int | None] = []
    for call in calls:
        try:
            call()
        except (InterfaceNotFoundError, NotFoundError, InvalidParameterError, NotSupportedError) as error:
            assert_type(error.winerror_code, int)
            codes.append(error.winerror)
        except (InvalidHandleError, CancelInsideCallbackError, SystemFailureError) as error:
            raise AssertionError from error
    return codes


# Every error of a call is one.
ERRORS: tuple[type[NetioError], ...] = (InterfaceNotFoundError, InvalidHandleError, SystemFailureError)
