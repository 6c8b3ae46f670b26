"""The configuration: the places it is read from, their precedence, and the messages about mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, HttpUrl, SecretStr, field_validator

from publisher.cli.journal import find_journal
from publisher.config.errors import line_of
from publisher.config.locations import Locations
from publisher.config.settings import (
    Settings,
    default_sinks,
    load_settings,
    sink_options,
    split_address,
    with_default_sinks,
)
from publisher.errors import ConfigurationError
from publisher.nodes import node_from
from publisher.plugins import Plugins, load_plugins
from publisher.sink import SinkOptions
from publisher.testing import RecordingSink

Load = Callable[..., Settings]


def locations(tmp_path: Path, **environment: str) -> Locations:
    return Locations(
        hostname="nas",
        config_dirs=(tmp_path / "here", tmp_path / "user", tmp_path / "system"),
        state_dirs=(tmp_path / "state", tmp_path / "service"),
        environment=environment,
    )


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads the configuration of this text, with this environment."""

    def load(text: str = "", **environment: str) -> Settings:
        path = tmp_path / "publisher.toml"
        path.write_text(text, encoding="utf-8")
        return load_settings(path, locations(tmp_path, **environment))

    return load


def mistakes(load: Load, text: str = "", **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        load(text, **environment)
    return str(error.value).splitlines()


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    settings = load_settings(None, locations(tmp_path))
    assert settings.node == "nas"
    assert settings.sinks == {}
    assert settings.journal.path == tmp_path / "state" / "journal.sqlite3"
    assert (settings.source_name, settings.source_argument) == ("auto", "")
    assert settings.origin.file is None


def test_without_a_configured_sink_there_are_the_default_and_the_found_ones(load: Load) -> None:
    assert with_default_sinks(load()).sinks == default_sinks() == {"terminal": {"type": "terminal"}}
    found = {"mqtt": {"type": "mqtt"}}
    assert with_default_sinks(load(), found).sinks == {**default_sinks(), **found}
    configured = load("[sinks.terminal]\ntype = 'terminal'")
    assert with_default_sinks(configured, found) == configured


def test_the_first_file_that_is_found_counts(tmp_path: Path) -> None:
    for folder in ("system", "user"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "publisher.toml").write_text(f'node = "{folder}"')
    assert load_settings(None, locations(tmp_path)).node == "user"
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "publisher.toml").write_text('node = "here"')
    assert load_settings(None, locations(tmp_path)).node == "here"


