"""A publisher at work in a network namespace of its own, for the figures that need the whole program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fixtures.netns import NetNs, become_capable


@contextmanager
def namespace() -> Iterator[NetNs]:
    """A network namespace with its loopback up."""
    become_capable()
    with closing(NetNs()) as netns:
        netns.ip("link set lo up")
        yield netns


@contextmanager
def publisher(netns: NetNs, sinks: str) -> Iterator[subprocess.Popen[bytes]]:
    """`publisher run` with these sinks, its standard output a pipe; ended by SIGTERM."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "publisher.toml"
        config.write_text(f'node = "bench"\n[journal]\npath = "{folder}/journal.sqlite3"\n{sinks}', encoding="utf-8")
        command = [sys.executable, "-m", "publisher", "run", "--config", str(config)]
        with (folder / "log").open("wb") as log:
            process = netns.popen(command, stdout=subprocess.PIPE, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)
            if process.stdout:
                process.stdout.close()


def journal_of(process: subprocess.Popen[bytes]) -> Path:
    """Where a publisher started here has its journal: beside its configuration, the last of its arguments."""
    arguments = process.args
    assert isinstance(arguments, list)
    return Path(str(arguments[-1])).parent / "journal.sqlite3"


STDOUT = '[sinks.out]\ntype = "file"\npath = "-"\n'
