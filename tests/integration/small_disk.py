"""What is done on a disk of its own, in a mount namespace of its own: run by test_faults_disk."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from publisher.errors import JournalDamagedError, JournalError
from publisher.events import Event
from publisher.journal import Journal
from publisher.sources import Upsert
from publisher.testing import Recorder
from publisher.testing.events import make_row
from tests.delivering import Pipeline
from tests.waiting import wait_for

_MS_RDONLY, _MS_REMOUNT = 1, 32


def mount(disk: Path, options: str, flags: int = 0) -> None:
    """Mount a tmpfs, or change the one that is there (mount(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"disk", os.fsencode(disk), b"tmpfs", flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {options}")


def fill_up(pipeline: Pipeline) -> tuple[list[Event], str]:
    """Append until the disk is full: the events that did not fit, and what the error said."""
    while True:
        events = pipeline.table.apply(Upsert(make_row(metric=pipeline.table.stamp.seq + 1000)))
        try:
            pipeline.journal.append(events)
        except JournalDamagedError:
            raise
        except JournalError as error:
            return events, str(error)
        pipeline.workers[0].wake()


def fill_rest(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(512)) == 512:
            pass


def full(disk: Path) -> None:
    """A full disk: the error says so, what was committed is delivered, and when there is space it goes on."""
    mount(disk, "size=600k")
    recorder = Recorder()
    with closing(Pipeline(disk / "journal.db")) as pipeline:
        worker = pipeline.deliver(recorder)
        recorder.wait_for_events(3)
        waiting, said = fill_up(pipeline)
        assert "journal.db" in said, said
        assert "full" in said, said
        seq = pipeline.journal.seq
        assert seq == waiting[0].seq - 1
        recorder.wait_for_seq(seq)
        for _ in range(300):
            more = pipeline.table.apply(Upsert(make_row(metric=pipeline.table.stamp.seq + 1000)))
            waiting += more
            refused(partial(pipeline.journal.append, waiting))
        assert (pipeline.journal.seq, recorder.seqs) == (seq, list(range(1, seq + 1)))
        assert pipeline.journal.snapshot()[0].seq == seq
        mount(disk, "size=8m", _MS_REMOUNT)
        pipeline.journal.append(waiting)
        worker.wake()
        recorder.wait_for_seq(waiting[-1].seq)
        wait_for(lambda: worker.status().behind == 0)
        pipeline.restart()
        assert (pipeline.journal.seq, pipeline.journal.set_aside) == (waiting[-1].seq, None)
        pipeline.deliver(recorder)
        pipeline.change(1)
        recorder.wait_for_seq(waiting[-1].seq + 1)
        assert recorder.seqs == list(range(1, waiting[-1].seq + 2)), "each event once"


def full_from_the_start(disk: Path) -> None:
    """No space for a journal: an error that says so, and no journal is thought damaged."""
    mount(disk, "size=600k")
    pipeline = Pipeline(disk / "journal.db")
    pipeline.deliver(Recorder())
    fill_up(pipeline)
    pipeline.workers[0].stop(5.0)
    fill_rest(disk)
    with suppress(JournalError):
        pipeline.journal.close()
    for _ in range(3):
        # SQLite may find room in its own file for the little that this takes; damage it never is.
        with suppress(JournalError):
            Journal.open(disk / "journal.db", node="nas").close()
    said = refused(lambda: Journal.open(disk / "another.db", node="nas"))
    assert "another.db" in said, said
    assert not [path.name for path in disk.iterdir() if "damaged" in path.name]
    mount(disk, "size=8m", _MS_REMOUNT)
    with closing(Journal.open(disk / "journal.db", node="nas")) as journal:
        assert (journal.new_epoch_reason, journal.seq > 10) == (None, True)


def read_only(disk: Path) -> None:
    """A read-only disk: an error that says so, and nothing is set aside."""
    mount(disk, "size=8m")
    Journal.open(disk / "journal.db", node="nas").close()
    mount(disk, "size=8m", _MS_REMOUNT | _MS_RDONLY)
    said = refused(lambda: Journal.open(disk / "journal.db", node="nas"))
    assert "journal.db" in said, said
    assert "Read-only" in said, said
    said = refused(lambda: Journal.open(disk / "new" / "journal.db", node="nas"))
    assert "Read-only" in said, said
    mount(disk, "size=8m", _MS_REMOUNT)
    with closing(Journal.open(disk / "journal.db", node="nas")) as journal:
        assert journal.new_epoch_reason is None


def refused(call: Callable[[], object]) -> str:
    """What the JournalError said that this call must raise."""
    try:
        call()
    except JournalDamagedError:
        raise
    except JournalError as error:
        return str(error)
    raise AssertionError("it should have failed")


if __name__ == "__main__":
    {"full": full, "full_from_the_start": full_from_the_start, "read_only": read_only}[sys.argv[1]](Path(sys.argv[2]))
