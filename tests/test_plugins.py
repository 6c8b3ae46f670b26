"""Plugins: each broken one is named and left out, and the others work."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from publisher import ConfigurationError, SubscribeRequest
from publisher.plugins import Plugins, SinkTypes, load_plugins
from publisher.testing import FakeSinkContext

GOOD = """
    from publisher import Sink, hookimpl

    class GoodSink(Sink):
        '''Do good.

        More about it.'''
        def open(self): ...
        def publish(self, events): ...
        def close(self): ...

    @hookimpl
    def publisher_sinks():
        return {"good": GoodSink}
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Install:
    """Installs a distribution of one module, as pip would leave it: `install("my-plugin", code)`."""
    monkeypatch.syspath_prepend(tmp_path)

    def forget(module: str) -> None:
        sys.modules.pop(module, None)

    def install(distribution: str, code: str, *, value: str = "{module}", entry_points: str | None = None) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text("\n".join(line[4:] for line in code.splitlines()))
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        section = entry_points or f"[publisher]\n{distribution} = {value.format(module=module)}\n"
        (info / "entry_points.txt").write_text(section)
        request.addfinalizer(lambda: forget(module))

    return install


BROKEN = {
    "import-error": ("import no_such_library_there", "No module named 'no_such_library_there'"),
    "syntax-error": ("def publisher_sinks(:", "SyntaxError: invalid syntax"),
    "exit-at-import": ("raise SystemExit(3)", "SystemExit: 3"),
    "raise-at-import": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "no-hooks": (
        "def publisher_sinks(): return {}",
        "offers nothing: a hook is a function marked with publisher.hookimpl",
    ),
    "nothing-offered": ("@hookimpl\n    def publisher_sinks(): return {}", "offers nothing"),
    "unknown-hook": (
        "@hookimpl\n    def publisher_sink(): return {'good': GoodSink}",
        "there is no hook 'publisher_sink'; did you mean 'publisher_sinks'?",
    ),
    "wrong-signature": (
        "@hookimpl\n    def publisher_sinks(config): return {'good': GoodSink}",
        "publisher_sinks(config)",
    ),
    "async-hook": ("@hookimpl\n    async def publisher_sinks(): return {'good': GoodSink}", "is an async function"),
    "hook-raises": ("@hookimpl\n    def publisher_sinks(): raise OSError('no such device')", "OSError: no such device"),
    "hook-exits": ("@hookimpl\n    def publisher_sinks(): exit(1)", "SystemExit: 1"),
    "returns-a-list": ("@hookimpl\n    def publisher_sinks(): return [GoodSink]", "publisher_sinks() returned a list"),
    "generator-hook": (
        "@hookimpl\n    def publisher_sinks(): yield GoodSink",
        "publisher_sinks() returned a generator",
    ),
    "sink-instance": (
        "@hookimpl\n    def publisher_sinks(): return {'good': GoodSink(None, None)}",
        "is an instance: offer the class GoodSink itself",
    ),
    "no-sink": (
        "@hookimpl\n    def publisher_sinks(): return {'good': dict}",
        "'good' is no subclass of publisher.Sink",
    ),
    "abstract-sink": ("@hookimpl\n    def publisher_sinks(): return {'good': Sink}", "lacks publish"),
    "wrong-options": (
        "class Odd(GoodSink): Options = dict\n    @hookimpl\n    def publisher_sinks(): return {'good': Odd}",
        "no subclass of publisher.SinkOptions",
    ),
    "name-is-a-number": ("@hookimpl\n    def publisher_sinks(): return {7: GoodSink}", "named 7: a name is text"),
    "takes-a-builtin-name": (
        "@hookimpl\n    def publisher_sinks(): return {'mine': GoodSink, 'file': GoodSink}",
        "a sink named 'file', which interface-publisher offers already",
    ),
    "takes-a-builtin-source": (
        "@hookimpl\n    def publisher_sources(): return {'linux': print}",
        "a source named 'linux', which publisher offers already",
    ),
    "source-is-no-function": (
        "@hookimpl\n    def publisher_sources(): return {'mine': 'x'}",
        "source 'mine' cannot be called",
    ),
    "client-is-no-function": (
        "@hookimpl\n    def publisher_clients(): return {'amqp': 'x'}",
        "client 'amqp' cannot be called: offer a function that takes a SubscribeRequest",
    ),
    "takes-a-builtin-scheme": (
        "@hookimpl\n    def publisher_clients(): return {'mqtts': print}",
        "a client named 'mqtts', which interface-publisher offers already",
    ),
    "schema-is-no-function": (
        "@hookimpl\n    def publisher_schemas(): return {'openapi': {}}",
        "schema 'openapi' cannot be called: offer a function that takes nothing",
    ),
    "takes-a-builtin-schema": (
        "@hookimpl\n    def publisher_schemas(): return {'event': dict}",
        "a schema named 'event', which publisher offers already",
    ),
    "async-default-sinks": (
        "@hookimpl\n    async def publisher_default_sinks(log): return None",
        "publisher_default_sinks is an async function",
    ),
}
PREFIX = GOOD.partition("    @hookimpl")[0]


