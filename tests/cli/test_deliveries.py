"""The commands that ask the service for deliveries. Each test runs the real commands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.testing import make_event
from tests.fixtures.command import FILE_SINK, Publisher, events_in
from tests.fixtures.poll import wait_for


def test_replay_asks_the_running_service(publisher: Publisher, service: Callable[..., subprocess.Popen[str]]) -> None:
    service()
    out = publisher.folder / "out.jsonl"
    assert publisher("replay", "log").stdout == "log: the snapshot is being sent again (journal journal.sqlite3)\n"
    wait_for(lambda: len(events_in(out)) == 6, what="the snapshot again")
    assert {event.notification_type for event in events_in(out)} == {"initial_notification"}


def test_replay_waits_for_the_next_start(publisher: Publisher, service: Callable[..., subprocess.Popen[str]]) -> None:
    publisher.configure(FILE_SINK)
    publisher("run")
    out = publisher.folder / "out.jsonl"
    assert len(events_in(out)) == 4
    assert "will be done at its next start" in publisher("replay", "log").stdout
    out.unlink()
    service()
    wait_for(lambda: len(events_in(out)) == 4, what="the event and the rows")
    kinds = [event.notification_type for event in events_in(out)]
    assert sorted(kinds) == ["delete_instance"] + ["initial_notification"] * 3, "wlan0 went, then the rows"


def test_replay_of_what_does_not_exist_is_an_error(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    assert "there is no journal" in publisher("replay", "log", status=1).stderr
    assert not publisher.journal.exists()
    publisher("run")
    assert publisher("replay", "lug", status=2).stderr == "publisher: there is no sink 'lug'; there are: log\n"
    assert "the newest event is 0" in publisher("replay", "log", "--since", "5", status=1).stderr


def refused(publisher: Publisher) -> Event:
    """A journal that holds one dead letter."""
    event = make_event(7)
    journal = Journal.open(publisher.journal, node="nas")
    journal.sink("log", "").add_dead_letter(event, "400 \x1b[2J\nno")
    journal.close()
    return event


def test_dead_letters_are_listed_shown_and_sent_again(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    event = refused(publisher)
    publisher.configure(FILE_SINK)
    [line] = publisher("dead-letters").stdout.splitlines()
    assert line.startswith("1  ")
    assert line.endswith(f"  log  seq 7  {event.text()}: 400 \\x1b[2J no")
    assert re.match(r"1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  log", line)  # local time, as in the history
    assert Event.from_json(publisher("dead-letters", "--show", "1").stdout.encode()) == event
    assert "there is no dead letter 2" in publisher("dead-letters", "--show", "2", status=1).stderr
    assert "at its next start" in publisher("dead-letters", "--retry").stdout
    service()
    wait_for(
        lambda: event.id in [sent.id for sent in events_in(publisher.folder / "out.jsonl")], what="the dead letter"
    )
    wait_for(lambda: publisher("dead-letters").stdout == "", what="an empty list")


def test_dead_letters_are_dropped_by_the_running_service(
    publisher: Publisher, service: Callable[..., subprocess.Popen[str]]
) -> None:
    refused(publisher)
    service()
    wait_for(lambda: "Dead letters" in publisher("status").stdout, what="the count of dead letters")
    done = publisher("dead-letters", "log", "--drop")
    assert done.stdout == "log: 1 dead letter dropped (journal journal.sqlite3)\n"
    wait_for(lambda: "Dead letters" not in publisher("status").stdout, what="the count without them")
    done = publisher("dead-letters", "log", "--drop")
    assert (done.stdout, done.stderr) == ("", "no dead letters of 'log' in the journal journal.sqlite3\n")


def test_dead_letters_are_dropped_without_a_service_and_of_a_sink_that_was_removed(publisher: Publisher) -> None:
    journal = Journal.open(publisher.journal, node="nas")
    for sink, seq in (("log", 1), ("old", 2), ("old", 3), ("old", 4)):
        journal.sink(sink, "").add_dead_letter(make_event(seq), "no")
    journal.close()
    publisher.configure(FILE_SINK)
    assert "--drop needs the name of a SINK" in publisher("dead-letters", "--drop", status=2).stderr
    assert "exclude each other" in publisher("dead-letters", "--drop", "--retry", "log", status=2).stderr
    assert "no dead letter 9 of 'old'" in publisher("dead-letters", "old", "--drop", "--id", "9", status=1).stderr
    assert publisher("dead-letters").stderr == "4 dead letters in the journal journal.sqlite3\n"
    done = publisher("dead-letters", "--drop", "--id", "2")
    assert done.stdout == "old: 1 dead letter dropped (journal journal.sqlite3)\n"
    assert publisher("dead-letters", "--drop", "old").stdout.startswith("old: 2 dead letters dropped")
    [line] = publisher("dead-letters").stdout.splitlines()
    assert line.startswith("1 ")
