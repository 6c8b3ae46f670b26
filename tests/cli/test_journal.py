"""The choice of the journal that the commands read."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from publisher.cli.journal import find_journal
from publisher.config.locations import Locations
from publisher.config.settings import load_settings
from publisher.journal.journal import Journal


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
