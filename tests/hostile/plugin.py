"""A plugin whose sinks misbehave in every way that Python can contain, while a file `hostile` is there."""

from __future__ import annotations

from pathlib import Path

CODE = '''
import asyncio, itertools, os, threading
from publisher import Ended, Rejected, Retry, Sink, SinkOptions, hookimpl


class Base(Sink):
    def open(self):
        self.count = 0
        if self.hostile and self.fails_to_open():
            raise MemoryError("no")

    @property
    def hostile(self):
        return os.path.exists("hostile")

    def fails_to_open(self):
        return False

    def publish(self, events):
        self.count += 1
        if self.hostile:
            return self.harm(events)


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")


class Raises(Base):
    """Raises everything."""

    def fails_to_open(self):
        return int.from_bytes(os.urandom(1), "big") % 2

    def harm(self, events):
        raise (
            RuntimeError("x" * 100_000), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError(),
            BaseException("base"), Mute(), MemoryError(), RecursionError(), Retry("now", after=0.0),
            Retry("before", after=-1e9), Retry("never", after=float("inf")), Retry("nan", after=float("nan")),
            Retry("index", index=10**9), Retry("index", index=-1),
            Rejected("no", index=10**9), Rejected("no", index=-5),
            StopIteration(), OSError(28, "full"), UnicodeDecodeError("utf-8", b"x", 0, 1, "no"),
        )[self.count % 20]

    def close(self):
        raise SystemExit("close")


class Hangs(Base):
    """Hangs, as long as the file is there."""

    def harm(self, events):
        while self.hostile:
            threading.Event().wait(0.1)


class Consumes(Base):
    """Empties and changes what it is given, and returns what nobody asked for."""

    def harm(self, events):
        for spoil in (lambda: events.clear(), lambda: events.pop(0), lambda: events.sort(), lambda: events.append(1)):
            try:
                spoil()
            except Exception:
                pass
        for event in list(events):
            for spoil in (lambda: event.changed.clear(), lambda: setattr(event, "seq", 0)):
                try:
                    spoil()
                except Exception:
                    pass
        return False


class Asks(Base):
    """Asks for the snapshot and for jobs, all the time."""

    def harm(self, events):
        for _ in range(50):
            self.context.request_snapshot()
            self.context.call(self.fail)
        self.context.log.warning("%d %s", "not a number")

    def fail(self):
        raise SystemExit("a job")


@hookimpl
def publisher_sinks():
    return {"raises": Raises, "hangs": Hangs, "consumes": Consumes, "asks": Asks}
'''


def install(site: Path) -> None:
    """Installs the plugin into a folder for PYTHONPATH, as pip would leave it."""
    info = site / "harm-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "harm.py").write_text(CODE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: harm\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[publisher]\nharm = harm\n")
