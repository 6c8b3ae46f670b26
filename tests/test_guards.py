"""Rules for the code itself: its public names, its imports, its examples, and a reason beside each ignore."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import publisher
import publisher.netioapi
import publisher.terminal
import publisher.testing
from publisher.plugins import PublisherHooks
from tests.fixtures.packages import PACKAGES
from tests.fixtures.requirements import need

ROOT = Path(__file__).parent.parent
# Imported only where they are used, so that a start is quick.
HEAVY = [
    "apprise",
    "iotcore",
    "paho",
    "prometheus_client",
    "pyroute2",
    "pytest",
    "requests",
    "rich",
    "typer",
    "urllib3",
]


STARTED = (
    "publisher",
    "publisher.config.settings",
    "publisher.service.run",
    "publisher.service.service",
    "publisher.cli.app",
)


def modules() -> list[str]:
    """Returns the names of all our modules, but for `__main__`, which would run."""
    found = chain.from_iterable(pkgutil.walk_packages(package.__path__, f"{package.__name__}.") for package in PACKAGES)
    names = [package.__name__ for package in PACKAGES] + [module.name for module in found]
    return sorted(name for name in names if not name.endswith("__main__"))


def tracked(*patterns: str) -> Iterator[tuple[str, str]]:
    """Yields the name and the text of each file that git knows and that is text."""
    need("git", package="git")
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not in a git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file():  # else it was deleted, and git does not know yet
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def lines(*patterns: str) -> Iterator[tuple[str, str]]:
    """Yields each line of the tracked files after its place."""
    for name, text in tracked(*patterns):
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{name}:{number}", line


def run(code: str, *arguments: str, prints: str = "") -> None:
    """Runs code in an interpreter of its own, in which warnings are errors; it prints exactly this and logs nothing."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == (prints, "")


def test_every_hook_says_when_it_is_called() -> None:
    hooks = [value for name, value in vars(PublisherHooks).items() if name.startswith("publisher_")]
    assert hooks
    for hook in hooks:
        assert "Called " in (hook.__doc__ or ""), f"{hook.__name__} does not say when it is called"


@pytest.mark.parametrize(
    "module",
    [publisher, publisher.netioapi, publisher.terminal, publisher.testing],
    ids=lambda module: module.__name__,
)
def test_all_is_exactly_what_is_public(module: ModuleType) -> None:
    public = {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(module.__all__) - {"__version__"} == public
    assert len(module.__all__) == len(set(module.__all__))


@pytest.mark.parametrize("name", modules())
def test_every_module_is_described_and_its_all_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    assert not [offered for offered in getattr(module, "__all__", []) if not hasattr(module, offered)]


PUBLIC_FOR_SINKS = {
    "publisher",
    "publisher.client",
    "publisher.cloudevents",
    "publisher.containers",
    "publisher.credentials",
    "publisher.durations",
    "publisher.events",
    "publisher.history",
    "publisher.terminal",
    "publisher.text",
    "publisher.untrusted",
}


class Imports(ast.NodeVisitor):
    """The modules that one module imports: all of them, and those that its own import waits for."""

    def __init__(self, name: str, path: Path, known: set[str]) -> None:
        self.all: set[str] = set()
        self.at_import: set[str] = set()
        self._name = name
        self._package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self._known = known
        self._deferred = 0
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = importlib.util.resolve_name("." * node.level + (node.module or ""), self._package)
        for alias in node.names:
            inner = f"{module}.{alias.name}"
            self._add(inner if inner in self._known else module)

    def visit_If(self, node: ast.If) -> None:
        typing_only = ast.unparse(node.test) == "TYPE_CHECKING"
        self._deferred += typing_only
        for child in node.body:
            self.visit(child)
        self._deferred -= typing_only
        for child in node.orelse:
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._deferred += 1
        self.generic_visit(node)
        self._deferred -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)  # type: ignore[arg-type]  # the same members

    def _add(self, module: str) -> None:
        self.all.add(module)
        if not self._deferred:
            self.at_import.add(module)


@functools.cache
def imports(*packages: ModuleType) -> dict[str, Imports]:
    """The imports of every module of these packages, by its name; read from the source, nothing is imported."""
    paths: dict[str, Path] = {}
    for package in packages:
        root = Path(package.__path__[0])
        for path in root.rglob("*.py"):
            parts = [package.__name__, *path.relative_to(root).with_suffix("").parts]
            paths[".".join(part for part in parts if part != "__init__")] = path
    return {name: Imports(name, path, set(paths)) for name, path in paths.items()}


def test_the_core_imports_no_sink() -> None:
    arrows = [
        f"{name} -> {module}"
        for name, found in imports(publisher).items()
        for module in sorted(found.all)
        if module.partition(".")[0].startswith("publisher_")
    ]
    assert not arrows


def test_sinks_import_public_names_only() -> None:
    arrows = [
        f"{name} -> {module}"
        for name, found in imports(*PACKAGES[1:]).items()
        for module in sorted(found.all)
        if module.partition(".")[0] == "publisher" or module.startswith("publisher_")
        if module not in PUBLIC_FOR_SINKS and module.partition(".")[0] != name.partition(".")[0]
    ]
    assert not arrows


