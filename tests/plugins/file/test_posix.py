"""The file sink on POSIX: pipes, files moved while open, limits, a full disk."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from publisher import Retry
from publisher.testing import SinkConformance, make_events
from publisher_file.sink import FileSink
from tests.faults import small_disk
from tests.fixtures.file_sink import opened, seqs
from tests.fixtures.poll import wait_for

if sys.platform == "win32":
    pytest.skip("Windows has none of this", allow_module_level=True)


class TestConformanceOfPipes(SinkConformance):
    """A named pipe, which cannot be truncated, synced or rotated, and whose reader may be slow or leave."""

    sink = FileSink

    @pytest.fixture(autouse=True)
    def destination(self, tmp_path: Path) -> Iterator[None]:
        self.path = tmp_path / "pipe"
        os.mkfifo(self.path)
        self._data = b""
        self._pause = threading.Event()
        self._lock = threading.Lock()
        self._begin_to_read()
        yield
        self._end_reading()

    # A pipe without a reader ends the sink: it has no failure that passes.
    test_a_failure_is_raised_and_the_same_sink_then_delivers: Any = None
    test_a_destination_that_is_away_at_start_is_reached_by_a_later_sink: Any = None

    def options(self) -> dict[str, Any]:
        return {"path": str(self.path)}

    def received(self) -> Sequence[str]:
        wait_for(self._drained, what="the pipe is read to its end")
        return [json.loads(line)["id"] for line in self._data.splitlines() if line]

    @contextlib.contextmanager
    def without_reader(self) -> Iterator[None]:
        self._end_reading()
        try:
            yield
        finally:
            self._begin_to_read()

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        self._pause.set()
        yield
        self._pause.clear()

    def _begin_to_read(self) -> None:
        self._pipe = os.open(self.path, os.O_RDWR)  # also for writing, so that the pipe has no end
        _narrow(self._pipe)
        self._over = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _end_reading(self) -> None:
        self._over = True
        os.write(self._pipe, b"\n")  # wakes the reader
        self._reader.join()
        os.close(self._pipe)

    def _drained(self) -> bool:
        with self._lock:
            return not select.select([self._pipe], [], [], 0)[0] and self._data[-1:] in (b"", b"\n")

    def _read(self) -> None:
        while not self._over:
            select.select([self._pipe], [], [])
            with self._lock:
                self._data += os.read(self._pipe, 4096)
            if self._pause.is_set():
                threading.Event().wait(0.01)  # the fault itself: a slow destination


class TestMovedFile:
    def test_a_file_moved_away_is_made_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path) as sink:
            sink.publish(make_events(2))
            path.rename(tmp_path / "old")
            sink.publish(make_events(2, first=3))
        assert seqs(tmp_path / "old") == [1, 2]
        assert seqs(path) == [3, 4]

    def test_a_file_deleted_is_made_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path) as sink:
            sink.publish(make_events(2))
            path.unlink()
            sink.publish(make_events(2, first=3))
        assert seqs(path) == [3, 4]

    def test_a_file_emptied_in_place_goes_on(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        with opened(path) as sink:
            sink.publish(make_events(2))
            os.truncate(path, 0)
            sink.publish(make_events(2, first=3))
        assert seqs(path) == [3, 4]


class TestLimits:
    def test_a_limit_in_the_middle_of_a_line_leaves_nothing_torn_and_nothing_twice(self, tmp_path: Path) -> None:
        import resource

        path, events = tmp_path / "events.jsonl", make_events(20)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with opened(path) as sink:
            sink.publish(events[:2])
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 3000, hard))
            try:
                with pytest.raises(Retry, match="limits the size of files") as failure:
                    sink.publish(events[2:])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert path.read_bytes().endswith(b"}\n")
            sink.publish(events[2 + failure.value.index :])
        assert seqs(path) == list(range(1, 21))

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has mount namespaces")
    def test_a_full_disk(self, tmp_path: Path) -> None:
        program = f"from {__name__} import fill_the_disk; fill_the_disk({str(tmp_path)!r})"
        command = [*small_disk(tmp_path, "400k"), sys.executable, "-c", program]
        done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def _narrow(pipe: int) -> None:
    """Limits the pipe to one page, so that a slow reader slows its writer down."""
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)


def fill_the_disk(folder: str) -> None:
    """Delivers to a full disk of 400 KiB, frees some space, and delivers the rest."""
    path, filler, events = Path(folder, "events.jsonl"), Path(folder, "filler"), make_events(200)
    with opened(path) as sink:
        sink.publish(events[:5])
        filler.write_bytes(bytes(300_000))
        rest = events[5:]
        with pytest.raises(Retry, match="free some space there") as failure:
            sink.publish(rest)
        assert path.read_bytes().endswith(b"}\n")
        filler.unlink()
        sink.publish(rest[failure.value.index :])
    assert seqs(path) == list(range(1, 201))