@pytest.mark.parametrize(("broken", "code", "reason"), [(name, *what) for name, what in BROKEN.items()], ids=BROKEN)
def test_a_broken_plugin_is_named_and_the_others_work(install: Install, broken: str, code: str, reason: str) -> None:
    install(f"a-{broken}", f"{PREFIX}\n    {code}")
    install("z-good", GOOD)
    plugins = load_plugins()
    [failure] = plugins.failures
    assert (failure.entry_point, failure.distribution) == (f"a-{broken}", f"a-{broken}")
    assert reason in failure.reason
    assert f"a-{broken}" in str(failure)
    assert set(plugins.sinks) == {"command", "file", "good", "mqtt", "nats", "notify", "terminal", "web", "webhook"}
    assert plugins.sources == {}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{module}:missing", "AttributeError"),
        ("no_such_module_there", "No module named 'no_such_module_there'"),
        ("{module}:Hooks", "names the class Hooks: name an instance of it, or a module"),
        ("not a module!", "importing 'not a module!' failed"),
    ],
)
def test_an_entry_point_that_names_no_plugin(install: Install, value: str, reason: str) -> None:
    install("a-broken", GOOD + "\n    class Hooks: ...", value=value)
    [failure] = load_plugins().failures
    assert failure.entry_point == "a-broken"
    assert reason in failure.reason


def test_an_entry_point_may_name_an_instance(install: Install) -> None:
    install(
        "a-object",
        PREFIX
        + "\n    class Hooks:\n        @hookimpl\n        def publisher_sinks(self): return {'good': GoodSink}"
        + "\n    hooks = Hooks()",
        value="{module}:hooks",
    )
    plugins = load_plugins()
    assert plugins.failures == []
    assert "good" in plugins.sinks


def test_malformed_entry_points_are_named_and_the_others_work(install: Install) -> None:
    install("a-broken", GOOD, entry_points="[publisher]\nthere is no equals sign\n")
    install("z-good", GOOD)
    plugins = load_plugins()
    assert [failure.distribution for failure in plugins.failures] == ["a-broken"]
    assert "good" in plugins.sinks


def test_of_two_plugins_with_one_name_the_first_has_it(install: Install) -> None:
    install("b-second", GOOD)
    install("a-first", GOOD)
    plugins = load_plugins()
    assert plugins.sinks["good"].__module__ == "a_first"
    assert [str(failure) for failure in plugins.failures] == [
        "plugin 'b-second' of b-second is left out: it offers a sink named 'good', which a-first offers already"
    ]


def test_a_distribution_that_is_there_twice_is_loaded_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("a-twice", GOOD)
    older = tmp_path / "older" / "a_twice-1.1.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: a-twice\nVersion: 1.1\n")
    (older / "entry_points.txt").write_text("[publisher]\na-twice = a_twice\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older.parent)])
    plugins = load_plugins()
    assert plugins.failures == []
    assert [offer.version for offer in plugins.offers if offer.distribution == "a-twice"] == ["1.2"]


HUNG, END = threading.Semaphore(0), threading.Event()


def hang() -> None:
    """Hangs, as a plugin, until the test has ended."""
    HUNG.release(2)
    END.wait(60)


class Results(SimpleQueue[Any]):
    """The result of a call: the time for it is over when the plugin hangs, and not when the machine is slow."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002 - as in the base
        while True:
            with suppress(Empty):
                return super().get(timeout=0.01)
            if HUNG.acquire(blocking=False):
                raise Empty


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets plugins call `hang`."""
    monkeypatch.setattr("publisher.plugins.calling.SimpleQueue", Results)
    END.clear()
    yield
    END.set()
    while HUNG.acquire(blocking=False):
        pass


@pytest.mark.usefixtures("hanging")
def test_ctrl_c_of_the_user_ends_the_loading(install: Install) -> None:
    install("a-slow", "    import tests.test_plugins as t\n    t.hang()")
    slow: list[str] = []

    def press(line: str) -> None:
        slow.append(line)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        load_plugins(slow=press)
    assert slow


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt", "GeneratorExit", "SystemExit(0)", "StopIteration", "RecursionError", "MemoryError",
               "asyncio.CancelledError", "Odd", "BaseExceptionGroup('both', [KeyboardInterrupt()])"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["import", "hook", "options"])
