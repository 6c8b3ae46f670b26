"""The example of the public API does what it says."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import publisher
from publisher.plugins import Plugins
from publisher.sources.luids import MemoryLuids
from publisher.testing import FakeSinkContext, ScriptedSource, make_events, make_row
from tests.typing import api

EXAMPLE = Path(api.__file__).read_text(encoding="utf-8")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[api.NotebookSink]:
    options = api.NotebookSink.Options(path=tmp_path / "notebook.txt")
    sink = api.NotebookSink(options, FakeSinkContext("notebook"))
    sink.open()
    yield sink
    sink.close()


def test_the_sink_writes_a_line_for_each_event(sink: api.NotebookSink) -> None:
    sink.publish(make_events(3))
    lines = sink.options.path.read_text(encoding="utf-8").splitlines()
    assert lines == ["parameter_notification eth0 row.metric"] * 3


def test_the_sink_rejects_the_event_that_does_not_fit(sink: api.NotebookSink) -> None:
    events = [
        *make_events(2),
        *make_events(1, 3, row=make_row("a-name-of-more-than-forty-characters-is-much-too-long")),
    ]
    with pytest.raises(publisher.Rejected) as rejected:
        sink.publish(events)
    assert rejected.value.index == 2


def test_a_second_sink_waits_for_the_first(sink: api.NotebookSink) -> None:
    second = api.NotebookSink(sink.options, FakeSinkContext("second"))
    with pytest.raises(publisher.Retry, match="another publisher writes here"):
        second.open()
    second.close()


def test_the_sink_does_its_job_on_its_own_thread(sink: api.NotebookSink) -> None:
    context = sink.context
    assert isinstance(context, FakeSinkContext)
    assert context.run_jobs() == 1
    assert sink.options.path.read_text(encoding="utf-8").startswith("---\nsnapshot\ninitial_notification lo\n")


def test_a_check_names_what_does_not_work(sink: api.NotebookSink) -> None:
    assert sink.check() == f"writes to {sink.options.path}"
    sink.options.path.mkdir()
    with pytest.raises(publisher.ConfigurationError, match="is a folder: name a file"):
        sink.check()


def test_its_hooks_are_those_of_a_plugin(sink: api.NotebookSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sink.options.path.parent)
    assert api.publisher_default_sinks(sink.context.log).sinks == {}
    sink.publish(make_events(1))
    sink.options.path.rename("notebook.txt")
    [table] = api.publisher_default_sinks(sink.context.log).sinks.values()
    sink_class = api.publisher_sinks()["notebook"]
    sink_class.Options.model_validate({key: value for key, value in table.items() if key != "type"})


def test_a_program_receives_what_a_plugins_client_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins(clients=api.publisher_clients())
    # Not installed, so nothing finds it.
    monkeypatch.setattr("publisher.plugins.load_plugins", lambda _enabled: plugins)
    notebook = tmp_path / "nas"
    with pytest.raises(publisher.PublisherError, match="is no notebook"):
        api.listen(f"notebook://{notebook}")
    notebook.write_bytes(b"online")
    assert api.listen(f"notebook://{notebook}", most=1) == [f"nas True False False {'0' * 16}-1"]


def test_a_page_shows_what_a_subscription_receives(tmp_path: Path) -> None:
    class Received:
        def __enter__(self) -> list[publisher.Event]:
            return make_events(2)

        def __exit__(self, *_: object) -> None: ...

    [write_page] = api.publisher_pages().values()
    write_page(publisher.WebRequest(str(tmp_path / "page")), cast("Any", Received()))
    assert len((tmp_path / "page").read_text().splitlines()) == 2


def test_a_program_follows_the_source() -> None:
    source = api.open_one(publisher.SourceContext(cast("Any", FakeSinkContext().log), MemoryLuids(), argument="wan0"))
    assert api.follow(source, most=4) == [
        "snapshot",
        "initial_notification wan0",
        "parameter_notification wan0 addresses.192.0.2.1/24 addresses.192.0.2.2/24",
        "delete_instance wan0",
    ]


def test_an_async_program_follows_the_source() -> None:
    context = publisher.SourceContext(cast("Any", FakeSinkContext().log), MemoryLuids(), idle_seconds=0.1)
    source = api.open_one(context)
    source.close()  # it ends after what it has
    assert asyncio.run(api.afollow(source))[-1] == "delete_instance one0"


def test_a_program_ends_when_the_source_fails() -> None:
    source = ScriptedSource([make_row()], publisher.PublisherError("unplugged"))
    assert api.follow(source)[-1] == "no more: unplugged"


def test_the_example_imports_public_modules_only() -> None:
    modules = set(re.findall(r"^from (publisher[\w.]*) import", EXAMPLE, re.MULTILINE))
    assert modules == {"publisher", "publisher.client", "publisher.events", "publisher.netioapi", "publisher.text"}


def test_the_example_uses_every_public_name() -> None:
    unused = [name for name in publisher.__all__ if not re.search(rf"\b{name}\b", EXAMPLE)]
    assert unused == ["Backoff", "__version__"]


@pytest.mark.skipif(sys.platform != "linux", reason="on Windows the stand-in has the interfaces")
def test_the_calls_answer() -> None:
    assert "lo" in api.read()
    assert api.register()[:1] in ([], ["initial_notification"])
    assert api.refused() == [2, 2, 50, 50, 87, 50]
