"""The file sink when it cannot write: its messages, and how it recovers."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest

from publisher import Retry
from publisher.testing import make_events
from publisher_file.appender import Access, Appender
from publisher_file.errors import FileSinkError
from tests.fixtures.file_sink import fail, opened, seqs


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("absent/events.jsonl", "create the directory"),
        ("folder", "name a file in it"),
        ("file/events.jsonl", "one of its directories is a file"),
    ],
)
def test_an_unusable_path_is_named_with_a_remedy(tmp_path: Path, path: str, remedy: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(FileSinkError) as failure, opened(tmp_path / path):
        pass
    assert str(tmp_path / path) in str(failure.value)
    assert remedy in str(failure.value)


def test_a_path_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")  # root is never refused

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(FileSinkError, match="the right to write there") as failure, opened(tmp_path / "events"):
            pass
    assert str(tmp_path / "events") in str(failure.value)


def test_what_cannot_be_cut_off_now_is_cut_off_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    appender = Appender.open(path, Access(0o640))
    with contextlib.closing(appender), monkeypatch.context() as patch:
        write = os.write
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]) and fail())
        patch.setattr(os, "ftruncate", lambda *_: fail())
        with pytest.raises(OSError, match="broken"):
            appender.append(b"first\n", sync=False)
        assert path.read_bytes() == b"fir"
        patch.undo()
        appender.append(b"first\n", sync=False)
    assert path.read_bytes() == b"first\n"


def test_a_failed_fsync_counts_as_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    with opened(path) as sink:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: fail())
            with pytest.raises(Retry):
                sink.publish(make_events(2))
        sink.publish(make_events(2))
    assert seqs(path) == [1, 2]
