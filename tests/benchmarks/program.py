"""The whole program in a network namespace of its own, for the figures that need it."""

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
    """Yields a network namespace whose loopback is up."""
    become_capable()
    with closing(NetNs()) as netns:
        netns.ip("link set lo up")
        yield netns


@contextmanager
def publisher(netns: NetNs, sinks: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `publisher run` with these sinks and its standard output in a pipe; ends it with SIGTERM."""
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
    """Returns the path of the journal, which is beside the configuration, the last argument of the command."""
    arguments = process.args
    assert isinstance(arguments, list)
    return Path(str(arguments[-1])).parent / "journal.sqlite3"


STDOUT = '[sinks.out]\ntype = "file"\npath = "-"\n'
