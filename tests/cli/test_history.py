"""`publisher history`: of journals that a service holds, that were left, and that somebody else wrote."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from publisher.cli.history import show_history
from publisher.cli.past import PastRequest
from publisher.config.settings import JournalSettings, Settings
from publisher.errors import ConfigurationError, JournalError
from publisher.events import Event, IpInterface
from publisher.journal.journal import Journal
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.table import Stamp, Table
from publisher.testing import HOSTILE_ALIAS, make_row
from tests.fixtures.command import FILE_SINK, Publisher
from tests.fixtures.terminals import on_terminal

if sys.platform == "win32":
    pytest.skip("Windows takes no time zone for one process, and has no pseudo-terminals", allow_module_level=True)

DOCUMENT = Path(__file__).parents[2] / "docs/history.md"
BEGAN = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
EPOCH = f"{int(BEGAN.timestamp() * 1000):012x}4b3f"
GIGABIT = {"transmit_link_speed": 10**9, "receive_link_speed": 10**9}
ETH0, ETH0_6 = (make_row("eth0", family, interface=GIGABIT) for family in ("inet", "inet6"))
WLAN0 = make_row("wlan0", index=3)
NAMES = [f"eth{number}" for number in range(3)]


def link(*, up: bool, name: str = "eth0", index: int = 2) -> list[Update]:
    """Returns the updates of a link in both families."""
    speed = GIGABIT if up else {}
    state = {"oper_status": "up" if up else "down"}
    return [
        Upsert(make_row(name, family, index=index, connected=up, interface=speed | state))
        for family in ("inet", "inet6")
    ]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Returns a function that writes updates into a journal, each with the seconds after its beginning."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    path = tmp_path / "journal.sqlite3"

    def tell(*steps: tuple[float, Sequence[Update]], rows: Sequence[Any] = (ETH0, ETH0_6, WLAN0)) -> Settings:
        monkeypatch.setattr("publisher.journal.beginning.new_epoch", lambda **_: EPOCH)
        with closing(Journal.open(path, node="nas")) as journal:
            stamp = Stamp("nas", journal.epoch, journal.seq)
            table = Table(journal.rows(), stamp)
            if journal.rows() is None:
                table.apply(Resync(tuple(rows), "startup"))
                journal.replace_rows(table.rows)
            for second, updates in steps:
                stamp.clock = partial(BEGAN.__add__, timedelta(seconds=second))
                events: list[Event] = [event for update in updates for event in table.apply(update)]
                journal.append(events)
        return Settings(node="nas", journal=JournalSettings(path=path))

    return tell


def text_of(settings: Settings, capsys: pytest.CaptureFixture[str], **request: Any) -> list[str]:
    show_history(settings, PastRequest(**request), as_json=False, clock=lambda: datetime(2026, 11, 26, 6, 0))
    return capsys.readouterr().out.splitlines()


def json_of(settings: Settings, capsys: pytest.CaptureFixture[str], **request: Any) -> dict[str, Any]:
    show_history(settings, PastRequest(**request), as_json=True, clock=lambda: datetime(2026, 11, 26, 6, 0))
    return dict(json.loads(capsys.readouterr().out))


def changes_of(lines: list[str]) -> list[str]:
    """Returns the lines below the heading."""
    start = next(index for index, line in enumerate(lines) if line.startswith("Time ")) + 1
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return lines[start:end]


FLAPS = [
    (60, link(up=False)),
    (72.5, link(up=True)),
    (3600, [Upsert(make_row("wlan0", index=3, addresses=["192.0.2.7/24"]))]),
    (7200, link(up=False)),
    (7300, link(up=True)),
]


def test_each_change_is_one_line_with_the_time_that_it_lasted(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = told(*FLAPS)
    assert text_of(settings, capsys) == [
        f"journal {settings.journal.path} of nas: every change since 2026-11-20 08:00:00",
        "no service runs on it: nothing is known after 2026-11-20 10:01:40",
        "",
        "Time                 Interface      Lasted  Change",
        f"2026-11-20 08:00:00  the journal begins: epoch {EPOCH}",
        "2026-11-20 08:01:00  eth0             12 s  down, was 1 Gbit/s",
        "2026-11-20 08:01:12  eth0       1 h 58 min  up, 1 Gbit/s",
        "2026-11-20 09:00:00  wlan0                  new address 192.0.2.7/24",
        "2026-11-20 10:00:00  eth0       1 min 40 s  down, was 1 Gbit/s",
        "2026-11-20 10:01:40  eth0                   up, 1 Gbit/s",
        "",
        "Interface  Changes  Flaps    Down for  Last known",
        "eth0             4      2  1 min 52 s  up, 1 Gbit/s",
        "wlan0            1      0           -  up",
    ]


@pytest.mark.parametrize(
    ("request_", "texts"),
    [
        ({"interface": "wlan0"}, ["the journal begins: epoch EPOCH", "wlan0 new address 192.0.2.7/24"]),
        ({"interface": "w*"}, ["the journal begins: epoch EPOCH", "wlan0 new address 192.0.2.7/24"]),
        ({"interface": WLAN0.luid.upper()}, ["the journal begins: epoch EPOCH", "wlan0 new address 192.0.2.7/24"]),
        ({"kinds": ("link_down",), "since": "2026-11-20 09:30"}, ["eth0 1 min 40 s down, was 1 Gbit/s"]),
        ({"limit": 1}, ["... older changes are left out: --limit 1 is reached", "eth0 up, 1 Gbit/s"]),
        ({"limit": 1, "kinds": ("address_added",)},
         ["the journal begins: epoch EPOCH", "wlan0 new address 192.0.2.7/24"]),
        ({"limit": 1, "kinds": ("link_down",)},
         ["... older changes are left out: --limit 1 is reached", "eth0 1 min 40 s down, was 1 Gbit/s"]),
        ({"family": "inet", "kinds": ("link_down",), "since": "2026-11-20 10:00"},
         ["eth0 1 min 40 s down, was 1 Gbit/s"]),
        ({"since": "2026-11-21"}, ["nothing happened in this time"]),
        ({"since": "1h", "interface": "eth0"}, ["nothing happened in this time"]),
        ({"kinds": ("renamed",)}, ["the journal begins: epoch EPOCH", "nothing happened in this time"]),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_shown(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str], request_: dict[str, Any], texts: list[str]
) -> None:
    lines = text_of(told(*FLAPS), capsys, **request_)
    assert [re.sub(r"  +", " ", re.sub(r"^\d{4}-\S+ \S+  ", "", line)) for line in changes_of(lines)] == [
        text.replace("EPOCH", EPOCH) for text in texts
    ]


def test_sums_are_of_what_is_shown(told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(told(*FLAPS), capsys, limit=2)
    assert (found["more"], found["from"], found["to"]) == (True, "2026-11-20T10:00:00Z", "2026-11-20T10:01:40Z")
    [eth0] = found["interfaces"]
    assert (eth0["changes"], eth0["flaps"], eth0["seconds_down"]) == (2, 1, 100.0)


def test_an_interface_is_found_by_each_name_that_it_ever_had(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    tether = make_row("usb0", index=7)
    settings = told(
        (1, [Upsert(tether)]),
        (2, [Upsert(make_row("phone", index=7))]),
        (3, [Remove(tether.luid, "inet")]),
        (9, [Upsert(make_row("usb0", index=8))]),
    )
    for name in ("usb0", "phone", "ph?ne"):
        found = json_of(settings, capsys, interface=name)
        texts = [change["text"] for change in found["changes"] if change["luid"] == tether.luid]
        assert texts == [
            "usb0 IPv4 added, up, IPv4 mtu 1500",
            "phone renamed, was usb0",
            "phone IPv4 removed",
        ]
    other = {"luid": tether.luid, "name": "phone", "other_names": ["usb0"], "state": "gone"}
    [gone] = [each for each in found["interfaces"] if each["luid"] == tether.luid]
    assert other.items() <= gone.items()
    lines = text_of(settings, capsys, interface="usb0")
    assert [line.split()[:3] for line in lines[-2:]] == [["phone", "(before:", "usb0)"], ["usb0", "1", "0"]]


def test_an_interface_to_which_nothing_happened_has_a_sum_too(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    off = make_row("off0", index=9, connected=False, interface={"oper_status": "down"})
    settings = told((3600, link(up=False)), rows=(ETH0, ETH0_6, off))
    lines = text_of(settings, capsys, interface="off0")
    assert lines[-4:] == [
        "nothing happened in this time",
        "",
        "Interface  Changes  Flaps  Down for  Last known",
        "off0             0      0       1 h  down",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("eht0", "knows no interface 'eht0'; did you mean 'eth0'?"),
        ("lan", "knows no interface 'lan'; did you mean 'wlan0'?"),
        ("ETH0", "knows no interface 'ETH0'; did you mean 'eth0'?"),
        ("tun*", "knows no interface 'tun*'; it knows 'eth0', 'wlan0'."),
        ("", "knows no interface ''; it knows"),
        ("0" * 16, "knows no interface '0000"),
    ],
)
def test_an_interface_that_is_not_known_is_an_error_with_the_nearest_names(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        text_of(told(), capsys, interface=name)


def test_many_interfaces_are_summed_up_in_the_order_of_their_flaps(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [make_row(f"v{number:02}", index=number) for number in range(1, 31)]
    steps = [
        (number, [*link(up=False, name=f"v{number:02}", index=number)[:1], Upsert(rows[number - 1])] * number)
        for number in range(1, 31)
    ]
    lines = text_of(told(*steps, rows=rows), capsys, since="2026-11-20")
    assert lines[-1] == "and 10 more interfaces"
    assert [line.split()[:3] for line in lines[-21:-18]] == [
        ["v30", "60", "30"],
        ["v29", "58", "29"],
        ["v28", "56", "28"],
    ]


def test_the_json_has_every_member_that_the_documentation_names(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = told(*FLAPS)
    found = json_of(settings, capsys, interface="eth0")
    changes = found.pop("changes")
    assert found == {
        "journal": str(settings.journal.path),
        "node": "nas",
        "running": False,
        "epoch": EPOCH,
        "first": {"seq": 1, "time": "2026-11-20T08:01:00Z"},
        "last": {"seq": 9, "time": "2026-11-20T10:01:40Z"},
        "from": "2026-11-20T08:00:00Z",
        "to": "2026-11-20T10:01:40Z",
        "more": False,
        "interfaces": [
            {
                "luid": ETH0.luid, "name": "eth0", "other_names": [], "state": "up",
                "changes": 4, "flaps": 2, "seconds_down": 112.5,
            }
        ],
    }  # fmt: skip
    first = changes[0]
    assert [(event["seq"], event["family"]) for event in first.pop("events")] == [(1, "inet"), (2, "inet6")]
    assert first == {
        "time": "2026-11-20T08:01:00Z", "luid": ETH0.luid, "name": "eth0", "kinds": ["link_down"],
        "cause": "notification", "text": "eth0 down, was 1 Gbit/s", "lasted_seconds": 12.5, "lasts": False,
    }  # fmt: skip
    assert (changes[-1]["lasted_seconds"], changes[-1]["lasts"]) == (None, False)
    documented = DOCUMENT.read_text(encoding="utf-8")
    members = [*found, *found["interfaces"][0], *first, "changes", "events"]
    assert not [member for member in members if f"`{member}`" not in documented]


def test_a_journal_without_an_event_says_since_when_there_was_none(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert changes_of(text_of(told(), capsys)) == [
        f"2026-11-20 08:00:00  the journal begins: epoch {EPOCH}",
        "nothing happened in this time",
    ]
    assert json_of(told(), capsys)["first"] is None


def test_the_beginning_tells_of_a_journal_that_was_set_aside_and_of_events_that_were_deleted(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = told(*FLAPS)
    path = settings.journal.path
    for name in (f"{path}.damaged-20261119T000000Z", f"{path}.damaged-20261120T000000Z", f"{path}.damaged-x-wal"):
        Path(name).touch()
    [line] = [line for line in text_of(settings, capsys) if "begins" in line]
    assert line.endswith(f"; the one before was damaged and is set aside as {path}.damaged-20261120T000000Z")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM events WHERE seq < 5")
    lines = text_of(settings, capsys, since="2026-11-20 08:00")
    assert lines[0].endswith("every change since 2026-11-20 09:00:00")
    assert changes_of(lines)[0] == "2026-11-20 09:00:00  older changes were deleted to make room (journal.max_bytes)"
    assert json_of(settings, capsys)["from"] == "2026-11-20T09:00:00Z"


def test_a_hostile_name_is_text(told: Callable[..., Settings], capsys: pytest.CaptureFixture[str]) -> None:
    evil = make_row(HOSTILE_ALIAS, index=7)
    settings = told((1, [Upsert(evil)]), (2, [Upsert(make_row(HOSTILE_ALIAS, index=7, nl_mtu=1400))]))
    for request in ({}, {"interface": HOSTILE_ALIAS}, {"interface": "a+b*"}):
        lines = text_of(settings, capsys, **request)
        assert all(line.isprintable() for line in lines)
        found = json_of(settings, capsys, **request)
        assert [change["name"] for change in found["changes"]] == [HOSTILE_ALIAS] * 2


def test_without_a_journal_it_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(journal=JournalSettings(path=tmp_path / "none.sqlite3"))
    with pytest.raises(JournalError, match=r"there is no journal .*none.sqlite3 yet: start the publisher"):
        show_history(settings, PastRequest(), as_json=False)


def test_the_command_reads_its_options_and_the_journal_of_the_configuration(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, ETH0_6, WLAN0), "startup"), *link(up=False), *link(up=True))
    publisher.configure(FILE_SINK)
    assert "there is no journal" in publisher("history", status=1).stderr
    publisher("run")
    lines = publisher("history", "eth0", "--kind", "link_down", "--since", "1h", "--limit", "5").stdout.splitlines()
    assert next(line.split()[2:] for line in lines if "down, was" in line)[0] == "eth0"
    found = json.loads(publisher("history", "eth*", "--family", "inet6", "--json").stdout)
    assert {event["family"] for change in found["changes"] for event in change["events"]} == {"inet6"}
    for wrong, reason in (
        (("--kind", "link_dwn"), "removed, other; did you mean 'link_down'?"),
        (("--since", "soon"), "names no moment"),
        (("eht0",), "did you mean 'eth0'?"),
        (("--limit", "0"), "--limit"),
    ):
        assert reason in publisher("history", *wrong, status=2).stderr
    text = publisher("history", "--help").stdout
    assert "publisher history eth0 --since 24h" in text


@pytest.mark.parametrize(
    ("environment", "columns", "coloured"),
    [({}, 80, True), ({"NO_COLOR": "1"}, 80, False), ({"TERM": "dumb"}, 40, False), ({"NO_COLOR": ""}, 60, True)],
)
def test_on_a_terminal_it_fits_the_width_and_has_colours_if_they_are_wanted(
    publisher: Publisher, environment: dict[str, str], columns: int, coloured: bool
) -> None:
    addresses = [f"2001:db8::{number}/64" for number in range(9)]
    publisher.updates(
        Resync((ETH0, ETH0_6), "startup"), *link(up=False), Upsert(make_row("eth0", "inet6", addresses=addresses))
    )
    publisher.configure(FILE_SINK)
    publisher("run")
    publisher.environment.pop("COLUMNS")
    shown = on_terminal(publisher, ("history", "eth0"), columns, {"TERM": "xterm-256color"} | environment)
    # Bold text is no colour.
    assert bool(re.search(r"\x1b\[31m *down", shown)) == coloured
    assert coloured or not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
    assert "TERM" not in environment or "\x1b" not in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    changes = [line for line in plain if re.match(r"\d{4}-\d\d-\d\d \S+  eth0|  +\S", line)]
    assert changes
    assert max(map(len, changes)) <= columns


def test_a_reader_that_leaves_is_told_of_no_error(publisher: Publisher) -> None:
    publisher.updates(
        Resync((ETH0, ETH0_6), "startup"), *[update for n in range(400) for update in link(up=bool(n % 2))]
    )
    publisher.configure(FILE_SINK)
    publisher("run")
    process = publisher.start("history", "--limit", "1000")
    assert process.stdout
    assert process.stdout.readline().startswith("journal ")
    process.stdout.close()
    assert process.wait(30) in (0, 1)
    assert process.stderr
    assert process.stderr.read() == ""


def examples() -> list[tuple[str, str]]:
    """Returns the commands of the documentation, and what it says that they print."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(r"```console\n\$ publisher history ?(.*)\n((?s:.*?))```", text)


