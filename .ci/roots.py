"""Sets up the committed checkout in clean Debian roots, as whoever has just cloned it, and times each step.

    make test-roots                      # as root, with debootstrap installed
    make test-roots ARGS="bare homeless" # some of the roots

    bare      Debian with make, git and python3: make says to install python3-venv, and then works
    whole     the same with python3-venv
    older     `python3` is too old and another one is not: --older and --newer name them, outside of /usr
    homeless  a user without a home, a name and HOME: the publisher asks for a place of its journal, and then works

`make test` runs all tests in the roots whole and homeless, and a short part of them in the others. What a root lacks
is a skip with its reason, which is printed; any failure is one. All that was printed in a root is in
.cache/roots/ROOT.log. The roots have this machine's certificates and its configuration of pip; --share names folders
that this refers to. The first root is kept in .cache/roots for the next time.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
TOP = Path(__file__).parents[1]
KEPT = TOP / ".cache/roots"
SUITE = "bookworm"
PACKAGES = "make,git,python3"
# Where ca-certificates, which python3-venv needs, does not write.
CERTIFICATES = Path("etc/host-certificates.crt")
# Of `make test`, where another root runs all of it.
SHORT = "tests/cli tests/config"
# Neither a name nor a home.
NOBODY = 54321
CLONE = "git clone --quiet /srv/checkout.bundle publisher"
# Until its page answers, then Ctrl+C.
RUN = """cd publisher; set -m
make run >../log 2>&1 & make=$!
page() { sed -n 's/^Open the page: *//p' ../log; }
read='import sys, urllib.request; assert b"<title>" in urllib.request.urlopen(sys.argv[1], timeout=60).read()'
until [ "$(page)" ] && .venv/bin/python -c "$read" "$(page)" 2>/dev/null; do
    kill -0 $make 2>/dev/null || { cat ../log; exit 1; }
    sleep 0.1
