"""The summary of a service's status, and which states are trouble."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.service.status import ServiceReport


def report(trouble: str | None = None, **sinks: dict[str, Any]) -> ServiceReport:
    return ServiceReport.model_validate(
        {"version": "1", "pid": 1, "started": 0.0, "trouble": trouble, "sinks": sinks, "of_a_newer_service": 1}
    )


FINE = {"state": "following", "dead_letters": 3}
FAILING = {"state": "retrying", "error": "ConnectionError: refused", "behind": 2}


@pytest.mark.parametrize(
    ("given", "summary", "in_trouble"),
    [
        (report(), "0 sinks, all delivered", False),
        (report(home=FINE), "1 sink, all delivered", False),
        (report(home=FINE, hook={"state": "sending"}), "2 sinks, delivering", False),
        (report(home=FINE, hook={"state": "following", "behind": 4}), "2 sinks, delivering", False),
        (report(home=FINE, hook=FAILING), "2 sinks: 1 delivers; hook waits: ConnectionError: refused", True),
        (
            report(a=FAILING, b=FINE, c={"state": "ended", "error": "410 Gone"}, d=FINE),
            "4 sinks: 2 deliver; a waits: ConnectionError: refused; c ended: 410 Gone",
            True,
        ),
        (report(hook={"state": "ended"}), "1 sink: 0 deliver; hook ended: no reason given", True),
        (report(hook={"state": "newer", "error": "x"}), "1 sink: 0 deliver; hook newer: x", True),
        (report("No space left", home=FAILING), "the journal takes no events: No space left", True),
    ],
)
def test_the_summary_begins_with_trouble(given: ServiceReport, summary: str, in_trouble: bool) -> None:
    assert given.summary() == summary
    assert given.in_trouble is in_trouble
