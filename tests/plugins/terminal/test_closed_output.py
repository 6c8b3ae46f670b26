"""Standard output without a reader: it does not stop the terminal sink in the next run."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from publisher.sources import Remove, Resync
from tests.fixtures.command import ETH0, FOREVER, TERMINAL_SINK, Publisher

if sys.platform == "win32":
    pytest.skip("sockets as standard output are POSIX's", allow_module_level=True)


def test_the_next_run_shows_events_again(publisher: Publisher) -> None:
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure(TERMINAL_SINK)
    reader, output = socket.socketpair()
    reader.close()
    # As sshd does without a terminal: standard output is a socket.
    with (
        output,
        subprocess.Popen(
            [sys.executable, "-m", "publisher", "run"],
            cwd=publisher.folder,
            env=publisher.environment,
            stdout=output.fileno(),
            stderr=subprocess.PIPE,
            text=True,
        ) as first,
    ):
        assert first.stderr
        assert any("nobody reads standard output any more" in line for line in first.stderr)
        first.terminate()
    second = publisher.start("run")
    assert second.stdout
    assert "has 1 IP interface" in second.stdout.readline()
