"""Kernels and sandboxes that refuse a request: what it would tell is not known, and the rest goes on."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from publisher.errors import SourceError
from publisher.events import IpInterface
from publisher.sources.linux.attributes import RtnetlinkError
from publisher.sources.linux.requests import NLM_F_DUMP, RTM_GETADDR, RTM_GETLINK, RTM_GETNEIGHTBL, RTM_GETROUTE
from publisher.sources.linux.rows import bare_name
from publisher.sources.linux.rtnetlink import RTM_NEWLINK, Decoder, Link, Message
from tests.faults import no_descriptor_left
from tests.fixtures.linux_source import Following
from tests.fixtures.logs import CapturedLog
from tests.fixtures.netns import NetNs
from tests.fixtures.requirements import need
from tests.fixtures.still_links import add_still_pair

if sys.platform == "linux":
    from publisher.sources.linux import netlink
    from publisher.sources.linux.netlink import InterruptedDumpError
    from publisher.sources.linux.reader import LinuxReader
else:
    pytest.skip("rtnetlink is Linux's", allow_module_level=True)

assert sys.platform == "linux"

HEADER = struct.Struct("=IHHII")
DUMP, SINGLE, FILTERED = "dump", "single", "filtered"


class RefusingSocket:
    """A socket of the real kernel, but for requests that are answered by an error.

    Neither an old kernel nor gVisor can be had here, and no system call filter sees into a request.
    """

    refusals: dict[tuple[int, str], int] = {}  # noqa: RUF012 - set by each test
    options: frozenset[int] = frozenset()

    def __init__(self, *arguments: Any) -> None:
        self._socket = socket.socket(*arguments)
        self._answer: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if option in self.options and level in (270, socket.SOL_SOCKET):
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        self._socket.setsockopt(level, option, value)

    def send(self, data: bytes) -> int:
        size, kind, flags, seq, _ = HEADER.unpack_from(data)
        form = DUMP if flags & NLM_F_DUMP == NLM_F_DUMP else SINGLE
        number = self.refusals.get((kind, form))
        if size > 32:
            number = number or self.refusals.get((kind, FILTERED))
        if number is None:
            return self._socket.send(data)
        self._answer = HEADER.pack(36, 2, 0, seq, 0) + struct.pack("=i", -number) + data[:16]
        return len(data)

    def recvfrom_into(self, buffer: bytearray, *arguments: Any) -> Any:
        if self._answer is None:
            return self._socket.recvfrom_into(buffer, *arguments)
        answer, self._answer = self._answer, None
        buffer[: len(answer)] = answer
        return len(answer), (0, 0)


class SocketModule:
    """The module `socket` for the sockets under test alone."""

    socket = RefusingSocket

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class Refusing:
    """The kernel with refusals that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(netlink, "socket", SocketModule())

    def requests(self, refusals: dict[tuple[int, str], int]) -> None:
        self._monkeypatch.setattr(RefusingSocket, "refusals", refusals)

    def options(self, *options: int) -> None:
        self._monkeypatch.setattr(RefusingSocket, "options", frozenset(options))


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


@pytest.fixture
def host(netns: NetNs) -> NetNs:
    add_still_pair(netns)
    netns.ip("addr add 192.0.2.1/24 dev v0")
    return netns


def next_hops(rows: Iterable[IpInterface]) -> list[str | None]:
    return [route.next_hop for row in rows for route in row.default_routes]


def aliases(following: Following) -> set[tuple[str, str]]:
    return {(row.interface.alias, row.family) for row in following.table.rows}


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM])
def test_without_neighbour_tables_their_members_are_those_of_proc(host: NetNs, refusing: Refusing, number: int) -> None:
    with Following(host) as whole:
        expected = aliases(whole)
    refusing.requests({(RTM_GETNEIGHTBL, DUMP): number})
    with Following(host) as following:
        assert aliases(following) == expected
        for row in following.table.rows:
            assert row.row.base_reachable_time == 30_000
            assert row.family == "inet6" or row.row.reachable_time is None
        host.ip("link set v0 mtu 1400")
        assert {event.cause for event in following.settled()} == {"notification"}