def test_the_environment_overrides_the_file_and_the_command_line_both(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('node = "file"\nsource = "linux"\n[journal]\nmax_events = 5\nsynchronous = "full"\n')
    around = locations(tmp_path, PUBLISHER_SOURCE="windows", PUBLISHER_JOURNAL__MAX_EVENTS="6", PATH="/bin")
    settings = load_settings(path, around, {"source": "recording:C:\\x"})
    assert (settings.node, settings.source_name, settings.source_argument) == ("file", "recording", "C:\\x")
    assert (settings.journal.max_events, settings.journal.synchronous) == (6, "full")


def test_settings_made_in_a_program_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLISHER_NODE", "elsewhere")
    assert Settings().node == "localhost"


def test_the_environment_sets_sinks_and_lists(load: Load) -> None:
    settings = load(
        '[sinks.Ho-me]\ntype = "mqtt"\nurl = "mqtt://a"',
        PUBLISHER_SINKS__HO_ME__URL="mqtt://b",
        PUBLISHER_SINKS__HO_ME__PASSWORD="1234",
        PUBLISHER_SINKS__HO_ME__REPLAY__BURST="3",
        PUBLISHER_SINKS__HO_ME__LIST='["a", "b"]',
        PUBLISHER_FILTER__EXCLUDE="lo, docker*",
        PUBLISHER_FILTER__INCLUDE='["a,b"]',
    )
    assert settings.sinks == {
        "Ho-me": {"type": "mqtt", "url": "mqtt://b", "password": "1234", "replay": {"burst": "3"}, "list": ["a", "b"]}
    }
    assert settings.filter.exclude == ("lo", "docker*")
    assert settings.filter.include == ("a,b",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nod = 'x'", "nod: unknown setting; did you mean 'node'?"),
        ("Node = 'x'", "Node: unknown setting; did you mean 'node'?"),
        ("xyz = 1", "xyz: unknown setting"),
        ("[journal]\nmaxevents = 1", "journal.maxevents: unknown setting; did you mean 'max_events'?"),
        ("[journal]\nmax_events = 'x'", "journal.max_events: should be an integer"),
        ("[journal]\nmax_events = 0", "journal.max_events: should be greater than or equal to 1"),
        ("[journal]\nsynchronous = 'fast'", "journal.synchronous: should be 'normal' or 'full'"),
        ("[journal]\npath = ''", "journal.path: must be the path of a file"),
        ("[journal]\npath = '/'", "journal.path: must be the path of a file"),
        ("journal = 3", "journal: should be a table, not an integer"),
        ("filter = [1]", "filter: should be a table, not an array"),
        (
            "[filter]\nexclude = 'lo'",
            'filter.exclude: should be an array, not a string: write it in brackets, exclude = ["..."]',
        ),
        ("[filter]\nexclude = ['lo', 3]", "filter.exclude[1]: should be a string, not an integer"),
        ("node = 3", "node: should be a string, not an integer"),
        ("node = ''", "node: must not be empty"),
        ("node = 'a/b'", "node: must not contain '/': it is a level of MQTT topics"),
        ("node = 'a+#'", "node: must not contain '#', '+': it is a level of MQTT topics"),
        ('node = "a\\u0000"', "node: must not contain '\\x00': it is a level of MQTT topics"),
        ("sinks = 3", "sinks: should be a table, not an integer"),
        (
            "[sinks]\ntype = 'mqtt'",
            "sink 'type': should be a table, not a string: "
            "a sink has a name, and a table of its own below a line [sinks.NAME]",
        ),
        ("[sinks.'a b']", "sink 'a b': invalid sink name: use letters, digits, _ and -, at most 64"),
        ("reconcile_seconds = 0.5", "reconcile_seconds: should be greater than or equal to 1"),
        (
            "[metrics]\naddress = 'localhost'",
            'metrics.address: must be an address and a port, such as "127.0.0.1:9464" or "[::1]:9464"',
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_line_key_and_expectation(
    load: Load, tmp_path: Path, text: str, expected: str
) -> None:
    line = len(text.splitlines())
    assert mistakes(load, text) == [f"{tmp_path / 'publisher.toml'}:{line}: {expected}"]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("node",), 1),
        (("journal", "path"), 4),
        (("journal", "synchronous"), 3),
        (("sinks", "Ho-me", "url"), 7),
        (("sinks", "Ho-me", "type"), 6),
        (("sinks", "Ho-me", "home_assistant", "include", 0), 8),
        (("sinks", "two words", "x"), 9),
        (("log", "level"), 11),
        (("metrics",), None),
    ],
)
def test_a_setting_is_found_in_the_text_or_the_table_that_lacks_it(
    location: tuple[str | int, ...], line: int | None
) -> None:
    text = """node = "a" # node = 2
# [journal] path = 1
[journal] # [log]
"path" = '[log]'

[ sinks . "Ho-me" ]
url="x"
home_assistant.include = ["path = 3"]
[sinks.'two words']

log.level = 3
"""
    # The last key is sinks.'two words'.log.level for TOML.
    place = ("sinks", "two words", *location) if location[0] == "log" else location
    assert line_of(text, place) == line
    assert line_of(f'{text}\nx = """\nnode = 1\n"""', place) is None


