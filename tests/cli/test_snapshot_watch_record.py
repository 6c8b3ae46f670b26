"""The commands that read the interfaces: snapshot, watch, record. Each test runs the real command."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher.cli.host import known_luids
from publisher.cli.record import record_updates
from publisher.cli.snapshot import _COLUMNS, _DISPENSABLE, _cells
from publisher.cli.tables import print_table
from publisher.config.settings import JournalSettings, Settings
from publisher.events import IpInterface
from publisher.journal.journal import Journal
from publisher.sources import Remove, Resync
from publisher.sources.assignments import LuidAssignment
from publisher.sources.recording import write_recording
from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command import ETH0, ETH0_6, FOREVER, WLAN0, Publisher, posix_only
from tests.fixtures.poll import wait_for


def test_snapshot_as_a_table(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, make_row("a\x1b[2Jb", "inet6", index=9)), "startup"))
    publisher.configure("")
    heading, first, second = publisher("snapshot").stdout.splitlines()
    assert heading.split() == [
        "Interface",
        "Index",
        "LUID",
        "Family",
        "State",
        "Connected",
        "MTU",
        "Metric",
        "Addresses",
        "Default",
        "route",
    ]
    assert first.split() == ["eth0", "2", ETH0.luid, "inet", "up", "yes", "1500", "100", "192.0.2.10/24", "-"]
    assert second.startswith("a\\x1b[2Jb ")
    assert not publisher.journal.exists()


def test_snapshot_as_json(publisher: Publisher) -> None:
    publisher.configure('filter.exclude = ["wlan*"]')
    rows = json.loads(publisher("snapshot", "--json").stdout)
    assert [(row["luid"], row["family"]) for row in rows] == [ETH0.key, ETH0_6.key]
    assert list(rows[0]) == ["luid", "family", "row", "interface", "addresses", "default_routes"]
    for row, expected in zip(rows, (ETH0, ETH0_6), strict=True):
        assert IpInterface.model_validate_json(json.dumps({key: row[key] for key in list(row)[2:]})) == expected
    [only] = json.loads(publisher("snapshot", "--json", "--family", "inet6").stdout)
    assert only["family"] == "inet6"


def test_snapshot_of_one_interface(publisher: Publisher) -> None:
    publisher.configure('filter.exclude = ["wlan*"]')
    for one in ("eth0", "et*", ETH0.luid):
        assert [row["luid"] for row in json.loads(publisher("snapshot", one, "--json").stdout)] == [ETH0.luid] * 2
    error = publisher("snapshot", "eht0", status=2).stderr
    assert error == "publisher: there is no interface 'eht0'; there are: eth0, wlan0; did you mean 'eth0'?\n"
    assert "wlan0" in publisher("snapshot", "wlan0", status=2).stderr, "it does not pass the filter"


def test_a_filter_that_nothing_passes_is_named(publisher: Publisher) -> None:
    publisher.configure('[filter]\ninclude = ["eth7"]\n[sinks.a]\ntype = "terminal"\nonly.interfaces = ["wg0"]')
    names = "there are: eth0, wlan0"
    assert f"no interface passes the configuration's filter now; {names}" in publisher("snapshot").stderr
    checked = publisher("check").stdout
    assert f"no interface passes [filter] now; {names} (one may come later)\n" in checked
    assert f"no interface passes only of sink 'a' now; {names} (one may come later)\n" in checked
    publisher.configure('[sinks.a]\ntype = "terminal"\nonly.interfaces = ["eth0"]')
    assert "no interface passes" not in publisher("check").stdout


@pytest.mark.parametrize(("columns", "left_out"), [(160, []), (80, ["Index", "LUID", "Connected", "Metric"])])
def test_a_narrow_terminal_shows_addresses_before_numbers(
    columns: int, left_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publisher.cli.tables.width", lambda: columns)
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    rows = [make_row("enp0s31f6", "inet6", addresses=("2001:db8:1:2:3:4:5:6/64",))]
    print_table(_COLUMNS, map(_cells, rows), right={1, 6, 7}, wrapped={8, 9}, dispensable=_DISPENSABLE)
    heading = output.getvalue().splitlines()[0]
    assert [name for name in _COLUMNS if name not in heading] == left_out


def test_options_without_effect_are_refused(publisher: Publisher) -> None:
    publisher.configure("")
    assert "--token-file has no effect without a URL" in publisher("watch", "--token-file", "x", status=2).stderr
    done = publisher("watch", "mqtt://127.0.0.1:1", "--source", "linux", status=2)
    assert "--source has no effect with a URL" in done.stderr
    assert "'eth0' is no URL like mqtt://broker.lan: " in publisher("watch", "eth0", status=2).stderr


@posix_only
def test_watch_ends_when_its_reader_leaves(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure("")
    watch = publisher.start("watch")
    assert watch.stdout
    assert "1 IP interface" in watch.stdout.readline()
    watch.stdout.close()
    assert watch.wait(30) == 0


@posix_only
def test_watch_of_a_broker_without_nodes_says_so(publisher: Publisher, tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        watch = publisher.start("watch", broker.url, "--base", "fleet")
        assert watch.stderr
        assert (
            watch.stderr.readline() == f"publisher: {broker.url}: connected; no node publishes to 'fleet' there yet\n"
        )
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 0


def test_commands_know_the_journals_luids_and_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    settings = Settings(journal=JournalSettings(path=path))
    assert known_luids(settings).load_luids() == []
    assert not path.exists()
    journal = Journal.open(path, node="nas")
    journal.luids.save_luids([LuidAssignment("0018abcdef000000", "", b"lo", b"lo")])
    journal.close()
    before = path.read_bytes()
    luids = known_luids(settings)
    assert luids.load_luids() == [LuidAssignment("0018abcdef000000", "", b"lo", b"lo")]
    luids.save_luids([LuidAssignment("0018abcdf0000000", "", b"x", b"x")])
    assert path.read_bytes() == before


def test_a_journal_that_cannot_be_read_is_a_warning(publisher: Publisher) -> None:
    publisher.journal.write_bytes(b"no journal" * 500)
    publisher.configure("")
    done = publisher("snapshot")
    assert "LUIDs may differ from those of the service" in done.stderr
    assert "eth0" in done.stdout


def test_record_writes_what_replay_reads(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, WLAN0), "startup"), Remove(WLAN0.luid, "inet"))
    publisher.configure("")
    assert "2 updates recorded" in publisher("record", "new.jsonl").stderr
    assert "wlan0" in publisher("watch", "--source", "recording:new.jsonl?speed=0").stdout
    before = (publisher.folder / "new.jsonl").read_bytes()
    assert "exists already" in publisher("record", "new.jsonl", status=1).stderr
    assert (publisher.folder / "new.jsonl").read_bytes() == before


def test_an_update_that_is_written_when_the_recording_is_ended_is_counted(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any) -> Iterator[Any]:
        for _ in write_recording(*arguments):
            raise KeyboardInterrupt
        yield

    monkeypatch.setattr("publisher.cli.record.write_recording", interrupted)
    source = f"recording:{publisher.folder / 'updates.jsonl'}"
    record_updates(Settings(source=source), publisher.folder / "new.jsonl")
    assert "1 updates recorded" in capsys.readouterr().err


@posix_only
def test_record_and_watch_end_with_a_signal(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure("")
    record = publisher.start("record", "new.jsonl")
    wait_for(
        lambda: (publisher.folder / "new.jsonl").exists() and len((publisher.folder / "new.jsonl").read_bytes()) > 300
    )
    record.send_signal(signal.SIGTERM)
    assert record.wait(30) == 0
    assert record.stderr
    assert "1 updates recorded" in record.stderr.read()
    watch = publisher.start("watch")
    assert watch.stdout
    assert "1 IP interface" in watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    assert watch.wait(30) == 0


def test_watch_of_a_wrong_url_lists_the_schemes(publisher: Publisher) -> None:
    assert "mqtt://" in publisher("watch", "ftp://127.0.0.1", status=2).stderr


def test_watch_shows_the_snapshot_then_changes(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"))
    publisher.configure('node = "nas"')
    heading, *lines = publisher("watch").stdout.splitlines()
    assert heading.endswith("  nas has 2 IP interfaces")
    assert len(lines) == 3
    assert lines[2].endswith("IPv6 removed")
    assert "inet6" not in publisher("watch", "--family", "inet").stdout
