"""The end of the command beside a sink that does not stop, in the middle of an extension's code."""

from __future__ import annotations

import signal
import sys

import pytest

from publisher.sources import Remove, Resync
from tests.fixtures.command import ETH0, FOREVER, Publisher
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("Windows has no SIGTERM", allow_module_level=True)

PLUGIN = """
from pathlib import Path

from publisher import Sink, hookimpl
from publisher.events import Event


class Busy(Sink):
    def open(self): ...

    def publish(self, events):
        Path("published").touch()
        while True:
            Event.from_json(events[-1].json_bytes)

    def close(self): ...


@hookimpl
def publisher_sinks():
    return {"busy": Busy}
"""


def test_a_sink_that_is_abandoned_inside_an_extension_changes_no_exit_status(publisher: Publisher) -> None:
    info = publisher.folder / "site" / "busy-1.0.dist-info"
    info.mkdir(parents=True)
    (publisher.folder / "site" / "busy.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: busy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[publisher]\nbusy = busy\n")
    publisher.updates(Resync((ETH0,), "startup"), Remove(ETH0.luid, "inet"), last_at=FOREVER)
    publisher.configure('[sinks.one]\ntype = "busy"\n[sinks.two]\ntype = "busy"')
    process = publisher.start("run", PYTHONPATH=str(publisher.folder / "site"))
    wait_for((publisher.folder / "published").exists, what="an event at the sink")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "did not stop in time and is abandoned" in said