def test_a_setting_below_a_table_that_belongs_above_it(load: Load) -> None:
    for table in ("[sinks.home]\ntype = 'file'\npath = 'x'", "[log]", "[filter]"):
        with pytest.raises(ConfigurationError, match=r"node: .*write it above the first \[table\]"):
            sink_options(load(f"{table}\nnode = 'nas'"), load_plugins())


def test_every_mistake_is_reported(load: Load) -> None:
    assert len(mistakes(load, "nod = 1\nsource = 2\n[log]\nlevel = 'loud'")) == 3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"PUBLISHER_JOURNAL__MAX_EVENTS": "x"},
            "PUBLISHER_JOURNAL__MAX_EVENTS: journal.max_events: should be an integer",
        ),
        (
            {"PUBLISHER_JOURNAL__PTH": "x"},
            "PUBLISHER_JOURNAL__PTH: journal.pth: unknown setting; did you mean 'path'?",
        ),
        (
            {"PUBLISHER_SINK__X__TYPE": "x"},
            "PUBLISHER_SINK__X__TYPE: unknown setting 'sink'; did you mean 'sinks'?",
        ),
        ({"PUBLISHER_NODEE": "x"}, "PUBLISHER_NODEE: unknown setting 'nodee'; did you mean 'node'?"),
        (
            {"PUBLISHER_SINKS__X": "x"},
            "PUBLISHER_SINKS__X: sink 'x': should be a table, not a string: "
            "a sink has a name, and a table of its own below a line [sinks.NAME]",
        ),
        (
            {"PUBLISHER_JOURNAL__PATH": "x", "PUBLISHER_JOURNAL__PATH__X": "y"},
            "PUBLISHER_JOURNAL__PATH__X: another variable sets path itself; remove one",
        ),
        (
            {"PUBLISHER_SINKS__X__A__B": "x", "PUBLISHER_SINKS__X__A": "y"},
            "PUBLISHER_SINKS__X__A: other variables set keys of a; remove one",
        ),
        ({"PUBLISHER_NODE__X": "x"}, "PUBLISHER_NODE: node: should be a string, not a table"),
        (
            {"PUBLISHER_FILTER": "lo"},
            "PUBLISHER_FILTER: filter is a table: set PUBLISHER_FILTER__<KEY> for each of its keys",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(load: Load, variables: dict[str, str], expected: str) -> None:
    assert mistakes(load, **variables) == [f"environment variable {expected}"]


def test_variables_of_container_links_are_ignored(load: Load) -> None:
    load(PUBLISHER_PORT_1883_TCP="tcp://10.0.0.1:1883", PUBLISHER_SERVICE_HOST="10.0.0.1")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nb = \n", ":2:5: Invalid value"),
        ("a = [nas]", ":1:6: Invalid value"),
        ("a = 1\nnode = hunter2", ':2:8: Invalid value: text needs quotation marks: node = "..."'),
        ("node = [", ":1:9: Invalid value"),
        ("a.b = False  # no", ":1:7: Invalid value: write a.b = false"),
        ("a = yes", ":1:5: Invalid value: write a = true"),
        (
            "[sinks.my home]",
            ":1:11: Expected ']' at the end of a table declaration: the name of a sink has letters, "
            "digits, _ and - only",
        ),
        (
            'ca_file = "C:\\x"',
            ":1:16: Unescaped '\\' in a string: write a Windows path between single quotation marks, '...'",
        ),
        ("[a]\n[a]\n", ":2:3: Cannot declare ('a',) twice"),
    ],
)
def test_broken_toml_is_reported_with_line_and_column(load: Load, tmp_path: Path, text: str, place: str) -> None:
    assert mistakes(load, text) == [f"{tmp_path / 'publisher.toml'}{place}"]


def test_toml_that_just_ends_is_reported_with_line_and_column(load: Load, tmp_path: Path) -> None:
    [message] = mistakes(load, 'a = 1\nb = """x')
    assert message.startswith(f"{tmp_path / 'publisher.toml'}:2:9: ")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for path, expected in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "directory" if sys.platform != "win32" else ""),
    ):
        with pytest.raises(ConfigurationError, match="cannot be read") as error:
            load_settings(path, locations(tmp_path))
        assert expected in str(error.value)