def test_without_addresses_the_rows_are_there(
    host: NetNs, refusing: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    refusing.requests({(RTM_GETADDR, DUMP): errno.EOPNOTSUPP, (RTM_GETNEIGHTBL, DUMP): errno.EOPNOTSUPP})
    with Following(host) as following:
        assert {name for name, _ in aliases(following)} == {"lo", "v0", "v1"}
        following.settled()
    lines = [record.getMessage() for record in caplog.records if "not known here" in record.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith("addresses are not known here: Operation not supported")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM])
def test_without_routes_the_rows_are_there_and_it_is_logged_once(
    host: NetNs, refusing: Refusing, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    refusing.requests({(RTM_GETROUTE, DUMP): number})
    with Following(host) as following:
        host.ip("route add 0.0.0.0/0 via 192.0.2.2", "link set v0 down")
        following.settled()
        assert {row.default_routes for row in following.table.rows} == {()}
    lines = [record.getMessage() for record in caplog.records if "not known here" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("default routes are not known here: ")


@pytest.mark.parametrize("option", [1, 12, 26], ids=["no groups", "no strict checks", "no filter"])
def test_without_what_older_kernels_lack_default_routes_are_read(host: NetNs, refusing: Refusing, option: int) -> None:
    refusing.options(option)
    host.ip("route add 0.0.0.0/0 via 192.0.2.2 table 100", "route add 0.0.0.0/0 via 192.0.2.3")
    with Following(host, reconcile_seconds=0.2) as following:
        assert next_hops(following.table.rows) == ["192.0.2.3"]
        host.ip("route replace 0.0.0.0/0 via 192.0.2.4")
        [event] = [event for event in following.until(lambda event: bool(event.default_routes)) if event.default_routes]
        assert [route.next_hop for route in event.default_routes] == ["192.0.2.4"]
        assert event.cause == ("notification" if option == 12 else "reconcile")


def test_a_kernel_that_reads_no_single_link_is_read_whole(host: NetNs, refusing: Refusing) -> None:
    refusing.requests({(RTM_GETLINK, SINGLE): errno.EOPNOTSUPP})
    with Following(host) as following:
        host.ip("link set v0 mtu 1400")
        events = following.settled()
        assert {(event.cause, event.interface and event.interface.mtu) for event in events} == {("notification", 1400)}


def test_a_kernel_that_reads_no_single_link_is_listed_once_for_many(
    host: NetNs, refusing: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing.requests({(RTM_GETLINK, SINGLE): 95})
    dumps = Mock(side_effect=netlink.RequestSocket.dump)
    monkeypatch.setattr(netlink.RequestSocket, "dump", lambda *arguments: dumps(*arguments))

    def read() -> dict[int, Link | None]:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            return reader.links([1, 9999, 1, 9998])

    found = host.call(read)
    assert found[9999] is found[9998] is None
    assert found[1] is not None
    assert dumps.call_count == 1


def test_many_links_are_read_with_few_requests_and_those_that_are_gone_are_none(netns: NetNs) -> None:
    names = [f"m{number}" for number in range(40)]
    netns.ip(*(f"link add {name} type ifb" for name in names))
    there = {link["ifindex"]: link["ifname"] for link in json.loads(netns.run("ip -j link")) if link["ifname"] in names}
    indexes = [9998, *there, 9999]
    sent = Mock()

    def read() -> dict[int, Link | None]:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            requests: Any = reader._requests
            sent.side_effect, requests._send = requests._send, sent
            return reader.links(indexes)

    found = netns.call(read)
    assert list(found) == indexes
    assert {index: bare_name(link).decode() for index, link in found.items() if link is not None} == there
    assert [numbers for (_, numbers), _ in sent.call_args_list] == [16, 16, 10]


def test_a_kernel_that_knows_no_filter_is_asked_without(host: NetNs, refusing: Refusing) -> None:
    refusing.requests({(RTM_GETLINK, FILTERED): errno.EINVAL})
    with Following(host) as following:
        assert {name for name, _ in aliases(following)} == {"lo", "v0", "v1"}


def test_a_kernel_that_lists_no_links_is_an_error_that_says_so(refusing: Refusing) -> None:
    refusing.requests({(RTM_GETLINK, DUMP): errno.EACCES})
    said = r"refuses to list the network interfaces: Permission denied\. Android"
    with closing(LinuxReader(Decoder(), CapturedLog())) as reader, pytest.raises(SourceError, match=said):
        reader.dump()


def test_the_first_dump_has_the_parts_of_the_later_ones(netns: NetNs) -> None:
    netns.ip(*(f"link add d{number} type ifb" for number in range(100)))

    def dump() -> None:
        with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
            reader.dump()
            links = reader.known["links"]
            assert [part.digest for part in reader.parts("links", ())] == [part.digest for part in links]
            assert [part.inner for part in links] == [True] * (len(links) - 1) + [False]
            assert len(links) > 2

    netns.call(dump)


def test_what_was_answered_once_and_is_refused_later_is_asked_again(refusing: Refusing) -> None:
    with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
        reader.dump()
        refusing.requests({(RTM_GETADDR, DUMP): errno.EPERM})
        with pytest.raises(InterruptedDumpError, match="Operation not permitted"):
            reader.dump()
        refusing.requests({})
        assert reader.dump().addresses


def test_an_error_of_the_moment_is_no_refusal(refusing: Refusing) -> None:
    refusing.requests({(RTM_GETADDR, DUMP): errno.ENOMEM})
    with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
        with pytest.raises(InterruptedDumpError, match="Cannot allocate memory"):
            reader.dump()
        refusing.requests({})
        assert reader.dump().addresses


def test_a_lack_of_descriptors_goes_by() -> None:
    with closing(LinuxReader(Decoder(), CapturedLog())) as reader:
        reader.dump()
        reader.abandon()
        times = reader.details.times("inet", b"lo")
        with no_descriptor_left():
            assert reader.details.times("inet", b"lo") == times, "one is kept: what is not known would be an event"
            assert reader.details.times("inet", b"lo") == times
            with pytest.raises(InterruptedDumpError, match="Too many open files"):
                reader.dump()
        assert reader.dump().links


def test_without_groups_and_strict_checks_changes_are_found_when_everything_is_read(
    host: NetNs, refusing: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    refusing.options(1, 12)  # NETLINK_ADD_MEMBERSHIP, NETLINK_GET_STRICT_CHK
    with Following(host) as following:
        host.ip("link set v0 mtu 1400")
        assert {event.cause for event in following.settled()} == {"reconcile"}
    [line] = [record.getMessage() for record in caplog.records if "reports no changes" in record.getMessage()]
    assert "LINK, IPV4_IFADDR" in line


def test_an_answer_that_is_invalid_ends_nothing(host: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Decoder.decode
    broken: list[str] = []

    def breaking(decoder: Decoder, data: Any, length: int | None = None) -> Any:
        messages = decode(decoder, data, length)
        if broken and any(message.type == RTM_NEWLINK and message.seq for message in messages):
            raise RtnetlinkError(broken.pop(0))
        return messages

    monkeypatch.setattr(Decoder, "decode", breaking)
    with Following(host) as following:
        broken += ["an odd read", "an odd dump"]
        host.ip("link set v0 mtu 1400")
        events = following.until(lambda event: event.interface is not None and event.interface.mtu == 1400)
        assert {event.notification_type for event in events} == {"parameter_notification"}
        following.settled()
        assert broken == []


def test_a_kernel_that_reports_no_settings_has_the_rows_that_have_addresses(
    host: NetNs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gVisor: no IFLA_AF_SPEC in any message, so the settings are not known."""
    settings = slice(Link._fields.index("has_inet"), Link._fields.index("carrier_ups"))
    nothing: dict[str, Any] = dict.fromkeys(Link._fields[settings])
    decode = Decoder.decode

    def without_settings(decoder: Decoder, data: Any, length: int | None = None) -> list[Message]:
        messages = decode(decoder, data, length)
        return [m._replace(record=m.record._replace(**nothing)) if isinstance(m.record, Link) else m for m in messages]

    monkeypatch.setattr(Decoder, "decode", without_settings)
    with Following(host) as following:
        assert ("v0", "inet") in aliases(following)
        assert ("v1", "inet") not in aliases(following)
        [row] = [row for row in following.table.rows if (row.interface.alias, row.family) == ("v0", "inet")]
        assert (row.row.forwarding_enabled, row.row.nl_mtu) == (None, 1500)
        host.ip("addr add 192.0.2.2/24 dev v1", "addr del 192.0.2.1/24 dev v0")
        kinds = {(e.notification_type, e.interface and e.interface.alias) for e in following.settled()}
        assert {("add_instance", "v1"), ("delete_instance", "v0")} <= kinds


# The command in surroundings that refuse system calls


@pytest.mark.parametrize(
    ("inject", "said"),
    [
        ("bind:error=EACCES", "cannot be bound: Permission denied. Android"),
        ("bind:error=EPERM", "cannot be bound: Operation not permitted. Android"),
        ("socket:error=EACCES", "cannot be opened: Permission denied. Android"),
        ("socket:error=EAFNOSUPPORT", "cannot be opened: Address family not supported by protocol. Android"),
        ("sendto:error=EACCES", "refuses to list the network interfaces: Permission denied. Android"),
    ],
)
def test_a_refused_system_call_is_one_line(inject: str, said: str, tmp_path: Path) -> None:
    done = under_strace(inject, tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    [line] = done.stderr.strip().splitlines()
    assert said in line
    assert "run publisher outside of it" in line


def test_a_lack_of_descriptors_is_no_sandbox(tmp_path: Path) -> None:
    done = under_strace("socket:error=EMFILE", tmp_path)
    [line] = done.stderr.strip().splitlines()
    assert line.endswith("an rtnetlink socket cannot be opened: Too many open files")


@pytest.mark.parametrize("inject", ["setsockopt:error=ENOPROTOOPT", "inotify_init1:error=EMFILE", "ioctl:error=EPERM"])
def test_a_refused_system_call_that_is_not_needed_costs_nothing(inject: str, tmp_path: Path) -> None:
    done = under_strace(inject, tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert re.search(r"\blo\b", done.stdout)


@pytest.mark.parametrize("hidden", ["/proc/sys", "/sys", "/proc"])
def test_hidden_settings_are_not_known_and_the_rows_are_there(hidden: str, tmp_path: Path) -> None:
    need("unshare", "ip", package="util-linux and iproute2")
    inside = f"ip link set lo up && mount -t tmpfs none {hidden} && exec {sys.executable} -m publisher snapshot --json"
    unshared = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-n", "-m"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [*unshared, "sh", "-c", inside]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    rows = json.loads(done.stdout)
    assert {row["interface"]["alias"] for row in rows} == {"lo"}
    times = {row["family"]: row["row"].get("path_mtu_discovery_timeout") for row in rows}
    # In an ordinary user's namespace the kernel shows IPv4's file alone (docs/linux.md).
    command = [*unshared, "test", "-e", "/proc/sys/net/ipv6/route/mtu_expires"]
    both = subprocess.run(command, check=False).returncode == 0
    shown = {"inet": 600_000, "inet6": 600_000 if both else None}
    assert times == (shown if hidden == "/sys" else dict.fromkeys(shown))


def under_strace(inject: str, state: Path) -> subprocess.CompletedProcess[str]:
    need("strace", package="strace")
    call = inject.partition(":")[0]
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}"]
    arguments = [sys.executable, "-m", "publisher", "snapshot"]
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, env=environment)
