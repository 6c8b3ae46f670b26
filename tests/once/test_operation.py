"""docs/operation.md: its commands for upgrade, backup, move, renaming and leaving are run as they are printed.

The program, the journal and the broker are real. `systemctl` is a script that starts, stops and reloads the program,
since a test has no systemd of its own; `pip` does nothing, since a test installs nothing.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from publisher.sources import Resync
from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command import Publisher
from tests.fixtures.mqtt_subscriber import retained
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("the page is about systemd", allow_module_level=True)

PAGE = (Path(__file__).parents[2] / "docs/operation.md").read_text(encoding="utf-8")
SYSTEMCTL = """\
#!/bin/sh
start() { publisher run >>$STATE/log 2>&1 & echo $! >$STATE/pid; wait_until_ready; }
stop() { kill $(cat $STATE/pid) && tail --pid=$(cat $STATE/pid) --sleep-interval=0.1 --follow /dev/null; }
is_ready() { publisher status | grep -q 'all delivered'; }
wait_until_ready() { until is_ready; do kill -0 $(cat $STATE/pid) || exit 1; sleep 0.1; done; }
case $1 in
  start|enable) start ;;
  stop|disable) stop ;;
  restart) stop; start ;;
  reload) kill -HUP $(cat $STATE/pid) ;;
esac
"""
PLACES = ("/etc", "/var/lib", "/var/log", "/var/backups", "/opt")


class ServiceHost:
    """A host of its own below a directory: the paths of the page lead there, and so does the program's environment."""

    def __init__(self, folder: Path, name: str) -> None:
        self.root = folder / name
        self.publisher = Publisher(self.root / "home")
        commands = self.root / "bin"
        for place in (commands, *(self.root / path.strip("/") for path in PLACES), self.root / "home"):
            place.mkdir(parents=True)
        for path in ("etc", "var/lib", "var/log"):
            (self.root / path / "interface-publisher").mkdir()
        self._script(commands / "systemctl", SYSTEMCTL)
        self._script(commands / "pip", "#!/bin/sh\n")
        self._script(commands / "publisher", f'#!/bin/sh\nexec {sys.executable} -m publisher "$@"\n')
        state = self.root / "var/lib/interface-publisher"
        self.environment = self.publisher.environment | {
            "PATH": f"{commands}:{self.publisher.environment['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "STATE": str(self.root),
            "CONFIGURATION_DIRECTORY": str(self.root / "etc/interface-publisher"),
            "STATE_DIRECTORY": str(state),
        }

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def configure(self, broker: Mosquitto, node: str) -> None:
        self.publisher.updates(Resync((make_row("eth0"), make_row("eth0", "inet6")), "startup"), pace=0.01)
        recording = self.root / "home/updates.jsonl"
        (self.root / "etc/interface-publisher/publisher.toml").write_text(
            f'node = "{node}"\nsource = "recording:{recording}"\n[sinks.home]\ntype = "mqtt"\nurl = "{broker.url}"\n'
        )

    def run(self, block: str) -> str:
        """Runs the commands of a block one after the other, as printed but for the places; returns what they print."""
        for place in PLACES:
            block = re.sub(rf"(?<![\w/.]){place}(?=[/ ])", str(self.root) + place, block)
        block = block.replace("-C /", f"-C {self.root}/")
        done = subprocess.run(
            ["sh", "-ec", block],
            cwd=self.root / "home",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        """Ends the service, if it runs."""
        subprocess.run(
            ["sh", "-c", "kill -9 $(cat $STATE/pid)"], env=self.environment, check=False, capture_output=True
        )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    one = Mosquitto(tmp_path / "broker")
    one.start()
    yield one
    one.end()


@pytest.fixture
def host(tmp_path: Path, broker: Mosquitto) -> Iterator[ServiceHost]:
    one = ServiceHost(tmp_path, "old")
    one.configure(broker, "nas")
    one.run("systemctl start interface-publisher")
    yield one
    one.end()


def blocks(title: str) -> list[str]:
    """Returns the blocks of commands of a section."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def nodes(broker: Mosquitto) -> set[str]:
    """Returns the nodes that have a state, and those that have a device of Home Assistant."""
    topics = retained(broker, "interfaces/+/+/+/state", "homeassistant/device/+/+/config")
    return {re.sub("^publisher_", "", topic.split("/")[2 if topic.startswith("home") else 1]) for topic in topics}


def test_upgrade(host: ServiceHost) -> None:
    [upgrade] = blocks("Upgrade")
    assert "all delivered" in host.run(upgrade)
    assert (host.root / "var/backups/publisher.before/journal.sqlite3").exists()


def test_back_up_and_put_it_back(host: ServiceHost, broker: Mosquitto) -> None:
    save, put_back = blocks("Back up")
    host.run(save)
    before = host.run("publisher status --json")
    host.run(put_back)
    after = host.run("publisher status --json")
    assert json.loads(before)["epoch"] < json.loads(after)["epoch"], "a journal that went back begins a new epoch"
    assert nodes(broker) == {"nas"}


def test_move_to_another_host(host: ServiceHost, tmp_path: Path, broker: Mosquitto) -> None:
    pack, unpack = blocks("Move to another host")
    host.run(pack)
    new = ServiceHost(tmp_path, "new")
    try:
        new.configure(broker, "unused")
        new.publisher.updates(Resync((make_row("ens3"),), "startup"), pace=0.01)
        shutil.move(host.root / "home/publisher.tar.gz", new.root / "home")
        # The recording of the new host stands where that of the old one was.
        unpack = unpack.replace(
            "systemctl", f"sed -i s,{host.root},{new.root}, /etc/interface-publisher/publisher.toml\nsystemctl", 1
        )
        assert "all delivered" in new.run(unpack)
        assert set(retained(broker, "interfaces/nas/+/+/state")) == {
            f"interfaces/nas/{make_row('ens3').luid}/inet/state"
        }
    finally:
        new.end()


def test_rename_the_node(host: ServiceHost, broker: Mosquitto) -> None:
    rename, forget = blocks("Rename the node")
    configuration = host.root / "etc/interface-publisher/publisher.toml"
    configuration.write_text(configuration.read_text().replace('"nas"', '"attic"'))
    assert "on " in host.run(rename)
    wait_for(lambda: nodes(broker) == {"attic"}, what="the new name alone")
    host.run(forget)
    assert nodes(broker) == set()


def test_leave(host: ServiceHost, broker: Mosquitto) -> None:
    [leave] = blocks("How to leave")
    (unit := host.root / "etc/systemd/system/interface-publisher.service").parent.mkdir(parents=True)
    unit.touch()
    (host.root / "opt/interface-publisher").mkdir()
    host.run(leave)
    assert nodes(broker) == set()
    assert not list(host.root.rglob("interface-publisher*"))


def test_nothing_listens_without_a_page_and_metrics(host: ServiceHost) -> None:
    """docs/security.md."""
    process = psutil.Process(int((host.root / "pid").read_text()))
    assert process.net_connections(), "that to the broker"
    assert not [one for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