def test_encodings_that_editors_choose(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('node = "ü"', encoding="utf-8-sig")
    assert load_settings(path, locations(tmp_path)).node == "ü"
    path.write_text('node = "ü"', encoding="utf-16")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load_settings(path, locations(tmp_path))


@pytest.mark.parametrize(
    ("hostname", "node"),
    [
        ("nas", "nas"),
        ("", "localhost"),
        ("a/b+c#d\0e", "a-b-c-d-e"),
        ("nas.home.lan", "nas-home-lan"),
        ("my nas", "my-nas"),
        ("büro", "büro"),
        ("x" * 300, "x" * 63),
    ],
)
def test_a_hosts_name_becomes_a_name_that_every_broker_takes(hostname: str, node: str) -> None:
    assert node_from(hostname) == node
    assert Settings(node=node_from(hostname)).node == node


def test_addresses_to_listen_on() -> None:
    assert split_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert split_address("[::1]:0") == ("::1", 0)
    for wrong in ("9464", ":9464", "a:", "a:70000", "a:-1", "a:²"):
        with pytest.raises(ValueError, match="must be an address and a port"):
            split_address(wrong)


def test_a_service_may_hold_the_systems_journal_unless_one_is_configured(tmp_path: Path) -> None:
    around = locations(tmp_path)
    settings = load_settings(None, around)
    own, services = tmp_path / "state" / "journal.sqlite3", tmp_path / "service" / "journal.sqlite3"
    assert settings.journal.path == own
    assert settings.journals == around.journals == (own, services)
    (tmp_path / "my.toml").write_text("[journal]\npath = 'mine.sqlite3'")
    assert load_settings(tmp_path / "my.toml", around).journals == (Path("mine.sqlite3"),)


def test_directories_of_other_users_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Path, "exists", refused)
    assert locations(tmp_path).find_config() is None
    assert find_journal(load_settings(None, locations(tmp_path))) == tmp_path / "state" / "journal.sqlite3"


@pytest.mark.skipif(sys.platform == "win32", reason="systemd")
def test_systemd_sets_the_directories_of_state_and_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", "/etc/one")
    around = Locations.of_this_process()
    assert around.journal == Path("/var/lib/one/journal.sqlite3")
    assert Path("/etc/one") in around.config_dirs


@pytest.mark.skipif(sys.platform == "win32", reason="systemd")
def test_a_journal_that_is_this_process_s_and_the_system_s_is_one_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/interface-publisher")
    journals = Locations.of_this_process().journals
    assert journals.count(Path("/var/lib/interface-publisher/journal.sqlite3")) == 1


class Inner(BaseModel):
    size: int = 1


class HookOptions(SinkOptions):
    url: HttpUrl
    token: SecretStr | None = None
    inner: Inner = Inner()
    count: int = Field(default=3, ge=1)
    flag: bool = False


class Hook(RecordingSink):
    Options = HookOptions


def checked(load: Load, text: str, **environment: str) -> dict[str, Any]:
    found = sink_options(load(text, **environment), Plugins(sinks={"webhook": Hook, "file": RecordingSink}))
    return {name: options for name, (_, options) in found.items()}