@pytest.mark.parametrize(("command", "output"), examples())
def test_the_examples_of_the_documentation_are_what_is_printed(
    told: Callable[..., Settings], capsys: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    day = 5 * 86_400 + 16 * 3600  # the sixth day of the journal begins

    def wifi(transitions: int, *addresses: str) -> IpInterface:
        return make_row("wlan0", index=3, addresses=addresses, interface={"carrier_transitions": transitions})

    slow = {"transmit_link_speed": 10**8, "receive_link_speed": 10**8}
    wg0 = make_row("wg0", index=9, addresses=["10.9.0.2/32"])
    settings = told(
        (40_000, link(up=False)),
        (40_002, link(up=True)),
        (day + 11_527, link(up=False)),
        (day + 11_539, [Upsert(make_row("eth0", family, interface=slow)) for family in ("inet", "inet6")]),
        (day + 11_581, link(up=False)),
        (day + 11_583, link(up=True)),
        (day + 18_000, [Upsert(wifi(4, "192.168.4.23/24"))]),
        (day + 19_800, [Remove(wg0.luid, "inet")]),
        (day + 20_100, [Upsert(wifi(10, "192.168.4.23/24"), "startup")]),
        rows=(ETH0, ETH0_6, wifi(4), wg0),
    )
    parser = argparse.ArgumentParser()
    for name in ("--since", "--limit", "--kind"):
        parser.add_argument(name, type=int if name == "--limit" else str)
    parser.add_argument("interface", nargs="?")
    given = parser.parse_args(shlex.split(command))
    asked = PastRequest(given.interface, given.since, (given.kind,) if given.kind else (), None, given.limit)
    with closing(Journal.open(settings.journal.path, node="nas")):
        show_history(settings, asked, as_json=False, clock=lambda: datetime(2026, 11, 26, 6, 0))
    shown = capsys.readouterr().out.replace(str(settings.journal.path), "/var/lib/interface-publisher/journal.sqlite3")
    assert [line.rstrip() for line in shown.splitlines()] == output.splitlines()
