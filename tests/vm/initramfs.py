"""The guest's first file system: busybox, and the modules with which it reaches the host's root."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.vm.kernel import CHECKOUT, GuestKernel, tool

INIT = Path(__file__).parent / "inside" / "init.sh"
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
FOLDERS = ("bin", "dev", "host", "modules", "new", "proc", "written")


def make_initramfs(kernel: GuestKernel, folder: Path) -> Path:
    """Makes it in this folder and returns its path."""
    content = folder / "initramfs"
    for name in FOLDERS:
        (content / name).mkdir(parents=True)
    shutil.copy(tool("busybox", "busybox-static"), content / "bin" / "busybox")
    shutil.copy(INIT, content / "init")
    (content / "init").chmod(0o755)
    values = {"CHECKOUT": CHECKOUT, "PYTHON": sys.executable, "RELEASE": kernel.release, "MODULES": kernel.modules}
    (content / "boot.conf").write_text("".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()))
    order = _in_order(kernel)
    (content / "modules.order").write_text("".join(f"{path.name}\n" for path in order))
    for path in order:
        shutil.copy(path, content / "modules")
    return _packed(content, folder / "initramfs.cpio")


def _in_order(kernel: GuestKernel) -> list[Path]:
    """Returns the files of the modules and of what they need, each after what it needs."""
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        # modules.dep names first what is to be loaded last.
        needs[Path(path).stem] = [*reversed(needed.split()), path]
    return [kernel.modules / path for path in dict.fromkeys(path for name in MODULES for path in needs[name])]


def _packed(content: Path, archive: Path) -> Path:
    names = "\0".join(str(path.relative_to(content)) for path in sorted(content.rglob("*")))
    command = [tool("cpio", "cpio"), "--create", "--null", "--format=newc", "--quiet"]
    with archive.open("wb") as output:
        subprocess.run(command, cwd=content, input=names.encode(), stdout=output, check=True)
    return archive