def test_sinks_options_are_checked_by_their_classes(load: Load) -> None:
    text = "[sinks.a]\ntype = 'webhook'\nurl = 'http://x/'\n[sinks.b]\ntype = 'file'"
    options = checked(load, text, PUBLISHER_SINKS__A__COUNT="7", PUBLISHER_SINKS__A__FLAG="true")
    assert list(options) == ["a", "b"]
    assert options["a"] == HookOptions(url=HttpUrl("http://x/"), count=7, flag=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type = 'webhook'", "sink 'a': url: missing"),
        ("type = 'webhook'\nurl = 'http://x'\nulr = 1", "sink 'a': ulr: unknown setting; did you mean 'url'?"),
        ("type = 'webhook'\nurl = 'http://x'\nhost = 'x'", "sink 'a': host: unknown setting; did you mean 'url'?"),
        ("type = 'webhook'\nurl = 'http://x'\ncolour = 1", "sink 'a': colour: unknown setting"),
        ("type = 'webhook'\nurl = 'http://x'\ninner.siz = 1", None),
        ("type = 'webhook'\nurl = 'http://x'\ncount = 'x'", "sink 'a': count: should be an integer"),
        ("type = 'webhook'\nurl = 'http://x'\ninner.size = 'x'", "sink 'a': inner.size: should be an integer"),
        ("url = 'http://x'", "sink 'a': type: missing; there are: file, webhook"),
        ("type = 3", "sink 'a': type: should be a string; there are: file, webhook"),
    ],
)
def test_a_sinks_mistake_names_sink_option_and_expectation(
    load: Load, tmp_path: Path, text: str, expected: str | None
) -> None:
    if expected is None:  # Inner takes what it does not know, as its author wants
        checked(load, f"[sinks.a]\n{text}")
        return
    with pytest.raises(ConfigurationError) as error:
        checked(load, f"[sinks.a]\n{text}")
    line = 1 if "missing" in expected or "type: " in expected else len(text.splitlines()) + 1
    assert str(error.value) == f"{tmp_path / 'publisher.toml'}:{line}: {expected}"


def test_an_unknown_type_lists_the_known_ones(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"sink 'a': .*'webhok'.*file, webhook.*did you mean 'webhook'"):
        checked(load, "[sinks.a]\ntype = 'webhok'")


def test_no_mistake_shows_a_secret(load: Load) -> None:
    with pytest.raises(ConfigurationError) as error:
        checked(load, "[sinks.a]\ntype = 'webhook'\nurl = 'hunter2'\ntoken = ['hunter2']\npasword = 'hunter2'")
    assert "hunter2" not in str(error.value)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), RecursionError(), KeyError(1)])