def test_whatever_a_plugin_raises_at_load_is_its_own_failure(install: Install, where: str, raised: str) -> None:
    code = f"""
    import asyncio
    import publisher
    class Odd(Exception):
        def __str__(self): raise ZeroDivisionError
    def fail(*_): raise {raised}
    {"fail()" if where == "import" else ""}
    class OddSink(publisher.Sink):
        def publish(self, events): ...
        {"Options = property(fail)" if where == "options" else ""}
    @publisher.hookimpl
    def publisher_sinks():
        {"fail()" if where == "hook" else "return {'odd': type('Odd', (OddSink,), {'Options': fail})}"}
    """
    install("a-odd", code)
    install("z-good", GOOD)
    plugins = load_plugins()
    assert [failure.distribution for failure in plugins.failures] == ["a-odd"]
    assert "good" in plugins.sinks


@pytest.mark.parametrize("where", ["import", "hook"])
def test_a_failure_at_load_names_the_line_of_the_plugin(install: Install, where: str) -> None:
    code = f"""
    import json
    from publisher import hookimpl
    {"json.loads('x')  # here" if where == "import" else ""}
    @hookimpl
    def publisher_sinks():
        return json.loads("x")  # here
    """
    install("a-wrong", code)
    [failure] = load_plugins().failures
    file = next(path for folder in sys.path if (path := Path(folder) / "a_wrong.py").exists())
    [line, *_] = [number for number, text in enumerate(file.read_text().splitlines(), 1) if "# here" in text]
    assert str(failure).endswith(f"({file}, line {line})")
    assert "JSONDecodeError" in str(failure)


@pytest.mark.usefixtures("hanging")
def test_a_plugin_that_hangs_is_named_and_left_out(install: Install) -> None:
    """It stopped `plugins`, `check` and `run` without a word."""
    install("a-import", "    import tests.test_plugins as t\n    t.hang()")
    hook = "    @hookimpl\n    def publisher_sinks():\n        import tests.test_plugins as t\n        t.hang()"
    install("b-hook", "    from publisher import hookimpl\n" + hook)
    install("z-good", GOOD)
    slow: list[str] = []
    plugins = load_plugins(slow=slow.append)
    assert slow == [
        "plugin 'a-import' of a-import has not returned for 10 s: importing 'a_import' failed",
        "plugin 'b-hook' of b-hook has not returned for 10 s: publisher_sinks() raised",
    ]
    assert ["has not returned within 60 s" in failure.reason for failure in plugins.failures] == [True, True]
    assert "good" in plugins.sinks


def test_only_what_is_needed_is_imported(install: Install) -> None:
    for name in ("a-other", "b-other", "good", "z-other"):
        install(name, GOOD if name == "good" else GOOD.replace('"good"', f'"{name}"'))
    assert set(load_plugins({"file"}).sinks) == {"file"}
    assert set(load_plugins({"file", "webhook"}).sinks) == {"file", "webhook"}
    assert "a_other" not in sys.modules
    plugins = load_plugins({"good"})
    built_in = {"command", "file", "mqtt", "nats", "notify", "terminal", "web", "webhook"}
    assert plugins.sinks.keys() == built_in | {"good"}, "nobody takes a built-in name"
    assert "a_other" not in sys.modules
    types = SinkTypes(plugins)
    assert types.get("z-other") is not None, "a leaver of a type that the configuration no longer names"
    assert types.get("missing") is None
    assert "'missing'; there are: a-other, b-other, command, file, good, mqtt" in plugins.no_such_sink("missing")


