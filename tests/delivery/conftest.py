"""Fixtures of the tests of delivery: a recorder, and a pipeline over a journal of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from publisher.testing import Recorder
from tests.fixtures.pipeline import Pipeline


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def pipeline(tmp_path: Path, recorder: Recorder) -> Iterator[Pipeline]:
    with closing(Pipeline(tmp_path / "journal.db")) as pipeline:
        yield pipeline
        recorder.flow()
