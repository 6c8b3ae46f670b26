"""A network namespace of a test's own: as root, or in a user namespace as anybody else.

A `NetNs` is one thread that lives in the namespace. What it starts lives there too:

    netns.run("ip link add v0 type veth peer name v1")      a command, finished; its output
    netns.popen([sys.executable, "-m", "publisher", "run"])  a process that goes on
    netns.call(socket.socket, AF_NETLINK, SOCK_RAW, 0)       a function, called inside
    netns.thread(target)                                     a thread of its own inside
    netns.path                                               for os.open and setns elsewhere

Everything is gone when the last process, thread and descriptor in the namespace is. The loopback is down at first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWNET = 0x4000_0000
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x2008_0522
_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN = 12, 13, 21


class NetNs:
    """A fresh network namespace; raises OSError when this process may not make one. Close it when done."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="netns")
        try:
            self.fd = self.call(_unshare_network)
        except OSError:
            self._executor.shutdown()
            raise

    @property
    def path(self) -> str:
        """The namespace for another process of this test run, as long as this one is open."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, called inside the namespace, one call at a time."""
        return self._executor.submit(function, *args, **kwargs).result()

    def run(self, command: str | Sequence[str], *, check: bool = True, **options: Any) -> str:
        """A command's standard output; raises AssertionError with what it said when `check` and it failed."""
        words = shlex.split(command) if isinstance(command, str) else list(command)
        done = self.call(lambda: subprocess.run(words, capture_output=True, text=True, **options))
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return str(done.stdout)

    def ip(self, *lines: str, force: bool = False) -> None:
        """Many `ip` commands in one process: `netns.ip("link add ...", "link set ...")`; `force`: past errors."""
        self.run(["ip", *(["-force"] if force else []), "-batch", "-"], input="\n".join(lines) + "\n", check=not force)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A process inside the namespace; ending it is up to the caller."""
        return self.call(lambda: subprocess.Popen(list(command), **options))

    def thread(self, target: Callable[[], object], name: str = "inside netns") -> threading.Thread:
        """A started thread inside the namespace."""
        thread = threading.Thread(target=self._inside, args=(target,), name=name)
        thread.start()
        return thread

    def sysctl(self, name: str, value: object | None = None) -> str:
        """Read, or write and read, one file under /proc/sys: `netns.sysctl("net/ipv4/conf/v0/forwarding", 1)`."""
        return self.call(_sysctl, Path("/proc/sys") / name, value)

    def veth(self, name: str = "v0", peer: str = "v1", *, up: bool = True) -> None:
        """A pair of Ethernet interfaces joined by a cable."""
        state = ["up"] if up else []
        self.ip(
            f"link add {name} type veth peer name {peer}",
            *(f"link set {end} {s}" for end in (name, peer) for s in state),
        )

    def close(self) -> None:
        """Leave the namespace; the kernel clears it away with its last user."""
        self._executor.shutdown()
        with contextlib.suppress(OSError):
            os.close(self.fd)

    def _inside(self, target: Callable[[], object]) -> None:
        enter(self.fd)
        target()


def enter(fd: int) -> None:
    """Move the calling thread, and only it, into the network namespace of this descriptor."""
    _check(_libc().setns(fd, _CLONE_NEWNET))


def become_capable() -> None:
    """Give an ordinary user's process, while it has one thread, a user namespace in which it may make networks.

    The user stays who they are; children keep the network capabilities (as ambient ones). Harmless when root;
    raises OSError where user namespaces are forbidden.
    """
    if sys.platform == "win32":
        raise OSError("Windows has no user namespaces")
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        return
    _check(_libc().unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _keep_over_exec((_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN))


def _keep_over_exec(capabilities: Iterable[int]) -> None:
    """Make capabilities inheritable and ambient: else a program that is not root loses them when it is started."""
    wanted = sum(1 << capability for capability in capabilities)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    data = ctypes.create_string_buffer(24)
    _check(_libc().capget(header, data))
    sets = list(struct.unpack("=6I", data.raw[:24]))
    sets[2] |= wanted
    _check(_libc().capset(header, struct.pack("=6I", *sets)))
    for capability in capabilities:
        _check(_libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _unshare_network() -> int:
    if sys.platform == "win32":
        raise OSError("Windows has no network namespaces")
    _check(_libc().unshare(_CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _sysctl(path: Path, value: object | None) -> str:
    if value is not None:
        path.write_text(f"{value}\n")
    return path.read_text().strip()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