@pytest.mark.parametrize("broken", ["utf-8", "no name", "no metadata", "metadata"])
def test_a_distribution_that_cannot_be_read_is_named_and_the_others_work(
    install: Install, tmp_path: Path, broken: str
) -> None:
    install("a-broken", GOOD)
    install("z-good", GOOD)
    info = tmp_path / "a_broken-1.2.dist-info"
    match broken:
        case "utf-8":
            (info / "entry_points.txt").write_bytes(b"[console_scripts]\nname = caf\xe9:main\n")
        case "no name":
            (info / "METADATA").write_text("Metadata-Version: 2.1\n")
        case "no metadata":
            (info / "METADATA").unlink()
        case "metadata":
            (info / "METADATA").write_bytes(b"\xff\xfe\xff")
    plugins = load_plugins()
    [failure] = plugins.failures
    assert "a" in failure.distribution
    assert "cannot be read" in failure.reason
    assert "good" in plugins.sinks


ASYNC = {
    "async def": "async def {method}(self, *_): ...",
    "async generator": "async def {method}(self, *_): yield",
    "generator": "def {method}(self, *_): yield",
    "partial": "{method} = functools.partial(later, 1)",
    "partialmethod": "{method} = functools.partialmethod(later, 1)",
    "callable object": "{method} = Later()",
    "static method": "{method} = staticmethod(later)",
    "class method": "{method} = classmethod(later)",
    "decorated": "{method} = traced(later)",
}


@pytest.mark.parametrize("method", ["open", "publish", "close", "check", "cursor", "retains", "forget"])
@pytest.mark.parametrize("way", ASYNC)
def test_a_method_that_never_runs_is_refused_by_name(install: Install, way: str, method: str) -> None:
    """`async def publish` was called, never awaited, and counted as delivered."""
    code = f"""
    import functools
    import publisher
    async def later(*_): ...
    class Later:
        async def __call__(self, *_): ...
    def traced(function):
        @functools.wraps(function)
        async def wrapper(*arguments): return await function(*arguments)
        return wrapper
    class AsynchronousSink(publisher.Sink):
        def publish(self, events): ...
        {ASYNC[way].format(method=method)}
    @publisher.hookimpl
    def publisher_sinks(): return {{"later": AsynchronousSink}}
    """
    install("a-later", code)
    [failure] = load_plugins().failures
    assert f"{method}() of its sink 'later' returns a" in failure.reason
    assert "make it a plain function" in failure.reason


def test_an_async_sink_has_async_methods(install: Install) -> None:
    code = """
    import publisher
    class StreamSink(publisher.AsyncSink):
        {}def apublish(self, events): ...
    @publisher.hookimpl
    def publisher_sinks(): return {{{!r}: StreamSink}}
    """
    install("a-plain", code.format("", "plain"))
    install("b-async", code.format("async ", "stream"))
    plugins = load_plugins()
    assert [failure.reason for failure in plugins.failures] == [
        "apublish() of its sink 'plain' is no coroutine function: write async def apublish"
    ]
    assert "stream" in plugins.sinks


def test_each_offer_has_its_origin(install: Install) -> None:
    install("z-good", GOOD)
    [offer] = [offer for offer in load_plugins().offers if offer.name == "good"]
    assert (offer.kind, offer.distribution, offer.version, offer.entry_point) == ("sink", "z-good", "1.2", "z-good")
    assert offer.summary == "Do good."


def test_a_plugin_may_offer_a_source(install: Install) -> None:
    install(
        "a-source",
        "    from publisher import hookimpl\n    @hookimpl\n    def publisher_sources(): return {'mine': print}",
    )
    plugins = load_plugins()
    assert plugins.failures == []
    assert list(plugins.sources) == ["mine"]


def test_the_message_for_a_missing_sink_lists_the_others(install: Install) -> None:
    install("a-broken", "    import no_such_library_there")
    message = load_plugins().no_such_sink("wehbook")
    assert message.startswith(
        "no plugin offers a sink of type 'wehbook'; there are: command, file, mqtt, nats, notify, terminal, web, "
        "webhook; did you mean 'webhook'?"
    )
    # The sink that is missing may be the one of the plugin that failed.
    assert "plugin 'a-broken' of a-broken is left out: importing 'a_broken' failed" in message


CLIENTS_AND_SCHEMAS = """
    from publisher import hookimpl

    seen = []

    def follow(request):
        '''Follow a queue.'''
        seen.append(request)

    @hookimpl
    def publisher_clients(): return {"amqp": follow}

    @hookimpl
    def publisher_schemas(): return {"openapi": lambda: {"openapi": "3.1.0"}}
"""


