"""The command line: each test runs the real command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher.commands.own_source import known_luids
from publisher.config import JournalSettings, Settings, load_settings, sink_options
from publisher.events import Event, IpInterface
from publisher.identity import LuidAssignment
from publisher.journal import Journal
from publisher.journal_lock import holder
from publisher.plugins import load_plugins
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.sources.replay import Header, write_recording
from publisher.surroundings import Surroundings
from publisher.testing import make_event, make_row
from tests.waiting import wait_for

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
ETH0 = make_row("eth0", addresses=["192.0.2.10/24"])
ETH0_6 = make_row("eth0", "inet6", addresses=["fe80::1/64"])
WLAN0 = make_row("wlan0", index=3, connected=False)


class Publisher:
    """Runs `publisher` in a directory of its own, with nothing of the person who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal.sqlite3"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
        self.environment = kept | {"HOME": str(folder), "LOCALAPPDATA": str(folder), "COLUMNS": "200"}
        self.started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: object, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self._command(arguments), cwd=self.folder, env=self.environment | environment, timeout=60,
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert status == 1 or "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self._command(arguments), cwd=self.folder, env=self.environment | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        self.started.append(process)
        return process

    def configure(self, text: str) -> None:
        (self.folder / "publisher.toml").write_text(
            f'source = "replay:updates.jsonl"\n{text}\n[journal]\npath = "journal.sqlite3"\n', encoding="utf-8"
        )

    def updates(self, *updates: Update, last_at: float = 0.0) -> None:
        """The recording that `configure` names as the source: all at once, and the last one at `last_at`."""
        times = iter([0.0] * len(updates) + [last_at])
        with (self.folder / "updates.jsonl").open("wb") as file:
            for _ in write_recording(file, Header(platform="linux", recorder="0"), updates, lambda: next(times)):
                pass

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "publisher", *map(str, arguments)]


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    publisher = Publisher(tmp_path)
    publisher.updates(Resync((ETH0, ETH0_6, WLAN0), "startup"))
    yield publisher
    for process in publisher.started:
        process.kill()
        process.communicate()


