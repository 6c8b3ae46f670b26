"""Fixtures of the tests in a virtual machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.vm.guest import Guest, Installation, Machine
from tests.vm.initramfs import make_initramfs
from tests.vm.kernel import GuestKernel, fetch, tool

Boot = Callable[[Machine], Guest]
Install = Callable[[Path], Installation]
PROBE_SECONDS = 15
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the tests of this folder the time of several boots, of which a module's first test waits for some."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def kernel() -> GuestKernel:
    """The guest's kernel, and the programs without which no guest starts."""
    for name, package in (
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("mke2fs", "e2fsprogs"),
        ("modprobe", "kmod"),
        ("ip", "iproute2"),
        ("iw", "iw"),
    ):
        tool(name, package)
    return fetch()


@pytest.fixture(scope="session")
def accelerator(kernel: GuestKernel) -> str:
    """KVM where it boots this kernel, else QEMU's emulation: a /dev/kvm that is there may not work."""
    command = [tool("qemu-system-x86_64", "qemu-system-x86"), "-accel", "kvm", "-cpu", "max", "-no-reboot"]
    command += ["-kernel", str(kernel.image), "-append", "panic=-1", "-display", "none", "-nic", "none"]
    try:
        # Without a root it panics, which ends QEMU.
        status = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        return "tcg"
    return "tcg" if status else "kvm"


@pytest.fixture(scope="session")
def install(kernel: GuestKernel, accelerator: str, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Makes an installation in a folder."""
    initramfs = make_initramfs(kernel, tmp_path_factory.mktemp("initramfs"))
    return lambda folder: Installation(kernel, accelerator, initramfs, folder)


@pytest.fixture(scope="module")
def boot(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """Boots machines one after the other, with one disk for all tests of the module."""
    with _booting(install(tmp_path_factory.mktemp("vm"))) as start:
        yield start


@pytest.fixture
def boot_anew(install: Install, tmp_path: Path) -> Iterator[Boot]:
    """Boots machines one after the other, with a disk that is empty at first."""
    with _booting(install(tmp_path)) as start:
        yield start


@contextmanager
def _booting(installation: Installation) -> Iterator[Boot]:
    with ExitStack() as guests:

        def start(machine: Machine) -> Guest:
            guests.close()
            guest = Guest(installation, machine)
            guests.callback(guest.close)
            return guest

        yield start