done
kill -INT -- -$make
wait $make || true
cat ../log"""
# The root becomes that of a mount namespace: in a chroot the kernel refuses user namespaces.
ENTER = """root=$1 words=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
for folder in /dev /sys; do mount --rbind "$folder" "$root$folder"; done
for folder in "$@"; do mkdir -p "$root$folder"; mount --bind -o ro "$folder" "$root$folder"; done
mkdir -p "$root/outside"
cd "$root"
pivot_root . outside
mount -t proc proc /proc
umount --lazy /outside
eval "exec $words"
"""


class RootError(Exception):
    """The reason why a root is not as it should be."""


class Root:
    """A clean Debian, and the commands in it, whose output goes to a file, too."""

    def __init__(self, path: Path, shared: Sequence[Path]) -> None:
        self.path = path
        self.log = KEPT / f"{path.name}.log"
        self.log.write_bytes(b"")
        self.shared = [*shared]
        self.user = 0
        self.environment: dict[str, str] = {}

    def run(self, command: str) -> str:
        """Runs a shell's command there, without this machine's environment; returns its output.

        Raises RootError when its exit status is not 0.
        """
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        kept |= {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PIP_CERT": f"/{CERTIFICATES}"}
        become = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        kept |= ({} if self.user else {"HOME": "/root"}) | self.environment
        # A background job ignores SIGINT, and so would the publisher.
        clean = ["env", "--ignore-environment", "--default-signal=INT"]
        words = [*become, *clean, f"--chdir={'/srv/work' if self.user else '/root'}"]
        words += [*(f"{name}={value}" for name, value in kept.items()), "bash", "-euc", command]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", ENTER, "bash"]
        before = self.log.stat().st_size
        with self.log.open("ab") as log:
            done = subprocess.run(
                [*enter, self.path, shlex.join(words), *self.shared],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
            )  # fmt: skip
        output = self.log.read_bytes()[before:].decode(errors="replace")
        if done.returncode:
            raise RootError(f"{command}\nended with {done.returncode}:\n{output[-3000:]}\nall of it: {self.log}")
        return output


class Roots:
    """Copies of one clean root, which debootstrap makes first."""

    def __init__(self, place: Path, shared: Sequence[Path]) -> None:
        self._place = place
        self._shared = shared
        self._clean = KEPT / SUITE
        if not (self._clean / "whole").exists():
            shutil.rmtree(self._clean, ignore_errors=True)
            KEPT.mkdir(parents=True, exist_ok=True)
            make = ("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, self._clean)
            timed(" ".join(make[:3]), lambda: check(*make))
            # As Debian's installer writes it, and debootstrap does not.
            (self._clean / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
            (self._clean / "whole").touch()

    def make(self, name: str, packages: str = "") -> Root:
        """Returns a new root, with these packages of Debian besides."""
        print(f"{name}:")
        path = self._place / name
        check("cp", "--archive", self._clean, path)
        check("git", "-C", TOP, "bundle", "create", "--quiet", path / "srv/checkout.bundle", "HEAD")
        for each in (Path("etc/resolv.conf"), Path("etc/pip.conf"), Path("etc/xdg/pip")):
            copy(Path("/") / each, path / each)
        copy(Path("/etc/ssl/certs/ca-certificates.crt"), path / CERTIFICATES)
        root = Root(path, self._shared)
        if packages:
            install(root, packages)
        return root


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy(source, target)


def whole(roots: Roots, options: argparse.Namespace) -> None:
    root = roots.make("whole", "python3-venv")
    _clone(root)
    _run(root)
    _run(root, "once more")
    _test(root, options.tests)


def bare(roots: Roots, options: argparse.Namespace) -> None:
    root = roots.make("bare")
    _clone(root)
    for target in ("run", "test"):
        _refused(root, target, "apt install python3-venv")
    if (root.path / "root/publisher/.venv").exists():
        raise RootError("make left a .venv that is not whole")
    install(root, "python3-venv")
    _run(root)
    _test(root, options.tests or SHORT)


def older(roots: Roots, options: argparse.Namespace) -> None:
    if not (options.older and options.newer):
        print("older: left out without --older and --newer")
        return
    root = roots.make("older", "libffi8 libbz2-1.0 libreadline8")
    names = {"python3": options.older, f"python{_version_of(options.newer)}": options.newer}
    for name, python in names.items():
        root.shared.append(python.parents[1])
        (root.path / "usr/local/bin" / name).symlink_to(python)
    _clone(root)
    _refused(root, "run PYTHON=python3", "Python 3.11 or newer is needed")
    _run(root)
    version = root.run("publisher/.venv/bin/python --version").strip()
    print(f"              | .venv has {version}")
    _test(root, options.tests or SHORT)


def homeless(roots: Roots, options: argparse.Namespace) -> None:
    root = roots.make("homeless", "python3-venv")
    (root.path / "srv/work").mkdir()
    shutil.chown(root.path / "srv/work", NOBODY, NOBODY)
    root.user = NOBODY
    variable = "PUBLISHER_JOURNAL__PATH"
    _clone(root)
    _refused(root, "run", variable)
    root.environment[variable] = "/srv/work/journal.sqlite3"
    _run(root)
    _run(root, "once more")
    _test(root, options.tests)


ROOTS: dict[str, Callable[[Roots, argparse.Namespace], None]] = {
    each.__name__: each for each in (bare, whole, older, homeless)
}


def _clone(root: Root) -> None:
    timed("git clone", lambda: root.run(CLONE))


def _run(root: Root, when: str = "") -> None:
    output = timed(f"make run {when}", lambda: root.run(RUN))
    for line in output.splitlines():
        print(f"              | {line}")


def _test(root: Root, tests: str) -> None:
    """Runs `make test`; prints its result, and how often which reason skipped a test."""
    title = f"make test ARGS={shlex.quote(tests)}" if tests else "make test"
    output = timed(title, lambda: root.run(f"cd publisher; {title}"))
    print(f"              | {output.splitlines()[-1].strip('= ')}")
    skipped: Counter[str] = Counter()
    for number, reason in re.findall(r"^SKIPPED \[(\d+)\] \S+: (.*)$", output, re.MULTILINE):
        skipped[reason] += int(number)
    for reason, number in skipped.most_common():
        print(f"              | {number:5} skipped: {reason}")
    if left := root.run("git -C publisher status --porcelain"):
        raise RootError(f"make left files that git does not ignore:\n{left}")


def _refused(root: Root, target: str, remedy: str) -> None:
    """Checks that make says in one line what to do."""
    command = f"make {target}"
    output = timed(f"{command} is refused", lambda: root.run(f"cd publisher; ! {command}"))
    said = [line for line in output.splitlines() if remedy in line]
    if len(said) != 1:
        raise RootError(f"{command} does not say {remedy!r} in one line:\n{output}")
    print(f"              | {said[0]}")


def _version_of(python: Path) -> str:
    version = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    return subprocess.run([python, "-c", version], capture_output=True, text=True, check=True).stdout.strip()


def install(root: Root, packages: str) -> None:
    quietly = "DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends"
    timed(f"apt-get install {packages}", lambda: root.run(f"apt-get update -qq && {quietly} {packages}"))


def check(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        ended = f"{shlex.join(map(str, words))} ended with {done.returncode}"
        raise RootError(f"{ended}:\n{(done.stdout + done.stderr)[-3000:]}")


def timed(title: str, step: Callable[[], T]) -> T:
    began = time.monotonic()
    result = step()
    print(f"{time.monotonic() - began:10.1f} s  {title}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Sets up this commit in clean Debian roots; times each step.")
    parser.add_argument("roots", nargs="*", metavar="ROOT", help=f"of {', '.join(ROOTS)}; all of them if none is named")
    parser.add_argument("--tests", default="", help="pytest's arguments of `make test` in each root")
    parser.add_argument("--older", type=Path, help="a Python before 3.11, outside of /usr")
    parser.add_argument("--newer", type=Path, help="a Python since 3.11, outside of /usr")
    parser.add_argument("--share", type=Path, action="append", default=[], help="a folder that pip's settings refer to")
    options = parser.parse_args()
    if sys.platform == "win32" or os.geteuid() or not shutil.which("debootstrap"):
        sys.exit("roots: run it as root, with debootstrap installed")
    failed = []
    with tempfile.TemporaryDirectory() as place:
        try:
            roots = Roots(Path(place), options.share)
        except RootError as error:
            sys.exit(f"roots: {error}")
        for name in options.roots or ROOTS:
            try:
                ROOTS[name](roots, options)
            except RootError as error:
                print(f"{name} failed: {error}", flush=True)
                failed.append(name)
    if failed:
        sys.exit(f"roots: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
