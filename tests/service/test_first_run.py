"""The lines of a run without a configuration."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from publisher.plugins import DefaultSinks, Plugins
from publisher.service.first_run import FirstRun

if TYPE_CHECKING:
    import pytest

PAGE = "Open the page:  http://127.0.0.1:8780/"


class OneSink:
    """The plugins of a run, one of which has a page."""

    def default_sinks(self, _: logging.Logger) -> list[DefaultSinks]:
        return [DefaultSinks({"web": {"type": "web"}}, ("a line",), lines_when_open={"web": (PAGE,)})]


def test_the_line_about_a_sink_comes_once_it_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a busy machine `Open the page:` was printed up to 8 s before the page could be opened."""
    first_run = FirstRun()
    with ExitStack() as around:
        first_run.prepare(cast("Plugins", OneSink()), tmp_path / "journal", logging.getLogger("publisher"), around)
    assert first_run.sinks == {"web": {"type": "web"}}
    assert capsys.readouterr().out == "a line\n"
    seen: list[str] = []
    for state in ("waiting", "opening", "retrying", "following", "sending"):
        sinks = {"t": {"state": "following"}, "web": {"state": state}}
        first_run.turned(partial(dict, sinks=sinks))
        seen += capsys.readouterr().out.splitlines()
        assert seen == ([PAGE] if state in ("following", "sending") else [])

    def unasked() -> dict[str, Any]:
        raise AssertionError("the status is looked at only while a line waits")

    first_run.turned(unasked)
