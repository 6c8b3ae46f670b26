"""`publisher web URL`: the page of every node on a broker, as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest

from publisher import Event
from publisher.events import Moment, SnapshotEvents
from publisher.testing import make_row
from publisher_web.shown.fleet import ShownFleet
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command import Publisher
from tests.fixtures.command_server import start_command
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.sse import SseClient


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@contextmanager
def fleet_page(broker: Mosquitto, folder: Path) -> Iterator[int]:
    """Runs `publisher web`, and checks that SIGTERM ends it well; yields its port."""
    port, log = free_port(), folder / "log"
    words = ["web", broker.url, "--address", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = start_command(None, words, folder, {**os.environ, "HOME": str(folder)}, output)
    try:
        wait_for(lambda: "Open the page:" in log.read_text() or process.poll() is not None, what="the page")
        assert process.poll() is None, log.read_text()
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
        assert log.read_text() == f"Open the page:  http://127.0.0.1:{port}/\n"
    finally:
        process.kill()
        process.wait()


def test_the_page_shows_every_node_and_each_change_once(broker: Mosquitto, tmp_path: Path) -> None:
    with (
        MqttHost(tmp_path, broker, node="nas") as nas,
        MqttHost(tmp_path, broker, node="pi") as pi,
        ExitStack() as stack,
    ):
        nas.put(make_row("eth0"), make_row("eth1", index=3))
        pi.put(make_row("wlan0"))
        nas.quiet()
        pi.quiet()
        port = stack.enter_context(fleet_page(broker, tmp_path))

        def in_sync() -> bool:
            answer = json.load(urlopen(f"http://127.0.0.1:{port}/api/status", timeout=10))
            return [node["in_sync"] and node["online"] for node in answer["nodes"]] == [True, True]

        wait_for(in_sync, what="both nodes")
        with SseClient(port, "/events?text=1") as viewer:
            viewer.until(lambda: sum(message.ends_snapshot for message in viewer.messages) == 2, "the rows")
            with_id = [message for message in viewer.messages if message.id]
            assert len(with_id) == 1, "only the last of all rows: nobody resumes between two nodes"
            for metric in range(1, 11):
                nas.put(make_row("eth0", metric=metric))
                pi.put(make_row("wlan0", metric=metric))
            viewer.until(lambda: len(viewer.changes) >= 20, "each change of both")
            last = viewer.last_id
        nas.put(make_row("eth1", index=3, metric=7))
        with SseClient(port, headers={"Last-Event-ID": last or ""}) as again:
            again.until(lambda: again.changes, "what was missed")
            assert (len(again.changes), again.snapshots) == (1, 0)
        for node, host in (("nas", nas), ("pi", pi)):
            seqs = [change["seq"] for change in [*viewer.changes, *again.changes] if change["node"] == node]
            assert seqs == list(range(host.journal.seq - len(seqs) + 1, host.journal.seq + 1))
        answer = json.load(urlopen(f"http://127.0.0.1:{port}/api/rows", timeout=10))
        assert {(row["node"], row["interface"]["alias"], row["row"]["metric"]) for row in answer["rows"]} == {
            ("nas", "eth0", 10),
            ("nas", "eth1", 7),
            ("pi", "wlan0", 10),
        }
        assert answer["fleet"] is True
        with SseClient(port, headers={"Last-Event-ID": answer["cursor"]}) as loaded:
            nas.put(make_row("eth1", index=3, metric=8))
            loaded.until(lambda: loaded.changes, "what came after the rows")
            assert (len(loaded.changes), loaded.snapshots) == (1, 0), "who has the rows is not sent them again"
        nas.put(make_row("eth1", index=3, metric=7))
        history = json.load(urlopen(f"http://127.0.0.1:{port}/api/history?node=pi&limit=3", timeout=10))
        assert [event["seq"] for event in history["events"]] == list(range(pi.journal.seq, pi.journal.seq - 3, -1))
        assert history["events"][0]["text"] == "wlan0 IPv4 metric 10, was 9"


def test_the_history_reaches_back_to_before_the_page_began(broker: Mosquitto, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, node="old") as old:
        for mtu in range(1400, 1410):
            old.put(make_row("eth0", nl_mtu=mtu))
        old.quiet()
        with fleet_page(broker, tmp_path) as port:
            url = f"http://127.0.0.1:{port}/api/history?node=old&luid={make_row('eth0').luid}"
            wait_for(lambda: len(json.load(urlopen(url, timeout=20))["events"]) == 10, what="the node's own history")
            old.put(make_row("eth0", nl_mtu=1410))

            def seqs(more: str) -> list[int]:
                return [event["seq"] for event in json.load(urlopen(url + more, timeout=20))["events"]]

            wait_for(lambda: seqs("&limit=3") == [11, 10, 9], what="the newest, each once")
            assert seqs("&limit=3&before=9") == [8, 7, 6]


def test_a_snapshot_that_comes_in_parts_is_shown_when_it_is_whole() -> None:
    """Who began in the middle of the second one kept eth1 for ever, which that does not have."""

    async def shown() -> None:
        fleet = ShownFleet()
        fleet.take(_snapshot(1, "eth0", "eth1"))
        begins, row = _snapshot(9, "eth0")
        fleet.take([begins])
        aliases = [event["interface"]["alias"] for event in json.loads(b"".join(await fleet.rows()))["rows"]]
        seen = (await fleet.snapshot()).seq
        assert (aliases, seen) == (["eth0", "eth1"], 3)
        fleet.take([row])
        assert fleet.stream.covers(seen)
        found = fleet.stream.next_piece(seen, of_last_round=False, with_text=False)
        assert found is not None
        assert found[1].count(b"data: ") == 2, "the whole of it comes next"
        assert found[1].count(b"id: ") == 1, "nobody goes on from within it"

    asyncio.run(shown())


def _snapshot(seq: int, *aliases: str) -> list[Event]:
    moment = Moment("nas", "0" * 15 + "1", seq, datetime.now(UTC))
    rows = [make_row(alias, index=2 + number) for number, alias in enumerate(aliases)]
    return [*SnapshotEvents(moment, "notification", rows, lambda row: row)]


def test_a_node_that_goes_is_shown_as_offline(broker: Mosquitto, tmp_path: Path) -> None:
    with fleet_page(broker, tmp_path) as port, SseClient(port) as viewer:
        with MqttHost(tmp_path, broker, node="laptop") as laptop:
            laptop.put(make_row("eth0"))
            viewer.until(lambda: _states(viewer)[-1:] == [(True, True)], "the node in sync")
        viewer.until(
            lambda: _states(viewer)[-1:] == [(False, True)] or _states(viewer)[-1:] == [(False, False)], "offline"
        )


def _states(viewer: SseClient) -> list[tuple[bool, bool]]:
    nodes = [message.data for message in viewer.messages if message.name == "node" and message.data["node"] == "laptop"]
    return [(node["online"], node["in_sync"]) for node in nodes]


def test_a_broker_that_is_not_there_is_an_error(publisher: Publisher) -> None:
    done = publisher("web", f"mqtt://127.0.0.1:{free_port()}", "--address", "127.0.0.1:0", status=1)
    assert done.stdout == ""
    assert "nothing listens on" in done.stderr


def test_an_address_that_others_reach_needs_a_token(broker: Mosquitto, publisher: Publisher) -> None:
    done = publisher("web", broker.url, "--address", "0.0.0.0:0", status=2)
    assert "--page-token-file" in done.stderr
