"""Everything of a soak that runs: namespaces, a small disk, a broker, a publisher with its sinks, and the observers."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command_server import COMMAND
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.program import Changes, State, comparable
from tests.fixtures.random_routes import make_links
from tests.soak import plugin
from tests.soak.observers import Hook, Lines, Subscriber
from tests.soak.plan import Change
from tests.soak.publishing import Supervised
from tests.soak.stream import Stream

NODE = "nas"
DISK_SIZE = "48m"
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x0002_0000, 0x4000, 0x4_0000  # linux/sched.h, linux/mount.h
_MS_RDONLY, _MS_REMOUNT = 1, 32
_FAR, _NEAR = "10.99.0.2", "10.99.0.1"


def leave_the_mounts() -> None:
    """Gives this process mounts of its own. It has one thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        number = ctypes.get_errno()
        raise OSError(number, f"mounts of one's own: {os.strerror(number)}")


class House:
    """The broker is in a namespace of its own, at the end of a cable (`wire`), and so is where links are moved to."""

    def __init__(self, folder: Path, around: ExitStack) -> None:
        self.folder = folder
        self.active: dict[str, str] = {}
        """The faults that there are now, by what they are a fault of."""
        self.home, self.far, self.away = (self._netns(around) for _ in range(3))
        self._make_links()
        self.changes = Changes(self.home)
        around.callback(self.changes.close)
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.mount(0, new=True)
        self._make_broker(around)
        self.streams = {
            "file": Stream("file"),
            "webhook": Stream("webhook", repeats=True),
            "program": Stream("program", repeats=True, skips=True, takes_snapshots=False),
            "subscriber": Stream("subscriber", is_marked=False),
        }
        self.hook = self.home.in_thread(Hook, self.streams["webhook"])
        around.callback(self.hook.close)
        self.clock = self._make_clock()
        plugin.install(folder / "site")
        self.configure()
        for name in ("file", "program"):
            around.callback(Lines(folder / f"{name}.jsonl", self.streams[name]).close)
        self.publisher = Supervised(self.home, folder, self.environment(), lambda: tuple(self.active.values()))
        around.callback(self.publisher.close)
        self.subscriber = Subscriber(self.broker.url, self.streams["subscriber"], self.far)
        around.callback(self.subscriber.close)
        wait_for(self._has_begun, timeout=300, what="the first rows everywhere")

    def _has_begun(self) -> bool:
        """Returns whether each observer has the rows with which its sink begins."""
        return all(stream.at is not None for name, stream in self.streams.items() if name != "program")

    @staticmethod
    def _netns(around: ExitStack) -> NetNs:
        netns = NetNs()
        around.callback(netns.close)
        return netns

    def _make_links(self) -> None:
        make_links(self.home)
        self.home.ip(*(f"link add {name} type ifb" for name in (*Changes.links, "mark")))
        self.far.ip("link set lo up", f"link add wire type veth peer name wire netns {self.home.path}")
        self.far.ip(f"addr add {_FAR}/24 dev wire", "link set wire up")
        self.home.ip(f"addr add {_NEAR}/24 dev wire", "link set wire up")

    def _make_broker(self, around: ExitStack) -> None:
        (self.folder / "broker").mkdir()
        self._broker_port = free_port()
        listener = (f"listener {self._broker_port} {_FAR}", "allow_anonymous true")
        self.broker = Mosquitto(self.folder / "broker", *listener, store=True)
        self.start_broker()
        around.callback(self.broker.kill)

    def start_broker(self) -> None:
        """Starts the broker and waits until it listens."""
        self.far.in_thread(self.broker.start)

    def configure(self, receive_buffer: int = 8 << 20) -> None:
        """Writes the configuration, for the next start."""
        script = f"[ -e {self.folder}/fails ] && exit 75; exec cat >> {self.folder}/program.jsonl"
        lines = [
            f'node = "{NODE}"', f"receive_buffer = {receive_buffer}", "reconcile_seconds = 10",
            "[journal]", 'path = "disk/journal.sqlite3"', f"max_bytes = {24 << 20}", "max_events = 1_000_000",
            "[sinks.file]", 'type = "file"', 'path = "file.jsonl"',
            "[sinks.home]", 'type = "mqtt"', f'url = "mqtt://{_FAR}:{self._broker_port}"',
            "[sinks.hook]", 'type = "webhook"', f'url = "{self.hook.url}"', 'format = "plain"', "timeout = 2.0",
            "snapshot = true",
            "[sinks.program]", 'type = "command"', f"command = {json.dumps(['sh', '-c', script])}",
            'only = { interfaces = ["e?", "mark"] }',
            "[sinks.hangs]", 'type = "hangs"', "[sinks.leaks]", 'type = "leaks"',
        ]  # fmt: skip
        (self.folder / "publisher.toml").write_text("\n".join(lines))

    def reads(self) -> int:
        """Returns how many times a publisher has begun to read the kernel."""
        return (self.folder / "log").read_text(errors="replace").count("source: linux")

    def environment(self) -> dict[str, str]:
        """Returns the environment of the publisher."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PUBLISHER_", "XDG_"))}
        made = kept | {"HOME": str(self.folder), "PYTHONPATH": str(self.folder / "site")}
        if self.clock is not None:
            made |= {"LD_PRELOAD": str(self.folder / "clock.so"), "SOAK_CLOCK": str(self.clock)}
        return made

    def _make_clock(self) -> Path | None:
        """Returns the file by which the publisher's wall clock is set; None where there is no C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return None
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", self.folder / "clock.so", source, "-ldl"], check=True)
        path = self.folder / "clock"
        path.write_bytes(struct.pack("=q", 0))
        return path

    def set_clock(self, seconds: int) -> None:
        """Sets the publisher's wall clock so many seconds ahead of the machine's."""
        assert self.clock is not None
        with self.clock.open("r+b") as file:
            file.write(struct.pack("=q", seconds))

    def mount(self, flags: int = 0, *, new: bool = False) -> None:
        """Mounts the disk, or mounts it again with other flags."""
        libc = ctypes.CDLL(None, use_errno=True)
        flags |= 0 if new else _MS_REMOUNT
        if libc.mount(b"disk", os.fsencode(self.disk), b"tmpfs", flags, f"size={DISK_SIZE}".encode()):
            number = ctypes.get_errno()
            raise OSError(number, f"mount {self.disk}: {os.strerror(number)}")

    def make_read_only(self) -> None:
        """Makes the disk read-only; raises OSError while something on it is open for writing."""
        self.mount(_MS_RDONLY)

    def change(self, change: Change) -> None:
        """Makes the changes; those that the kernel refuses in the state that came about are left out."""
        places = {"away": self.away.path, "home": self.home.path}
        lines = [line.format(**places) for text in change.lines for line in text.split("\n")]
        away = [line.removeprefix("away ") for line in lines if line.startswith("away ")]
        for line in (line for line in lines if line.startswith("sysctl ")):
            _, name, value = line.split()
            self.home.run(["sh", "-c", 'echo "$1" > "/proc/sys/$0"', name, value], check=False)
        here = [line for line in lines if not line.startswith(("away ", "sysctl "))]
        if here:
            self.home.ip(*here, force=True)
        if away:
            self.away.ip(*away, force=True)

    def rows(self) -> dict[tuple[str, str], State]:
        """Returns the rows that `publisher snapshot` reads from the kernel now."""
        rows = json.loads(self.publisher_says("snapshot", "--json"))
        return {(row.pop("luid"), row.pop("family")): comparable(row) for row in rows}

    def status(self) -> dict[str, Any]:
        """Returns what `publisher status` says; nothing when no service runs."""
        found: dict[str, Any] = json.loads(self.publisher_says("status", "--json", check=False) or "{}")
        return found

    def publisher_says(self, *arguments: str, check: bool = True) -> str:
        """Returns the output of a command of the publisher's."""
        environment = self.environment()
        return self.home.run([*COMMAND, *arguments], check=check, cwd=self.folder, env=environment)

    @property
    def broker_port(self) -> int:
        """The port at which observers find the broker, whatever becomes of the cable."""
        return self.broker.port
