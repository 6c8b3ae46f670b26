"""Roots of other systems, made by debootstrap and kept in .cache/packages, and programs in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.requirements import need

TOP = Path(__file__).parents[2]
CACHE = TOP / ".cache" / "packages"
# A proxy with an authority of its own stands before the registries in some networks.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The mounts are this process's own; each exec keeps its number, so that a signal reaches the program.
ENTER = """
set -e
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
if [ -e "$ROOT/certificates.pem" ]; then mount --bind "$CERTIFICATES" "$ROOT/certificates.pem"; fi
for folder in $WRITABLE; do mount --bind "$ROOT$folder" "$ROOT$folder"; done
if [ -n "$WRITABLE" ]; then mount -o remount,bind,ro "$ROOT"; fi
exec chroot "--userspec=$USER_AND_GROUP" "$ROOT" /bin/sh -c 'cd "$0" && exec "$@"' "$FOLDER" "$@"
"""


@dataclass(frozen=True)
class Root:
    """A directory that is the root of a system."""

    folder: Path

    def command(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        user: str = "0:0",
        folder: str = "/",
        writable: Sequence[str] = (),
    ) -> list[str]:
        """Returns the command that runs a program in it; with `writable`, nothing but these folders can be written."""
        inside = {"PATH": SEARCHED, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        inside |= _registry() | dict(environment or {})
        outside = {"ROOT": str(self.folder), "USER_AND_GROUP": user, "FOLDER": folder, "WRITABLE": " ".join(writable)}
        given = [f"{name}={value}" for name, value in (inside | outside | {"CERTIFICATES": str(CERTIFICATES)}).items()]
        return ["unshare", "--mount", "--propagation=private", "env", "-i", *given, "sh", "-c", ENTER, "sh", *arguments]

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        user: str = "0:0",
        folder: str = "/",
        status: int | None = 0,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program in it, and checks its exit status unless that is None."""
        command = self.command(*arguments, environment=environment, user=user, folder=folder)
        done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        assert status in (None, done.returncode), f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def copy(self, folder: Path) -> Root:
        """Copies it into a folder that is not there yet."""
        subprocess.run(["cp", "--archive", "--reflink=auto", str(self.folder), str(folder)], check=True)
        return Root(folder)


def _registry() -> dict[str, str]:
    """Returns the variables by which pip reaches its registry from here."""
    names = ("PIP_INDEX_URL", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    found = {name: os.environ[name] for name in names if name in os.environ}
    return found | ({"PIP_CERT": "/certificates.pem"} if CERTIFICATES.exists() else {})


def debian(suite: str, *packages: str) -> Root:
    """Returns a root of a release of Debian with these packages, made once; not to be changed."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("only root can make the root of another system: run it as root")
    need("debootstrap", package="debootstrap")
    need("unshare", "chroot", package="util-linux and coreutils")
    folder = CACHE / "-".join([suite, *packages])
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        if packages:
            debian(suite).copy(folder)
            (folder / "whole").unlink()
            Root(folder).run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages)
        else:
            subprocess.run(["debootstrap", "--variant=minbase", suite, str(folder)], check=True, capture_output=True)
            shutil.copy("/etc/resolv.conf", folder / "etc" / "resolv.conf")
            (folder / "certificates.pem").touch()
        (folder / "whole").touch()
    return Root(folder)