def test_a_plugin_may_offer_clients_and_schemas(install: Install) -> None:
    install("a-view", CLIENTS_AND_SCHEMAS)
    plugins = load_plugins()
    assert plugins.failures == []
    plugins.client("AMQP://host")(SubscribeRequest("AMQP://host"))
    assert sys.modules["a_view"].seen == [SubscribeRequest("AMQP://host")]
    assert plugins.schema("openapi")() == {"openapi": "3.1.0"}
    offers = {(offer.kind, offer.name): offer.summary for offer in plugins.offers if offer.distribution == "a-view"}
    assert offers == {("client", "amqp"): "Follow a queue.", ("schema", "openapi"): ""}


@pytest.mark.parametrize("url", ["amqp://host", "mqtt", "host:1883", ""])
def test_a_url_that_no_plugin_can_watch_is_an_error_that_lists_the_schemes(url: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        load_plugins().client(url)
    schemes = "http://, https://, mqtt://, mqtts://, nats://, tls://, ws://, wss://"
    assert f"no plugin can watch {url!r}{'' if '://' in url else ', which is no URL'}; there are: {schemes}" in str(
        failure.value
    )


def test_a_schema_that_no_plugin_offers_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ConfigurationError, match="'asyncap'; there are: asyncapi, config, event; did you mean 'async"):
        load_plugins().schema("asyncap")


DEFAULTS = """
    from publisher import DefaultSinks, hookimpl

    closed = []

    @hookimpl
    def publisher_default_sinks(log):
        return DefaultSinks({"mine": {"type": "file", "path": "-"}}, ("a line",), lambda: closed.append(1))
"""


def test_each_plugins_default_sinks_are_asked_for_when_wanted_and_not_before(install: Install) -> None:
    install(
        "a-first",
        "    from publisher import hookimpl\n"
        + "\n".join(["    @hookimpl", "    def publisher_default_sinks(log): raise OSError('no such device')"]),
    )
    install(
        "b-wrong", "    from publisher import hookimpl\n    @hookimpl\n    def publisher_default_sinks(): return {}"
    )
    install("c-good", DEFAULTS)
    plugins = load_plugins()
    assert plugins.failures == []
    plugins.first_run = [entry for entry in plugins.first_run if entry[0].distribution != "interface-publisher"]
    context = FakeSinkContext()
    [default] = plugins.default_sinks(context.log)
    assert default.sinks == {"mine": {"type": "file", "path": "-"}}
    assert default.lines == ("a line",)
    default.close()
    assert sys.modules["c_good"].closed == [1]
    assert [re.sub(r" \(.*a_first\.py, line 3\)$", " (here)", record.getMessage()) for record in context.logged] == [
        "plugin 'a-first' of a-first adds no sink to this run: publisher_default_sinks() raised:"
        " OSError: no such device (here)",
        "plugin 'b-wrong' of b-wrong adds no sink to this run: publisher_default_sinks() returned a dict:"
        " it returns DefaultSinks",
    ]


def test_the_message_for_a_missing_sink_without_any_plugin() -> None:
    assert Plugins().no_such_sink("file") == "no plugin offers a sink of type 'file'; there are: none"


def test_loading_the_builtin_plugins_imports_no_client_library() -> None:
    """A sink's client library is imported only when the sink is configured."""
    heavy = ("paho", "urllib3", "gzip", "rich", "typer", "sqlite3", "iotcore", "ctypes")
    program = (
        "import sys; from publisher.plugins import load_plugins; plugins = load_plugins()\n"
        "built_in = ['command', 'file', 'mqtt', 'nats', 'notify', 'terminal', 'web', 'webhook']\n"
        "assert sorted(plugins.sinks) == built_in, plugins.failures\n"
        "before = set(sys.argv[1].split())\n"
        f"print([name for name in {heavy} if name in sys.modules and name not in before])"
    )
    # What site-packages load at every start (coverage does so) is theirs.
    start = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    done = subprocess.run([sys.executable, "-c", program, start.stdout], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_longest_pause_after_failures_is_short_where_nothing_is_far_away() -> None:
    pauses = {name: sink.max_pause for name, sink in load_plugins().sinks.items()}
    assert pauses == {
        "command": 60.0,
        "file": 10.0,
        "mqtt": 60.0,
        "nats": 60.0,
        "notify": 60.0,
        "terminal": 10.0,
        "web": 10.0,
        "webhook": 60.0,
    }
