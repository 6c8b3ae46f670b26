"""Debian's kernel for the guest, fetched once into `.cache/vm` of the checkout; nothing is installed."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.fixtures.requirements import unable

CHECKOUT = Path(__file__).parents[2]
CACHE = CHECKOUT / ".cache" / "vm"
PACKAGE = "linux-image-amd64"


class GuestKernel(NamedTuple):
    """An unpacked kernel: its release, its image and the folder of its modules."""

    release: str
    image: Path
    modules: Path


def tool(name: str, package: str) -> str:
    """Returns the path of a program, also of one that Debian does not put into a user's PATH; skips the test."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return found or unable(f"{name} not found: install {package}")


def fetch() -> GuestKernel:
    """Returns the kernel of the cache, downloaded if there is none; skips the test where that is not possible."""
    if platform.machine() != "x86_64":
        unable(f"the guest is an x86_64 machine, this one is {platform.machine()}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with _only_one():
        whole = [done.parent for done in CACHE.glob("*/complete")]
        return _unpacked(max(whole) if whole else _download())


def _download() -> Path:
    """Downloads the newest kernel with apt and unpacks it; returns the folder."""
    tool("apt-get", f"apt: the guest's kernel is Debian's {PACKAGE}")
    depmod = tool("depmod", "kmod")
    package = _newest()
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        # Root's apt would drop to a user of its own, who may not write here.
        command = ["apt-get", "download", "--quiet", "--option", "APT::Sandbox::User=root", package]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            unable(f"apt-get download {package} failed: run apt-get update and try again\n{done.stderr}")
        [archive] = Path(scratch).glob("*.deb")
        folder = Path(scratch, package)
        subprocess.run(["dpkg", "--extract", archive, folder], check=True)
        subprocess.run([depmod, "--basedir", folder, _unpacked(folder).release], check=True)
        (folder / "complete").touch()
        return folder.rename(CACHE / package)


def _newest() -> str:
    """Returns the package that the package without a version depends on."""
    done = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False)
    found = [line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("Depends: linux-image-")]
    return found[0] if found else unable(f"apt knows no package {PACKAGE}: run apt-get update, on Debian")


def _unpacked(folder: Path) -> GuestKernel:
    [modules] = (folder / "lib/modules").iterdir()
    return GuestKernel(modules.name, folder / "boot" / f"vmlinuz-{modules.name}", modules)


@contextmanager
def _only_one() -> Iterator[None]:
    """Keeps other test processes of this checkout out."""
    with (CACHE / "lock").open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
