"""One boot of the guest: a virtual machine that runs the checkout, with a kernel that has every kind of link.

    guest.run("ip link add dummy0 type dummy")         a command, finished; its output
    guest.ip("link add ...", "link set ...")            many of `ip` in one process
    guest.monitor.execute("device_add", driver=...)     hot plug

The host's root is the guest's, read-only, below an overlay in memory. `/state` is a disk that stays from boot to boot.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.kernel import GuestKernel, tool
from tests.vm.monitor import Monitor

# An emulated processor is 20 times as slow, and CI's may have other work.
BOOT_SECONDS = COMMAND_SECONDS = 300
DISK_BYTES = 256 << 20


@dataclass(frozen=True)
class Machine:
    """The hardware of one boot: QEMU's devices, words for the kernel's command line, and the time of its clock."""

    devices: Sequence[str] = ()
    kernel_line: str = ""
    clock: str = "utc"


@dataclass(frozen=True)
class Installation:
    """All that each boot of a test has in common: the kernel, how QEMU runs it, and the folder of disk and logs."""

    kernel: GuestKernel
    accelerator: str
    initramfs: Path
    folder: Path

    @property
    def share(self) -> Path:
        """The folder that the guest may mount over 9p, tag `share`."""
        return self.folder / "share"


class Guest:
    """A running guest; `close` turns it off where `shut_down` was not called."""

    def __init__(self, host: Installation, machine: Machine | None = None) -> None:
        machine = machine or Machine()
        self._logs = host.folder / "console.log", host.folder / "qemu.log"
        host.share.mkdir(exist_ok=True)
        with ExitStack() as closers:
            agent, monitor = _pair(closers), _pair(closers)
            ends = [agent[1].fileno(), monitor[1].fileno()]
            command = _command(host, machine, _disk(host.folder), self._logs[0], *ends)
            errors = closers.enter_context(self._logs[1].open("wb"))
            self._process = subprocess.Popen(
                command, pass_fds=ends, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
            closers.callback(self._process.wait)
            closers.callback(self._process.kill)
            for end in (agent[1], monitor[1]):
                end.close()
            try:
                self.monitor = Monitor(monitor[0])
            except OSError as error:
                raise AssertionError(self._told(f"QEMU does not start: {error}")) from error
            self._agent = agent[0]
            self._answers = self._agent.makefile("rb")
            assert self._received(BOOT_SECONDS) == b"ready\n", self._told("it does not boot")
            self._closers = closers.pop_all()

    def run(self, command: str, *, stdin: str = "", check: bool = True) -> str:
        """Runs a command of the shell; returns its output. Raises AssertionError when it fails, if `check` is true."""
        answer = self._ask({"command": command, "stdin": stdin})
        assert not check or answer["status"] == 0, f"{command}: status {answer['status']}: {answer['output']}"
        output: str = answer["output"]
        return output

    def ip(self, *lines: str) -> None:
        """Runs these commands of `ip` in one process."""
        self.run("ip -batch -", stdin="\n".join(lines) + "\n")

    def links(self) -> dict[str, Any]:
        """Returns the links that `ip` shows, by name."""
        return {link["ifname"]: link for link in json.loads(self.run("ip -json -details addr"))}

    def shut_down(self) -> None:
        """Ends it in good order: what was written to `/state` is on the disk."""
        self._agent.sendall(b"null\n")
        assert self._process.wait(COMMAND_SECONDS) == 0, self._told("it does not end")
        self.close()

    def close(self) -> None:
        """Turns it off at once; does nothing when it has ended."""
        self._answers.close()
        self.monitor.close()
        self._closers.close()

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        self._agent.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._received(COMMAND_SECONDS))
        return answer

    def _received(self, seconds: float) -> bytes:
        self._agent.settimeout(seconds)
        try:
            line = self._answers.readline()
        except TimeoutError:
            line = b""
        assert line, self._told(f"it ended, or gave no answer for {seconds} s")
        return line

    def _told(self, what: str) -> str:
        told = [log.read_text(errors="backslashreplace")[-3000:] for log in self._logs if log.exists()]
        return "\n".join([f"the guest: {what}", *told])


def _pair(closers: ExitStack) -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    closers.enter_context(here)
    closers.enter_context(there)
    return here, there


def _disk(folder: Path) -> Path:
    """Returns the file of the disk `/state`, made if it is missing."""
    disk = folder / "state.img"
    if not disk.exists():
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run([tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", disk], check=True)
    return disk


def _command(host: Installation, machine: Machine, disk: Path, console: Path, agent: int, monitor: int) -> list[str]:
    # no_timer_check: on a busy machine an emulated timer is late, which the kernel takes for broken, and panics.
    options: dict[str, Sequence[str]] = {
        "accel": [host.accelerator],
        "cpu": ["max"],
        "m": ["1024"],
        "display": ["none"],
        "vga": ["none"],
        "nic": ["none"],
        "serial": [f"file:{console}"],
        "rtc": [f"base={machine.clock}"],
        "kernel": [str(host.kernel.image)],
        "initrd": [str(host.initramfs)],
        "append": [f"console=ttyS0 quiet panic=-1 no_timer_check net.ifnames=0 {machine.kernel_line}".strip()],
        "fsdev": [
            "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            f"local,id=share,path={host.share},security_model=none",
        ],
        "drive": [f"if=none,id=state,format=raw,file={disk}"],
        "chardev": [f"socket,id=agent,fd={agent}", f"socket,id=monitor,fd={monitor}"],
        "mon": ["chardev=monitor,mode=control"],
        # These have the last slots: a machine's own devices may have all others.
        "device": [
            "virtio-9p-pci,fsdev=host,mount_tag=host,addr=0x1f",
            "virtio-9p-pci,fsdev=share,mount_tag=share,addr=0x1e",
            "virtio-blk-pci,drive=state,addr=0x1d",
            "virtio-serial-pci,addr=0x1c",
            "virtserialport,chardev=agent",
            *machine.devices,
        ],
    }
    chosen = [word for name, values in options.items() for value in values for word in (f"-{name}", value)]
    return [tool("qemu-system-x86_64", "qemu-system-x86"), "-no-reboot", *chosen]