def test_whatever_an_options_validator_raises_is_a_mistake_of_that_sink(load: Load, raised: BaseException) -> None:
    class Raising(SinkOptions):
        @field_validator("topic", check_fields=False)
        @classmethod
        def check(cls, _: str) -> str:
            raise raised

        topic: str = ""

    class Sink(RecordingSink):
        Options = Raising

    settings = load("[sinks.a]\ntype = 'raising'\ntopic = 'x'\n[sinks.b]\ntype = 'none'")
    with pytest.raises(ConfigurationError) as error:
        sink_options(settings, Plugins(sinks={"raising": Sink}))
    first, second = str(error.value).splitlines()
    assert "sink 'a': its options cannot be validated: " + type(raised).__name__ in first
    assert "sink 'b': " in second


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("max_size = 'big'", 'max_size: should be a size, like 10485760 or "10 MiB"'),
        ("max_size = '10 apples'", 'max_size: should be a size, like 10485760 or "10 MiB"'),
        ("max_age = 'soon'", 'max_age: should be a length of time, like "5s", "12h" or "7d"'),
    ],
)
def test_sizes_and_times_are_explained_by_example(load: Load, tmp_path: Path, option: str, expected: str) -> None:
    settings = load(f"[sinks.log]\ntype = 'file'\npath = 'x'\n{option}")
    with pytest.raises(ConfigurationError) as error:
        sink_options(settings, load_plugins())
    assert str(error.value) == f"{tmp_path / 'publisher.toml'}:4: sink 'log': {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("only = 'wan*'", "only: should be a table"),
        ("only.interfaces = 'wan*'", "only.interfaces: should be an array, not a string"),
        ("only = { interface = ['wan*'] }", "only.interface: unknown setting; did you mean 'interfaces'?"),
        ("only = { interfaces = [] }", "only.interfaces: must not be an empty list"),
        ("only.families = []", "only.families: must not be an empty list"),
        ("only.kinds = []", "only.kinds: must not be an empty list"),
        ("only.interfaces = ['']", "only.interfaces[0]: String should have at least 1 character"),
        ("only.families = ['ipv4']", "only.families[0]: should be 'inet' or 'inet6'; did you mean 'inet'?"),
        ("only = { kinds = ['link_up', 'link_donw'] }", "only.kinds[1]: should be 'link_up', "),
        ("only.kinds = ['link_donw']", "; did you mean 'link_down'?"),
        ("only.causes = ['startp']", "; did you mean 'startup'?"),
        ("only.exclude = ['*']", "only: nothing passes: exclude takes out all interfaces"),
        ("only = { interfaces = ['a*'], exclude = ['a*'] }", "only: nothing passes: exclude takes out all that"),
        ("settle = '0s'", 'settle: must be from "10ms" to "10m"'),
        ("settle = 0", 'settle: must be from "10ms" to "10m"'),
        ("settle = -1", 'settle: must be from "10ms" to "10m"'),
        ("settle = '1h'", 'settle: must be from "10ms" to "10m"'),
        ("settle = 'soon'", 'settle: should be a length of time, like "5s"'),
        ("settle = inf", "settle: "),
        ("settle = nan", "settle: "),
        ("settle = true", "settle: "),
        ("snapshot = 'perhaps'", "snapshot: should be true or false"),
    ],
)
def test_a_mistake_in_an_option_of_every_sink_names_line_key_and_expectation(
    load: Load, tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        checked(load, f"[sinks.a]\ntype = 'file'\n{text}")
    [line] = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path / 'publisher.toml'}:3: sink 'a': ")
    assert expected in line


def test_each_sink_takes_a_filter_a_time_to_settle_and_no_snapshot(load: Load) -> None:
    text = """[sinks.a]
type = "file"
only = { interfaces = ["wan*"], exclude = [], families = ["inet"], kinds = ["link_down"], causes = [] }
settle = "500ms"
snapshot = false
"""
    options = checked(load, text, PUBLISHER_SINKS__A__ONLY__EXCLUDE="wan7, wan8", PUBLISHER_SINKS__A__SETTLE="2s")["a"]
    assert options.only.exclude == ("wan7", "wan8")
    assert (options.settle, options.snapshot, options.skips) == (timedelta(seconds=2), False, True)
    plain = checked(load, "[sinks.a]\ntype = 'file'")["a"]
    assert (plain.settle, plain.snapshot, plain.skips) == (None, True, False)
    assert plain.model_validate_json(options.model_dump_json()) == options, "as the journal keeps a place's options"


class Board(RecordingSink):
    def retains(self) -> tuple[str, ...]:
        return ("board",)


@pytest.mark.parametrize("option", ["only.kinds = ['link_up']", "only.causes = ['startup']", "snapshot = false"])
def test_what_is_kept_for_later_readers_needs_every_event_about_its_rows(
    load: Load, tmp_path: Path, option: str
) -> None:
    settings = load(f"[sinks.a]\ntype = 'board'\nonly.interfaces = ['wan*']\nsettle = '2s'\n{option}")
    with pytest.raises(ConfigurationError) as error:
        sink_options(settings, Plugins(sinks={"board": Board}))
    key = option.partition(" ")[0]
    assert str(error.value).startswith(f"{tmp_path / 'publisher.toml'}:5: sink 'a': {key}: this sink keeps each row's")


def test_a_plugin_cannot_have_an_option_of_its_own_by_a_name_that_every_sink_has() -> None:
    with pytest.raises(TypeError, match="snapshot: every sink has this option"):

        class Own(SinkOptions):
            snapshot: str = "x"  # type: ignore[assignment]  # what mypy refuses, too
