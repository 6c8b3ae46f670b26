"""A file system without shared memory maps: the journal has no log there, and everything else."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from publisher.journal.journal import Journal
from publisher.journal.requests import JournalClient, Request
from tests.fixtures.journal import begun, changes, crash
from tests.fixtures.requirements import need

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the maps are refused by a preloaded library")

SCRIPT = """
import logging, sys
from pathlib import Path
from tests.journal.test_share import use
logging.basicConfig()
use(Path(sys.argv[1]))
"""


def use(path: Path) -> None:
    """Writes and reads as a service and a command line do, over three starts, one after a kill."""
    for start in range(3):
        journal = Journal.open(path, node="nas")
        assert journal.seq == 10 * start, journal.new_epoch_reason
        table = begun(journal)
        with closing(JournalClient.open(path)) as client:
            for event in changes(table, 10):
                journal.append([event])
                assert client.seq == journal.seq
            number = client.post(Request(kind="replay", sink="home"))
            [(waiting, _)] = journal.requests.waiting()
            journal.requests.answer(waiting, "done")
            assert client.done(number) == "done"
        assert len(journal.events.read(0, 999)) == journal.seq
        journal.commit()
        (crash if start else Journal.close)(journal)
    with closing(JournalClient.open(path)) as client:
        assert client.seq == 30


def test_a_journal_on_such_a_file_system_works_and_says_so(tmp_path: Path) -> None:
    need("gcc", package="gcc")
    library = tmp_path / "no_shared_memory.so"
    source = Path(__file__).with_name("no_shared_memory.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    path = tmp_path / "share" / "journal.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path], env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no memory that processes share" in done.stderr
    with closing(Journal.open(path, node="nas")) as journal:
        assert (journal.seq, journal.new_epoch_reason) == (30, None), "it moves to another file system in place"
        assert path.with_name("journal.db-wal").exists()
