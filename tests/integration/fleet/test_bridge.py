"""The recipes of docs/recipes.md for MQTT beside NATS: as printed, with other addresses, in a real publisher."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nats.aio.client import Client

from publisher.testing import make_row
from tests.fixtures.brokers import Broker, Mosquitto, write_passwords
from tests.fixtures.fleet_login import DOCUMENT, NAS, login, newest, run
from tests.fixtures.fleet_servers import FleetCluster
from tests.fixtures.mqtt_subscriber import Subscriber
from tests.fixtures.nats import nats_server_binary
from tests.fixtures.phone import END, HEADER, resync, upserts
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port

RECIPES = DOCUMENT.parents[1] / "docs/recipes.md"
UP, DOWN = make_row("eth0"), make_row("eth0", connected=False)
LUID = UP.luid


def printed(title: str) -> str:
    """Returns the configuration of this recipe."""
    [block] = re.findall(rf"^## {title}$.*?^```toml\n(.*?)^```$", RECIPES.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


@contextmanager
def publishing(folder: Path, recipe: str, replaced: dict[str, str]) -> Iterator[None]:
    """Runs a publisher with this recipe, which plays a recording: eth0 goes down and up for two minutes.

    A sink that is connected later than another one has the first changes in its rows, and the next ones as events.
    """
    for ours, here in replaced.items():
        assert ours in recipe, ours
        recipe = recipe.replace(ours, here)
    (folder / "publisher.toml").write_text(recipe)
    changes = [line for at in range(60) for line in upserts(0.5 + 2 * at, [UP if at % 2 else DOWN])]
    lines = [HEADER, resync(UP), *changes, END]
    (folder / "recording.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
    environment = kept | {
        "HOME": str(folder),
        "PUBLISHER_NODE": "nas",
        "PUBLISHER_JOURNAL__PATH": str(folder / "journal.sqlite3"),
        "PUBLISHER_SOURCE": f"recording:{folder / 'recording.jsonl'}",
    }
    command = [sys.executable, "-m", "publisher", "run", "--config", str(folder / "publisher.toml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def test_mqtt_and_the_fleet_get_the_same_bytes(fleet: FleetCluster, tmp_path: Path) -> None:
    passwords = write_passwords(tmp_path / "passwords")
    (tmp_path / "mqtt.password").write_text("hush")
    lines = ("allow_anonymous false", f"password_file {passwords}")
    with Mosquitto(tmp_path, *lines) as broker:
        broker.login = ("nas", "hush")  # type: ignore[misc]  # of this one
        replaced = {
            "broker.lan:1883": f"127.0.0.1:{broker.port}",
            "/etc/interface-publisher/mqtt.password": str(tmp_path / "mqtt.password"),
            "/etc/interface-publisher/fleet.password": str(fleet.folder.password_file(NAS)),
            "/etc/interface-publisher/ca.pem": str(fleet.folder.ca_file),
            **{f"{server.name}:4222": f"127.0.0.1:{server.port}" for server in fleet.members},
        }
        with (
            closing(Subscriber(broker, "interfaces/#")) as subscriber,
            publishing(tmp_path, printed("The same changes to MQTT and to a fleet"), replaced),
        ):

            async def stored() -> bytes:
                async with login(fleet, "operator") as operator:
                    return await newest(operator, f"{NAS}.{LUID}.inet")

            def is_same() -> bool:
                newest_there = run(stored())
                return any(event.payload == newest_there for event in subscriber.of("/event"))

            wait_for(is_same, timeout=90, what="the same bytes in the bucket")
            # A sink that was opened late has the first change in its snapshot.
            wait_for(
                lambda: any(event.json["row"]["connected"] is False for event in subscriber.of("/event")),
                what="a lost carrier",
            )


class NatsBroker(Broker):
    """One nats-server with its MQTT port, as the recipe has it."""

    protocols = ("3.1.1",)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.client_port = free_port()

    def command(self) -> list[str]:
        found = re.search(r"`(mqtt \{ listen: .*? \})` and `(jetstream) \{ \}`", RECIPES.read_text())
        assert found is not None
        mqtt = found[1].replace("0.0.0.0:1883", f"127.0.0.1:{self.port}")
        path = self.directory / "nats.conf"
        path.write_text(
            f'server_name: broker\nlisten: "127.0.0.1:{self.client_port}"\n{mqtt}\n'
            f'{found[2]} {{ store_dir: "{self.directory}/store" }}\n'
        )
        return [str(nats_server_binary()), "-c", str(path)]


def test_clients_of_mqtt_and_of_nats_get_the_events_of_one_nats_server(tmp_path: Path) -> None:
    recipe = printed("MQTT and NATS clients on one NATS server")
    with NatsBroker(tmp_path) as broker, closing(Subscriber(broker, "interfaces/#")) as subscriber:

        async def received() -> bytes:
            client = Client()
            await client.connect(f"nats://127.0.0.1:{broker.client_port}")
            try:
                subscription = await client.subscribe("interfaces.nas.*.*.event")
                await client.flush()
                with publishing(tmp_path, recipe, {"broker.lan:1883": f"127.0.0.1:{broker.port}"}):
                    return (await subscription.next_msg(60)).data
            finally:
                await client.close()

        payload = asyncio.run(received())
        assert subscriber.wait_for("/event")[0].payload == payload
        assert json.loads(payload)["interface"]["alias"] == "eth0"
        with closing(Subscriber(broker, "interfaces/#")) as late:
            late.wait_for("/inet/state")