def events_in(path: Path) -> list[Event]:
    """The whole lines of a file sink's file, as events; none while there is no file."""
    if not path.exists():
        return []
    return [Event.from_json(line[:-1]) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


FILE_SINK = '[sinks.log]\ntype = "file"\npath = "out.jsonl"'
TERMINAL_SINK = '[sinks.t]\ntype = "terminal"'
FOREVER = 3600.0


@pytest.fixture
def service(publisher: Publisher) -> Callable[..., subprocess.Popen[str]]:
    """Starts the service with a file sink; returns when the snapshot is in the file."""

    def start(*arguments: object, sinks: str = FILE_SINK, **environment: str) -> subprocess.Popen[str]:
        publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"), last_at=FOREVER)
        publisher.configure(sinks)
        process = publisher.start("run", *arguments, **environment)
        wait_for(
            lambda: len(events_in(publisher.folder / "out.jsonl")) >= 3 or process.poll() is not None, what="snapshot"
        )
        return process

    return start


def test_help_and_version(publisher: Publisher) -> None:
    assert publisher("--version").stdout == "publisher 0.1.0\n"
    shown = publisher("--help").stdout
    for command in (
        "run",
        "watch",
        "snapshot",
        "check",
        "replay",
        "dead-letters",
        "plugins",
        "schema",
        "record",
        "init",
    ):
        assert f"\n  {command} " in shown
    assert "..." not in shown.partition("Commands:")[2], "a summary is too long"


@pytest.mark.parametrize("arguments", [["rum"], ["replay"]])
def test_wrong_usage_is_status_2(publisher: Publisher, arguments: list[str]) -> None:
    said = publisher(*arguments, status=2).stderr
    assert "Usage: publisher" in said
    if arguments == ["rum"]:
        assert "Did you mean 'run'" in said


def test_a_wrong_configuration_is_status_2_and_one_line(publisher: Publisher) -> None:
    publisher.configure("nod = 1")
    assert publisher("run", status=2).stderr == (
        f"publisher: {publisher.folder / 'publisher.toml'}: nod is no setting there is; did you mean 'node'?\n"
    )
    assert not publisher.journal.exists()


def test_a_sink_of_no_type_there_is_is_told(publisher: Publisher) -> None:
    publisher.configure('[sinks.x]\ntype = "fil"')
    said = publisher("check", status=2).stderr
    assert "sink 'x'" in said
    assert "did you mean 'file'?" in said
    assert not publisher.journal.exists()


@posix_only
def test_run_shows_snapshot_and_changes_in_the_terminal(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Upsert(make_row("eth0", nl_mtu=1400, addresses=["192.0.2.10/24"])))
    recording = (publisher.folder / "updates.jsonl").read_bytes().splitlines(keepends=True)
    (publisher.folder / "updates.jsonl").unlink()
    os.mkfifo(publisher.folder / "updates.jsonl")
    publisher.configure(TERMINAL_SINK)
    process = publisher.start("run")
    assert process.stdout
    with (publisher.folder / "updates.jsonl").open("wb", buffering=0) as source:
        source.write(b"".join(recording[:2]))
        assert process.stdout.readline().endswith("1 IP interface\n")
        assert "192.0.2.10/24" in process.stdout.readline()
        source.write(recording[2])
        assert process.stdout.readline().endswith("nl_mtu 1500 -> 1400\n")
    assert process.wait(30) == 0
    assert {path.name for path in publisher.folder.iterdir()} == {
        "publisher.toml", "updates.jsonl", "journal.sqlite3", "journal.sqlite3.lock",
    }  # fmt: skip


def test_run_logs_json_on_standard_error(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    done = publisher("run", "--verbose")
    assert done.stdout == ""
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"timestamp", "level", "event"} <= entries[0].keys()


def test_the_source_can_be_named(publisher: Publisher) -> None:
    publisher.configure("")
    said = publisher("run", "--source", "x11", status=1).stderr
    assert "there is no source 'x11'" in said
    said = publisher("snapshot", "--source", "replay:none", status=1).stderr
    assert said == "publisher: none: the recording cannot be read: No such file or directory\n"


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
    ]
    assert first.split() == ["eth0", "2", ETH0.luid, "inet", "up", "yes", "1500", "100", "192.0.2.10/24"]
    assert second.startswith("a\\x1b[2Jb ")
    assert not publisher.journal.exists()


def test_snapshot_as_json(publisher: Publisher) -> None:
    publisher.configure('filter.exclude = ["wlan*"]')
    rows = json.loads(publisher("snapshot", "--json").stdout)
    assert [(row["luid"], row["family"]) for row in rows] == [ETH0.key, ETH0_6.key]
    assert list(rows[0]) == ["luid", "family", "row", "interface", "addresses"]
    for row, expected in zip(rows, (ETH0, ETH0_6), strict=True):
        assert IpInterface.model_validate_json(json.dumps({key: row[key] for key in list(row)[2:]})) == expected
    [only] = json.loads(publisher("snapshot", "--json", "--family", "inet6").stdout)
    assert only["family"] == "inet6"


@posix_only
def test_a_reader_that_leaves_is_no_error(publisher: Publisher) -> None:
    publisher.updates(Resync(tuple(make_row(f"eth{index}", index=index) for index in range(1, 3000)), "startup"))
    publisher.configure(TERMINAL_SINK)
    for command in ("snapshot", "watch", "run"):
        line = f"{sys.executable} -m publisher {command} | head -n 1"
        done = subprocess.run(
            line, shell=True, cwd=publisher.folder, env=publisher.environment, timeout=60,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) == 1, command
        if command != "run":  # which logs that it starts
            assert done.stderr == "", command
        assert "Error" not in done.stderr, command


