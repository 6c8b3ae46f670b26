"""A plugin whose sinks hang and leak while there is a file of that name in the working directory."""

from __future__ import annotations

from pathlib import Path

CODE = '''
import os, threading
from publisher import Sink, hookimpl


class Base(Sink):
    def open(self):
        self.held = []

    def publish(self, events):
        self.harm()

    def close(self):
        self.release()

    def release(self):
        for descriptor in self.held:
            if isinstance(descriptor, int):
                os.close(descriptor)
        self.held = []


class Hangs(Base):
    def harm(self):
        while os.path.exists("hangs"):
            threading.Event().wait(0.1)


class Leaks(Base):
    """Leaks memory, and descriptors until there are no more."""

    def harm(self):
        if not os.path.exists("leaks"):
            self.release()
            return
        for _ in range(50):
            if len(self.held) < 2000:
                try:
                    self.held.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
                self.held.append(bytearray(4096))


@hookimpl
def publisher_sinks():
    return {"hangs": Hangs, "leaks": Leaks}
'''


def install(site: Path) -> None:
    """Installs the plugin into a folder for PYTHONPATH, as pip would leave it."""
    info = site / "soaking-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "soaking.py").write_text(CODE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soaking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[publisher]\nsoaking = soaking\n")
