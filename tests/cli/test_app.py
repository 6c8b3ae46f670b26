"""Usage, and the commands that describe, check and prepare. Each test runs the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from publisher.config.exposure import exposed_secret
from publisher.config.locations import Locations
from publisher.config.settings import load_settings, sink_options
from publisher.plugins import load_plugins
from publisher.sources import Resync
from publisher.testing import make_event, make_row
from tests.fixtures.command import FILE_SINK, TERMINAL_SINK, Publisher, posix_only


def test_help_and_version(publisher: Publisher) -> None:
    assert publisher("--version").stdout == "publisher 0.1.0\n"
    shown = publisher("--help").stdout
    for command in (
        "run",
        "status",
        "watch",
        "snapshot",
        "check",
        "replay",
        "dead-letters",
        "plugins",
        "schema",
        "record",
        "init",
    ):
        assert f"\n  {command} " in shown
    assert "..." not in shown.partition("Commands:")[2], "a summary is too long"


@pytest.mark.parametrize("arguments", [["rum"], ["replay"]])
def test_wrong_usage_is_status_2(publisher: Publisher, arguments: list[str]) -> None:
    output = publisher(*arguments, status=2).stderr
    assert "Usage: publisher" in output
    if arguments == ["rum"]:
        assert "Did you mean 'run'" in output


def test_a_wrong_family_is_told_in_our_words(publisher: Publisher) -> None:
    error = publisher("snapshot", "--family", "ipv4", status=2).stderr
    assert "'--family': 'ipv4' is neither 'inet' nor 'inet6'; did you mean 'inet'?" in error


def test_a_wrong_configuration_is_status_2_and_one_line(publisher: Publisher) -> None:
    publisher.configure("nod = 1")
    assert publisher("run", status=2).stderr == (
        f"publisher: {publisher.folder / 'publisher.toml'}:2: nod: unknown setting; did you mean 'node'?\n"
    )
    assert not publisher.journal.exists()


def test_an_unknown_sink_type_is_status_2_with_the_nearest_one(publisher: Publisher) -> None:
    publisher.configure('[sinks.x]\ntype = "fil"')
    output = publisher("check", status=2).stderr
    assert "sink 'x'" in output
    assert "did you mean 'file'?" in output
    assert not publisher.journal.exists()


def test_no_secret_is_in_any_output(publisher: Publisher) -> None:
    publisher.configure(
        '[sinks.hook]\ntype = "webhook"\nurl = "http://me:hunter2@127.0.0.1:1/x?token=hunter2"\npasword = "hunter2"'
    )
    done = publisher("run", status=2)
    assert "hunter2" not in done.stdout + done.stderr
    assert "pasword" in done.stderr


def test_the_source_can_be_named(publisher: Publisher) -> None:
    publisher.configure("")
    output = publisher("run", "--source", "x11", status=1).stderr
    assert "unknown source 'x11'" in output
    output = publisher("snapshot", "--source", "recording:none", status=1).stderr
    assert output == "publisher: none: cannot read the recording: No such file or directory\n"


@posix_only
def test_a_reader_that_leaves_is_no_error(publisher: Publisher) -> None:
    publisher.updates(Resync(tuple(make_row(f"eth{index}", index=index) for index in range(1, 1500)), "startup"))
    publisher.configure(TERMINAL_SINK)
    for command in ("snapshot", "watch", "run"):
        line = f"{sys.executable} -m publisher {command} | head -n 1"
        done = subprocess.run(
            line, shell=True, cwd=publisher.folder, env=publisher.environment, timeout=90,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) == 1, command
        if command != "run":  # which logs that it starts
            assert done.stderr == "", command
        assert "Error" not in done.stderr, command


def test_check_prints_whether_each_sink_works(publisher: Publisher) -> None:
    publisher.configure(FILE_SINK)
    lines = publisher("check").stdout.splitlines()
    assert lines[0] == f"configuration {publisher.folder / 'publisher.toml'}: fine"
    assert lines[1].startswith("sink 'log': ")
    publisher.configure(f'{FILE_SINK}\n[sinks.bad]\ntype = "file"\npath = "{publisher.folder.as_posix()}"')
    lines = publisher("check", status=1).stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["sink 'log'", "sink 'bad'"]
    assert "failed: " in lines[2]
    assert "failed: " not in lines[1]
    assert not publisher.journal.exists()


def test_init_writes_a_configuration_that_works(publisher: Publisher) -> None:
    path = publisher.folder / "publisher.toml"
    assert "written" in publisher("init").stdout
    assert "sink 'terminal': " in publisher("check").stdout
    assert "no sink is configured" not in publisher("check").stdout
    assert "exists already" in publisher("init", status=1).stderr
    text = path.read_text()
    path.write_text("".join(uncommented(line) for line in text.splitlines(keepends=True)))
    settings = load_settings(path, Locations("nas", (), (publisher.folder,)))
    assert set(sink_options(settings, load_plugins())) == {"terminal", "home", "hook", "script", "phone", "log", "page"}
    error = publisher("init", "no/such/x.toml", status=1).stderr
    assert "cannot be written" in error
    assert error.endswith("; make its folder first\n")


def uncommented(line: str) -> str:
    """The line with its comment sign taken off, if that makes it TOML."""
    bare = line.removeprefix("# ")
    return bare if bare != line and (bare.startswith("[") or " = " in bare) else line


def test_plugins_lists_what_is_built_in(publisher: Publisher) -> None:
    lines = publisher("plugins").stdout.splitlines()
    sinks = {line.split()[1] for line in lines if line.startswith("sink ")}
    assert {"command", "file", "mqtt", "notify", "terminal", "web", "webhook"} <= sinks
    assert {line.index("interface-publisher 0.1.0") for line in lines} == {21}, "the columns are below each other"


def test_the_events_schema_fits_its_events(publisher: Publisher) -> None:
    schema = json.loads(publisher("schema", "event").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    event = json.loads(make_event().json_bytes)
    assert set(event) == set(schema["properties"]) - {"settled"} == set(schema["required"])


def test_the_configurations_schema_has_every_sinks_options(publisher: Publisher) -> None:
    schema = json.loads(publisher("schema", "config").stdout)
    assert {"node", "filter", "journal", "sinks"} <= set(schema["properties"])
    assert "default" not in schema["properties"]["node"]
    sinks = {
        sink["properties"]["type"]["const"]: sink
        for sink in schema["properties"]["sinks"]["additionalProperties"]["anyOf"]
    }
    assert {"command", "file", "mqtt", "notify", "terminal", "web", "webhook"} <= set(sinks)
    assert sinks["file"]["required"] == ["type", "path"]
    assert_references_resolve(schema)


def test_asyncapi_describes_the_topics(publisher: Publisher) -> None:
    document = json.loads(publisher("schema", "asyncapi").stdout)
    assert document["asyncapi"] == "3.0.0"
    addresses = {channel["address"].removeprefix("{base}/{node}/") for channel in document["channels"].values()}
    assert addresses == {
        "status", "info", "{luid}/{family}/state", "{luid}/{family}/event", "replay/get", "replay/{client}",
        "owner", "kept", "fence", "check", "{prefix}/device/{node_id}/{luid}/config", "{prefix}/status",
    }  # fmt: skip
    for channel in document["channels"].values():
        assert set(channel["parameters"]) == {part[1:-1] for part in channel["address"].split("/") if part[0] == "{"}
    state = document["components"]["schemas"]["State"]
    assert set(state["required"]) == {"epoch", "seq", "time", "row", "interface", "addresses", "default_routes"}
    assert document["operations"]["sendEvent"]["bindings"]["mqtt"]["retain"] is False
    assert_references_resolve(document)


def assert_references_resolve(document: dict[str, Any]) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found = document
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)

    check(document)


def test_check_names_the_file_that_is_used_or_those_that_are_looked_for(publisher: Publisher) -> None:
    [first, *_, last] = publisher("check").stdout.splitlines()
    assert last.startswith("no sink is configured: publisher run also shows a page, and uses a broker, on 127.0.0.1")
    assert first.startswith("configuration: none, so the defaults; there is no ")
    assert str(publisher.folder / "publisher.toml") in first
    publisher.configure(FILE_SINK)
    [first, *_] = publisher("check").stdout.splitlines()
    assert first == f"configuration {publisher.folder / 'publisher.toml'}: fine"


def test_check_offline_reaches_nothing(publisher: Publisher) -> None:
    publisher.configure('[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"')
    assert publisher("check", status=1).stdout.count("\n") == 2
    assert publisher("check", "--offline").stdout.count("\n") == 1
    publisher.configure('[sinks.hook]\ntype = "webhook"\nurl = 3')
    assert "sink 'hook': url" in publisher("check", "--offline", status=2).stderr


@pytest.mark.parametrize("command", ["run", "check", "init", "dead-letters", "forget"])
def test_the_help_of_a_command_has_examples(publisher: Publisher, command: str) -> None:
    text = publisher(command, "--help", COLUMNS="80").stdout
    assert f"\n  Examples:\n    publisher {command}" in text
    if command != "init":
        assert "interface-publisher" in "".join(text.partition("--config")[2].split())  # a narrow column breaks it


def test_every_example_is_a_command_with_its_options(publisher: Publisher) -> None:
    names = publisher("--help").stdout.partition("Commands:")[2].split("\n  ")
    for name in [line.split()[0] for line in names if line.strip()]:
        text = publisher(name, "--help").stdout
        lines = [line.split() for line in text.partition("Examples:")[2].splitlines() if line.strip()]
        assert lines, name
        for words in lines:
            known = text if words[1] == name else publisher(words[1], "--help").stdout
            assert all(word in known for word in words if word.startswith("-")), words


SECRET = '[sinks.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\n'


@posix_only
@pytest.mark.parametrize(
    ("table", "key"),
    [
        (f'{SECRET}secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="', "secret"),
        ('[sinks.home]\ntype = "mqtt"\nurl = "mqtt://me@127.0.0.1:1"\npassword = "hunter2"', "password"),
        (f'{SECRET}headers = {{ X-Access = "hunter2" }}', "headers"),
        ('[sinks.phone]\ntype = "notify"\nurls = ["ntfy://hunter2"]', "urls"),
        (f'{SECRET}secret_file = "s"', None),
        (SECRET.replace('1/"', '1/some/ordinary/path"'), None),
    ],
)
def test_a_secret_in_a_file_that_everybody_may_read_is_remarked(tmp_path: Path, table: str, key: str | None) -> None:
    path = tmp_path / "publisher.toml"
    path.write_text(table)
    settings = load_settings(path, Locations("nas", (), (tmp_path,)))
    plan = sink_options(settings, load_plugins())
    reached = [folder for folder in path.parents if not folder.stat().st_mode & 0o001]
    for folder in reached:
        folder.chmod(folder.stat().st_mode | 0o001)
    try:
        for mode, exposed in ((0o644, key is not None), (0o600, False)):
            path.chmod(mode)
            remark = exposed_secret(settings, plan)
            assert (remark is not None) is exposed
            assert remark is None or (f": {key})" in remark and "hunter2" not in remark)
        path.chmod(0o644)
        tmp_path.chmod(0o700)
        assert exposed_secret(settings, plan) is None, "its folder is closed to others"
    finally:
        for folder in reached:
            folder.chmod(folder.stat().st_mode & ~0o001)


@posix_only
def test_a_recording_is_its_owners_only(publisher: Publisher) -> None:
    publisher.configure("")
    publisher("record", "made.jsonl")
    assert (publisher.folder / "made.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("file", ["missing.toml", ".", "", "~/missing.toml", "$HOME/missing.toml", "%HOME%/x", "*.txt"])
def test_a_run_as_services_have_it_ends_as_any_other(publisher: Publisher, file: str) -> None:
    (publisher.folder / "one.txt").write_text("[", encoding="utf-8")
    usual = publisher("run", "--verbose", "-c", file, status=2).stderr
    for option in ("-c", "--config"):
        assert publisher("run", option, file, status=2).stderr == usual
