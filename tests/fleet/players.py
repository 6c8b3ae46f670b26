"""Nodes that are played from recordings, several services in one process that a test kills.

The process is `python -m tests.fleet.players FOLDER NODE...`, in the caller's network namespace. Each node has a folder
in FOLDER with its recording and its journal; `sink.json` in FOLDER is the table of its one sink. A node whose recording
has ended is stopped in order, as on a host that is shut down, until the process is started again. The process ends with
its standard input.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from publisher.config.settings import JournalSettings, Settings, sink_options
from publisher.plugins import SinkTypes, load_plugins
from publisher.service.service import Service

RECORDING, JOURNAL, SINK = "recording.jsonl", "journal.sqlite3", "sink.json"
log = logging.getLogger("publisher")


class Players:
    """A process that plays some nodes; it can be killed and started again."""

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        self.nodes = nodes
        self._folder = folder
        self._log = folder / f"{nodes[0]}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process and does not wait."""
        command = [sys.executable, "-m", __name__, str(self._folder), *self.nodes]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """Kills the process, if it runs; it must not have ended by itself."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            status = process.wait(30)
            assert process.stdin
            process.stdin.close()
            assert status == -9, f"the players ended with {status}: {self.log()[-3000:]}"

    def end(self) -> None:
        """Ends the process in order, as a host that is shut down."""
        process, self._process = self._process, None
        assert process is not None
        process.communicate(timeout=60)
        assert process.returncode == 0, self.log()[-3000:]

    def log(self) -> str:
        return self._log.read_text()


class Node:
    """A service that plays a recording."""

    def __init__(self, folder: Path, sink: Mapping[str, Any]) -> None:
        plugins = load_plugins({str(sink["type"])})
        settings = Settings(
            node=folder.name,
            source=f"recording:{folder / RECORDING}",
            journal=JournalSettings(path=folder / JOURNAL, max_events=1_000_000, max_bytes=1_000_000_000),
            sinks={"fleet": dict(sink)},
        )
        named = logging.LoggerAdapter(log, {"node": folder.name})
        plan_of = partial(sink_options, plugins=plugins)
        self._service = Service(settings, plan_of, plugins.sources, named, sinks=SinkTypes(plugins))
        self._thread = threading.Thread(target=self._run, name=folder.name)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._service.run()
        except BaseException:
            log.exception("the node %s failed", self._thread.name)
            raise

    def stop(self) -> None:
        """Begins to stop it."""
        self._service.stop()

    def join(self) -> None:
        """Waits for its end."""
        self._thread.join()


def main(folder: Path, nodes: Sequence[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(node)s: %(message)s", defaults={"node": "-"}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sink = json.loads((folder / SINK).read_text())
    playing = [Node(folder / node, sink) for node in nodes]
    sys.stdin.read()
    for node in playing:
        node.stop()
    for node in playing:
        node.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
