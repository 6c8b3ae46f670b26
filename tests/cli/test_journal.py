"""The choice of the journal that the commands read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from publisher.cli.journal import find_journal, hidden_journals
from publisher.config.locations import Locations
from publisher.config.settings import load_settings
from publisher.errors import JournalError
from publisher.journal.journal import Journal
from tests.fixtures.command import Publisher


def test_the_journal_that_a_service_holds_comes_first_then_one_that_exists(tmp_path: Path) -> None:
    settings = load_settings(None, Locations("nas", (), (tmp_path / "own", tmp_path / "service")))
    own, services = settings.journals
    assert find_journal(settings) == own
    Journal.open(services, node="nas").close()
    assert find_journal(settings) == services
    Journal.open(own, node="nas").close()
    assert find_journal(settings) == own
    with closing(Journal.open(services, node="nas")):
        assert find_journal(settings) == services


def test_two_journals_that_are_held_are_named_and_neither_is_chosen(tmp_path: Path) -> None:
    settings = load_settings(None, Locations("nas", (), (tmp_path / "own", tmp_path / "service")))
    own, services = settings.journals
    with (
        closing(Journal.open(own, node="nas")),
        closing(Journal.open(services, node="nas")),
        pytest.raises(JournalError, match=f"{own} .*{os.getpid()}.* and {services} .*--config"),
    ):
        find_journal(settings)


@pytest.mark.skipif(sys.platform == "win32", reason="the system's journal is in /var/lib")
def test_a_command_finds_the_service_though_this_user_tried_one_before(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    """The user's own journal was left by a run by hand; the service has another configuration, with other sinks."""
    state = publisher.folder / "state"
    services = state / "interface-publisher" / "journal.sqlite3"
    service(PUBLISHER_JOURNAL__PATH=str(services))
    (publisher.folder / "publisher.toml").unlink()
    home = publisher.folder / ".local" / "state" / "interface-publisher" / "journal.sqlite3"
    Journal.open(home, node="nas").close()
    publisher.environment["STATE_DIRECTORY"] = str(services.parent)
    assert f"journal {services}: fine" in publisher("status").stdout
    assert publisher("replay", "log").stdout.endswith(f" (journal {services})\n")
    assert "there are: log" in publisher("replay", "terminal", status=2).stderr
    assert publisher("dead-letters").stderr == f"no dead letters in the journal {services}\n"


def test_a_journal_in_a_folder_that_is_denied_is_hidden_on_newer_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user of Windows and the journal of the service: from Python 3.14 on, exists() is False there."""
    own, denied = tmp_path / "journal.sqlite3", tmp_path / "service" / "journal.sqlite3"
    settings = load_settings(None, Locations("nas", (), (own.parent, denied.parent)))

    def stat(path: Path, **_: bool) -> os.stat_result:
        raise PermissionError(13, "Access is denied") if path == denied else FileNotFoundError(path)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert hidden_journals(settings) == [denied]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_journal_of_another_user_is_named(publisher: Publisher) -> None:
    other = publisher.folder / "other"
    Journal.open(other / "journal.sqlite3", node="nas").close()
    other.chmod(0)
    try:
        done = publisher("status", status=1, STATE_DIRECTORY=f"{publisher.folder}/own:{other}")
    finally:
        other.chmod(0o700)
    assert f"the journal {other / 'journal.sqlite3'} was passed over: it is another user's" in done.stderr
    assert str(other) not in done.stderr.splitlines()[-1]