def test_the_import_graph_of_the_core_has_no_cycle() -> None:
    graph = {name: found.at_import for name, found in imports(publisher).items()}
    sorter = graphlib.TopologicalSorter({name: found & graph.keys() for name, found in graph.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(reversed(error.args[1]))}")


IMPORT_ALL = """
import importlib, os, sys, threading

def no_work(event, arguments):
    if event in {"socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename",
                 "sqlite3.connect", "os.fork", "os.posix_spawn", "os.system", "signal.signal"}:
        raise RuntimeError(f"an import did {event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise RuntimeError(f"an import opened {arguments[0]} to write it")

sys.dont_write_bytecode = True
# The libraries come first, since their own imports may do work.
import paho.mqtt.client, rich.live, sqlite3, typer, typer.rich_utils, urllib3
environment = dict(os.environ)
sys.addaudithook(no_work)
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert dict(os.environ) == environment
"""


def test_an_import_does_no_work() -> None:
    run(IMPORT_ALL, *modules())


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (STARTED, ()),
        (("publisher.cli.commands",), ("typer", "rich")),
    ],
    ids=["all", "the commands"],
)
def test_what_is_heavy_is_imported_where_it_is_used(names: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    heavy = sorted({*HEAVY} - {*allowed})
    look = f"assert not (found := {{*{heavy}}} & sys.modules.keys()), found\n"
    run("import sys\n" + "".join(f"import {name}\n{look}" for name in names))


def test_finding_plugins_imports_no_network_library() -> None:
    heavy = sorted(set(HEAVY) - {"typer", "rich"})
    run(
        "import sys; from publisher.plugins import load_plugins; plugins = load_plugins();"
        "assert {'command', 'file', 'mqtt', 'notify', 'terminal', 'web', 'webhook'} <= plugins.sinks.keys(), plugins;"
        f"assert not (found := set({heavy}) & set(sys.modules)), found"
    )


REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|crates\.io|rubygems\.org|proxy\.golang\.org|(docker|ghcr|quay|gcr)\.io|"
    r"registry\.(?:hub|yarnpkg|access)|mcr\.microsoft\.com"
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$}{/-])/(?:work|root|tmp|home/[a-z]\w*|Users/\w+)/")


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINE_PATHS], ids=["registry", "path"])
def test_no_file_names_a_registry_or_a_place_on_one_machine(pattern: re.Pattern[str]) -> None:
    own = Path(__file__).name
    assert not [f"{place}: {line}" for place, line in lines() if pattern.search(line) and own not in place]


# After the rule comes a dash or a comment of its own, and then the reason.
IGNORE = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:)")
IGNORE_WITH_REASON = re.compile(
    r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* ( ?#|-) ?\w.*|# type: ignore\[[a-z, -]+\]  # .*\w.*|# pragma: no cover - \w.*"
)


def test_each_ignore_has_its_reason_beside_it() -> None:
    own = Path(__file__).name
    ignores = [(place, line) for place, line in lines("*.py") if IGNORE.search(line) and own not in place]
    assert not [f"{place}: {line.strip()}" for place, line in ignores if not IGNORE_WITH_REASON.search(line)]


def test_no_statement_numbers_its_values() -> None:
    """Python 3.14 refuses `?1` with a sequence, and 3.12 warns; the tests run with the oldest Python."""
    numbered = re.compile(r"(?:[=<>(]|OFFSET|LIMIT)\s*\?\d")
    assert not [place for place, line in lines("publisher/*.py", "plugins/*.py") if numbered.search(line)]


LIBRARY_CALLS = """
import publisher
from publisher import netioapi

for family in ("inet", "inet6"):
    next(publisher.watch(family))
for row in netioapi.get_ip_interface_table():
    if row.interface_index == 1:  # the loopback interface, which stays
        netioapi.get_ip_interface_entry(row.family, row.interface_luid)
netioapi.get_if_table2()
netioapi.cancel_mib_change_notify2(netioapi.notify_ip_interface_change("unspec", lambda *_: None))
"""


@pytest.mark.skipif(sys.platform not in ("linux", "win32"), reason="no source on this system")
def test_the_library_writes_nothing_to_the_standard_streams() -> None:
    run(LIBRARY_CALLS)


PITFALLS = re.findall(r"`(test_\w+)`", (ROOT / "tests" / "PITFALLS.md").read_text(encoding="utf-8"))


def test_each_test_that_the_pitfalls_name_exists() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^ *def (test_\w+)\(", sources, re.MULTILINE))
    assert PITFALLS
    assert sorted(set(PITFALLS) - defined) == []


def test_only_one_function_prints() -> None:
    """Much of what is shown comes from outside, and `publisher.terminal.echo` makes it harmless."""
    others = re.compile(r"typer\.echo\(|(?<![\w.])print\(|\.(?:stdout|stderr)\.write\(|console\.print\(|secho\(")
    found = [place for place, line in lines("publisher/*.py", "plugins/*.py") if others.search(line)]
    # Examples in docstrings.
    allowed = ("publisher/netioapi/__init__.py", "publisher/watcher.py", "publisher/client/")
    assert not [place for place in found if not place.startswith(allowed)]