@posix_only
def test_run_ends_when_nobody_reads_its_terminal_lines_any_more(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(TERMINAL_SINK)
    process = publisher.start("run")
    assert process.stdout
    assert "1 IP interface" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0


def test_check_says_what_works_and_what_does_not(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    lines = publisher("check").stdout.splitlines()
    assert lines[0] == f"configuration {publisher.folder / 'publisher.toml'}: fine"
    assert lines[1].startswith("sink 'log': ")
    publisher.configure(f'{FILE_SINK}\n[sinks.bad]\ntype = "file"\npath = "{publisher.folder.as_posix()}"')
    lines = publisher("check", status=1).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["sink 'log'", "sink 'bad'"]
    assert "failed: " in lines[2]
    assert "failed: " not in lines[1]
    assert not publisher.journal.exists()


def test_replay_asks_the_running_service(publisher: Publisher, service: Callable[..., subprocess.Popen[str]]) -> None:
    service()
    out = publisher.folder / "out.jsonl"
    assert publisher("replay", "log").stdout == "log: the snapshot is being sent again\n"
    wait_for(lambda: len(events_in(out)) == 6, what="the snapshot again")
    assert {event.notification_type for event in events_in(out)} == {"initial_notification"}


def test_replay_waits_for_the_next_start(publisher: Publisher, service: Callable[..., subprocess.Popen[str]]) -> None:
    publisher.configure(FILE_SINK)
    publisher("run")
    out = publisher.folder / "out.jsonl"
    assert len(events_in(out)) == 4
    assert "will be done at its next start" in publisher("replay", "log").stdout
    out.unlink()
    service()
    kinds = [event.notification_type for event in events_in(out)]
    assert sorted(kinds) == ["delete_instance"] + ["initial_notification"] * 3, "wlan0 went, then the rows"


def test_replay_tells_what_cannot_be(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    assert "there is no journal" in publisher("replay", "log", status=1).stderr
    assert not publisher.journal.exists()
    publisher("run")
    assert publisher("replay", "lug", status=2).stderr == "publisher: there is no sink 'lug'; there are: log\n"
    assert "the newest event is 0" in publisher("replay", "log", "--since", "5", status=1).stderr


def refused(publisher: Publisher) -> Event:
    """A journal that holds one dead letter."""
    event = make_event(7)
    journal = Journal.open(publisher.journal, node="nas")
    journal.add_dead_letter("log", event, "400 \x1b[2J\nno")
    journal.close()
    return event


def test_dead_letters_are_listed_shown_and_sent_again(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    event = refused(publisher)
    publisher.configure(FILE_SINK)
    [line] = publisher("dead-letters").stdout.splitlines()
    assert line.startswith("1  ")
    assert line.endswith("  log  seq 7  parameter_notification  eth0  400 \\x1b[2J no")
    assert Event.from_json(publisher("dead-letters", "--show", "1").stdout.encode()) == event
    assert "there is no dead letter 2" in publisher("dead-letters", "--show", "2", status=1).stderr
    assert "at its next start" in publisher("dead-letters", "--retry").stdout
    service()
    wait_for(
        lambda: event.id in [sent.id for sent in events_in(publisher.folder / "out.jsonl")], what="the dead letter"
    )
    wait_for(lambda: publisher("dead-letters").stdout == "", what="an empty list")


def test_commands_know_the_journals_luids_and_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    settings = Settings(journal=JournalSettings(path=path))
    assert known_luids(settings).load_luids() == []
    assert not path.exists()
    journal = Journal.open(path, node="nas")
    journal.save_luids([LuidAssignment("0018abcdef000000", "lo", "lo", 2e9)])
    journal.close()
    before = path.read_bytes()
    luids = known_luids(settings)
    assert luids.load_luids() == [LuidAssignment("0018abcdef000000", "lo", "lo", 2e9)]
    luids.save_luids([LuidAssignment("0018abcdf0000000", "x", "x", 2e9)])
    assert path.read_bytes() == before


def test_a_journal_that_cannot_be_read_is_told(publisher: Publisher) -> None:
    publisher.journal.write_bytes(b"no journal" * 500)
    publisher.configure("")
    done = publisher("snapshot")
    assert "LUIDs may be others than the service's" in done.stderr
    assert "eth0" in done.stdout


def test_plugins_lists_what_is_built_in(publisher: Publisher) -> None:
    lines = publisher("plugins").stdout.splitlines()
    assert {"sink    file", "sink    mqtt", "sink    terminal", "sink    webhook"} <= {
        line[:16].rstrip() for line in lines
    }
    assert all("interface-publisher 0.1.0" in line for line in lines)


def test_the_events_schema_fits_its_events(publisher: Publisher) -> None:
    schema = json.loads(publisher("schema", "event").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    event = json.loads(make_event().json_bytes)
    assert set(event) == set(schema["properties"]) == set(schema["required"])


def test_the_configurations_schema_has_every_sinks_options(publisher: Publisher) -> None:
    schema = json.loads(publisher("schema", "config").stdout)
    assert {"node", "filter", "journal", "sinks"} <= set(schema["properties"])
    assert "default" not in schema["properties"]["node"]
    sinks = {
        sink["properties"]["type"]["const"]: sink
        for sink in schema["properties"]["sinks"]["additionalProperties"]["anyOf"]
    }
    assert {"file", "mqtt", "terminal", "webhook"} <= set(sinks)
    assert sinks["file"]["required"] == ["type", "path"]
    assert_references_resolve(schema)


def test_asyncapi_describes_the_topics(publisher: Publisher) -> None:
    document = json.loads(publisher("schema", "asyncapi").stdout)
    assert document["asyncapi"] == "3.0.0"
    addresses = {channel["address"].removeprefix("{base}/{node}/") for channel in document["channels"].values()}
    assert addresses == {
        "status", "info", "{luid}/{family}/state", "{luid}/{family}/event", "replay/get", "replay/{client}",
    }  # fmt: skip
    for channel in document["channels"].values():
        assert set(channel["parameters"]) == {part[1:-1] for part in channel["address"].split("/") if part[0] == "{"}
    state = document["components"]["schemas"]["State"]
    assert set(state["required"]) == {"seq", "time", "row", "interface", "addresses"}
    assert document["operations"]["sendEvent"]["bindings"]["mqtt"]["retain"] is False
    assert_references_resolve(document)


def assert_references_resolve(document: dict[str, Any]) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found = document
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(document)


def test_record_writes_what_replay_reads(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, WLAN0), "startup"), Remove(WLAN0.luid, "inet"))
    publisher.configure("")
    assert "2 updates recorded" in publisher("record", "new.jsonl").stderr
    assert "wlan0" in publisher("watch", "--source", "replay:new.jsonl?speed=0").stdout
    before = (publisher.folder / "new.jsonl").read_bytes()
    assert "exists already" in publisher("record", "new.jsonl", status=1).stderr
    assert (publisher.folder / "new.jsonl").read_bytes() == before


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


def test_watch_of_a_broker_tells_what_is_wrong(publisher: Publisher) -> None:
    assert "mqtt://" in publisher("watch", "http://127.0.0.1", status=2).stderr


def test_watch_shows_the_snapshot_then_changes(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"))
    publisher.configure('node = "nas"')
    heading, *lines = publisher("watch").stdout.splitlines()
    assert heading.endswith("  nas has 2 IP interfaces")
    assert len(lines) == 3
    assert lines[2].endswith("deleted")
    assert "inet6" not in publisher("watch", "--family", "inet").stdout


def test_init_writes_a_configuration_that_works(publisher: Publisher) -> None:
    path = publisher.folder / "publisher.toml"
    assert "written" in publisher("init").stdout
    assert "sink 'terminal': " in publisher("check").stdout
    assert "exists already" in publisher("init", status=1).stderr
    text = path.read_text()
    path.write_text("".join(uncommented(line) for line in text.splitlines(keepends=True)))
    settings = load_settings(path, Surroundings("nas", (), (publisher.folder,)))
    assert set(sink_options(settings, load_plugins())) == {"terminal", "home", "hook", "log"}
    assert "cannot be written" in publisher("init", "no/such/x.toml", status=1).stderr


def uncommented(line: str) -> str:
    """The line with its comment sign taken off, if that makes it TOML."""
    bare = line.removeprefix("# ")
    return bare if bare != line and (bare.startswith("[") or " = " in bare) else line


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_in_order(service: Callable[..., subprocess.Popen[str]], number: signal.Signals) -> None:
    process = service()
    process.send_signal(number)
    assert process.wait(30) == 0


@posix_only
def test_sighup_reads_the_configuration_again(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    process = service()
    publisher.configure("nod = 3")
    process.send_signal(signal.SIGHUP)
    assert "did you mean 'node'" in logged(process, "the configuration stays as it was")["reason"]
    publisher.configure(f'{FILE_SINK}\n[sinks.more]\ntype = "file"\npath = "more.jsonl"')
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(events_in(publisher.folder / "more.jsonl")) == 3, what="the new sink's snapshot")
    assert len(events_in(publisher.folder / "out.jsonl")) == 3


def logged(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next log entry of this kind; the test's timeout ends the wait."""
    assert process.stderr
    for line in process.stderr:
        if (entry := json.loads(line))["event"] == event:
            return dict(entry)
    raise AssertionError(f"the log ended without {event!r}")


@posix_only
def test_a_terminal_that_is_closed_ends_run_instead_of_reloading(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(FILE_SINK)
    on_terminal = "import pty, sys; pty.spawn([sys.executable, '-m', 'publisher', 'run'])"
    terminal = subprocess.Popen(
        [sys.executable, "-c", on_terminal], cwd=publisher.folder, env=publisher.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: len(events_in(publisher.folder / "out.jsonl")) == 2, what="snapshot")
    assert holder(publisher.journal)
    terminal.kill()
    terminal.wait()
    wait_for(lambda: holder(publisher.journal) is None, what="the end of publisher")


@posix_only
def test_systemd_is_told(service: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        listener.settimeout(30)
        process = service(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="3000000")
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGHUP)
        told = told_until(listener, b"READY=1")
        assert any(state.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for state in told)
        process.send_signal(signal.SIGTERM)
        told_until(listener, b"STOPPING=1")
        assert process.wait(30) == 0


def told_until(listener: socket.socket, last: bytes) -> list[bytes]:
    told = [listener.recv(100)]
    while told[-1] != last:
        told.append(listener.recv(100))
    return told


def test_metrics_are_served(service: Callable[..., subprocess.Popen[str]]) -> None:
    pytest.importorskip("prometheus_client")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service(PUBLISHER_METRICS__ADDRESS=f"127.0.0.1:{port}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert 'publisher_sink_state{publisher_sink_state="following",sink="log"}' in answer.read().decode()


def test_what_nobody_foresaw_is_in_the_log_with_its_traceback(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    program = (
        "import sys, publisher.service, publisher.cli\n"
        "def run(self): raise ZeroDivisionError('oops')\n"
        "publisher.service.Service.run = run\n"
        "sys.argv = ['publisher', 'run']\n"
        "publisher.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=publisher.folder, env=publisher.environment, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 1
    assert last["level"] == "error"
    assert "ZeroDivisionError: oops" in last["exception"]


def test_a_second_publisher_on_one_journal_is_told(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    service()
    done = publisher("run", status=1)
    assert "is in use by another publisher" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_no_secret_is_in_any_output(publisher: Publisher) -> None:
    publisher.configure(
        '[sinks.hook]\ntype = "webhook"\nurl = "http://me:hunter2@127.0.0.1:1/x?token=hunter2"\npasword = "hunter2"'
    )
    done = publisher("run", status=2)
    assert "hunter2" not in done.stdout + done.stderr
    assert "pasword" in done.stderr


@posix_only
def test_run_imports_neither_broker_nor_http_client_nor_tables_of_its_own(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "publisher", "run"],
        cwd=publisher.folder, env=publisher.environment, timeout=60, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "publisher.service" in imported
    assert not imported & {"paho.mqtt.client", "urllib3", "prometheus_client", "publisher.commands.asyncapi", "iotcore"}
