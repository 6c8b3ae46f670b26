"""The service as a process: its log, its metrics, its failures. Each test runs the real command."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from publisher.service.run import _turns
from publisher.service.systemd import Notifier
from tests.fixtures.command import FILE_SINK, Publisher
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port


def test_run_logs_json_on_standard_error(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    done = publisher("run", "--verbose")
    assert done.stdout == ""
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"timestamp", "level", "logger", "message"} <= entries[0].keys()


def test_metrics_are_served(service: Callable[..., subprocess.Popen[str]]) -> None:
    pytest.importorskip("prometheus_client")
    port = free_port()
    service(PUBLISHER_METRICS__ADDRESS=f"127.0.0.1:{port}")

    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    assert 'publisher_sink_delivered_total{sink="log"}' in scraped()
    # The line is in the file a moment before its sink is done with it.
    following = 'publisher_sink_state{publisher_sink_state="following",sink="log"} 1.0'
    wait_for(lambda: following in scraped(), what=following)


def test_an_unexpected_exception_is_logged_with_its_traceback(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    program = (
        "import sys, publisher.service.service, publisher.cli.app\n"
        "def run(self): raise ZeroDivisionError('oops')\n"
        "publisher.service.service.Service.run = run\n"
        "sys.argv = ['publisher', 'run']\n"
        "publisher.cli.app.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=publisher.folder, env=publisher.environment, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 1
    assert last["level"] == "error"
    assert "ZeroDivisionError: oops" in last["exception"]


def test_a_second_publisher_on_one_journal_is_an_error(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    service()
    done = publisher("run", status=1)
    assert "is in use by another publisher" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_second_first_run_names_no_page_and_no_broker(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    """It printed `Open the page:` with a free port, where nothing ever listened."""
    service()
    publisher.configure("")
    done = publisher("run", status=1)
    [line] = done.stderr.splitlines()
    assert "is in use by another publisher" in line
    assert done.stdout == ""


def test_a_run_imports_only_what_it_needs(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    lines = publisher("run", PYTHONPROFILEIMPORTTIME="1").stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {"publisher.service.run", "publisher_file.sink"} <= imported
    others = ("asyncio", "rich", "http.server", "ssl", "urllib3", "paho", "gzip", "multiprocessing", "typer")
    ours = ("publisher_mqtt", "publisher_webhook", "publisher.service.status", "publisher.service.metrics")
    assert not imported.intersection((*others, *ours))


def test_what_was_loaded_is_left_out_of_collections_from_the_first_turn_on() -> None:
    turns = 0

    class Counting(Notifier):
        def turned(self) -> None:
            nonlocal turns
            turns += 1

    before = gc.get_threshold()
    gc.set_threshold(700, *before[1:])  # as before Python 3.13
    try:
        turned = _turns(Counting({}, 1, str))
        for _ in range(3):
            next(turned)
        assert (turns, gc.get_freeze_count() > 10_000) == (3, True)
        assert gc.get_threshold()[0] > 700
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@pytest.mark.parametrize("way", ["plain", "with an option"])
def test_a_run_is_the_same_with_and_without_the_parser_of_options(publisher: Publisher, way: str) -> None:
    publisher.configure(FILE_SINK)
    (publisher.folder / "publisher.toml").rename(publisher.folder / "other.toml")
    options = () if way == "plain" else ("--log-level", "info")
    done = publisher("run", "--config", "other.toml", *options)
    assert "configuration: other.toml" in done.stderr
    assert len((publisher.folder / "out.jsonl").read_bytes().splitlines()) == 4
    missing = publisher("run", "-c", "missing.toml", *options, status=2)
    assert missing.stderr.startswith("publisher: ")
    assert "missing.toml" in missing.stderr
