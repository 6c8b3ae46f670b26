"""Promises about the blocks of code in the documents: each is run by a test, or a table here has the reason.

A block is named by its document, the title above it and its language. A test that reads a document runs its blocks as
they are printed; this module checks that each block has such a test, or runs the block itself.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # no stubs are locked

from publisher.cli.commands import app
from publisher.cli.schemas import event_schema
from publisher.config.settings import Settings
from publisher_nats.options import NatsOptions
from publisher_webhook.signature import parse_secret
from tests.test_documents import DOCUMENTS, FENCE, IDS, ROOT, text_of


class Block(NamedTuple):
    """A block of code in a document, below a title."""

    document: str
    title: str
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.document}: {self.title}: {self.language}"

    @property
    def is_configuration(self) -> bool:
        """True if tests/test_documents.py loads it as a configuration."""
        return self.language == "toml" and tomllib.loads(self.code).keys() <= Settings.model_fields.keys()

    def commands(self) -> Iterator[str]:
        """Yields its lines of a shell, with lines that are continued made one, and without comments behind them."""
        if self.language in ("sh", "powershell", "console"):
            for line in self.code.replace("\\\n", " ").splitlines():
                if self.language != "console" or line.startswith("$ "):
                    yield re.sub(r"\s#\s.*$", "", line.removeprefix("$ ").strip())


def blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        text = text_of(document)
        for found in FENCE.finditer(text):
            before = FENCE.sub("", text[: found.start()])
            title = re.findall(r"^#+ (.+)$", before, re.MULTILINE)[-1].replace("`", "")
            yield Block(IDS[document], title, found[2], re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE))


BLOCKS = tuple(blocks())
HERE = "tests/documents/test_blocks.py"
# The test that runs the block as it is printed, but for addresses and places.
RUN = {
    "README.md: Begin: sh": "tests/once/test_makefile.py",
    "compose/README.md: Broker and publisher with Docker Compose: sh": "tests/integration/test_compose.py",
    "docs/command.md: From networkd-dispatcher: sh": "tests/plugins/command/test_program.py",
    "docs/command.md: From NetworkManager's dispatcher: sh": "tests/plugins/command/test_program.py",
    "docs/command.md: From ifplugd: sh": "tests/plugins/command/test_program.py",
    "docs/events.md: The event: json": HERE,
    "docs/fleet.md: Archive: python": "tests/integration/fleet/test_nodes.py",
    "docs/fleet.md: Remote sites: ": "tests/integration/fleet/test_nodes.py",
    "docs/getting-started.md: Install: sh": "tests/once/test_makefile.py",
    "docs/history.md: History: console": "tests/cli/test_history.py",
    "docs/history.md: In a sink: python": HERE,
    "docs/home-assistant.md: Blueprints: yaml": HERE,
    "docs/mqtt.md: Subscribers: python": "tests/fixtures/printed_subscriber.py",
    "docs/nats.md: Leaf nodes: toml": HERE,
    "docs/netioapi.md: The calls of netioapi.h: python": HERE,
    "docs/operation.md: Back up: sh": "tests/once/test_operation.py",
    "docs/operation.md: How to leave: sh": "tests/once/test_operation.py",
    "docs/operation.md: Move to another host: sh": "tests/once/test_operation.py",
    "docs/operation.md: Rename the node: sh": "tests/once/test_operation.py",
    "docs/operation.md: Upgrade: sh": "tests/once/test_operation.py",
    "docs/plugins.md: A sink in ten lines: python": "tests/test_documents.py",
    "docs/plugins.md: A sink in ten lines: toml": "tests/test_documents.py",
    "docs/plugins.md: Its tests: python": "tests/test_documents.py",
    "docs/recipes.md: A dynamic DNS name follows the prefix: sh": "tests/plugins/command/test_program.py",
    "docs/recipes.md: A firewall rule follows the address: sh": "tests/plugins/command/test_program.py",
    "docs/status.md: Status: console": "tests/cli/test_status.py",
    "docs/subscribers.md: Python: python": "tests/examples/test_subscribers_page.py",
    "docs/subscribers.md: JavaScript: js": "tests/examples/test_subscribers_page.py",
    "docs/subscribers.md: mosquitto_sub: sh": "tests/examples/test_subscribers_page.py",
    "docs/subscribers.md: curl: sh": "tests/examples/test_subscribers_page.py",
    "docs/troubleshooting.md: Troubleshooting: sh": "tests/once/test_troubleshooting.py",
    "docs/troubleshooting.md: Report it: sh": "tests/once/test_troubleshooting.py",
    "docs/web.md: The addresses: sh": "tests/plugins/web/test_documentation.py",
    "docs/web.md: Server-Sent Events: sh": "tests/plugins/web/test_documentation.py",
    "docs/web.md: Who may read: sh": "tests/plugins/web/test_documentation.py",
    "docs/webhook.md: Signatures: sh": HERE,
} | {block.name: "tests/client/test_docs.py" for block in BLOCKS if block.document == "docs/python.md"}
PICTURE = "a picture, not code"
INSTALLS = "it installs from an index or on a system; tests/once/test_built_wheel.py installs the wheel with its extras"
# Why no test runs it. Lines with `publisher` and `make` are checked all the same, below.
REASONS = {
    "CONTRIBUTING.md: Set up: sh": "the tests do not start themselves",
    "CONTRIBUTING.md: The tests in a virtual machine: sh": "the tests do not start themselves",
    "CONTRIBUTING.md: A release: sh": "tests/once/test_release.py makes a release of a copy",
    "README.md: publisher: text": PICTURE,
    "docs/architecture.md: Architecture: ": PICTURE,
    "docs/fleet.md: Begin: sh": "needs Docker and three hosts; tests/integration/fleet runs its files and programs",
    "docs/fleet.md: Remote sites: sh": "the same program as in Begin, with a site, runs in tests/integration/fleet",
    "docs/fleet.md: Upgrades, and a lost server: sh": "waits for the port of a server in production",
    "docs/getting-started.md: The first run: text": "an example; tests/test_text.py has its lines",
    "docs/nats.md: NATS: sh": "names servers of a fleet; tests/plugins/nats/test_watch.py runs the commands",
    "docs/nats.md: Leaf nodes: sh": "waits for changes; tests/plugins/nats/test_leaf.py subscribes by such a URL",
    "docs/notify.md: Messages to phones and chats: sh": INSTALLS,
    "docs/operation.md: systemd: sh": INSTALLS,
    "docs/packages.md: Alpine: sh": "needs Docker; tests/packages carries out the Dockerfile",
    "docs/packages.md: Container: sh": "needs Docker; tests/packages carries out the Dockerfile",
    "docs/packages.md: Debian: sh": "installs on a system; tests/packages does it in roots of its own",
    "docs/plugins.md: Begin: sh": "installs a package; tests/once/test_installed.py does it elsewhere",
    "docs/proof.md: Faults: sh": "takes minutes to an hour; tests/once/test_soak.py runs a short one",
    "docs/watch.md: The live table: text": "an example; tests/terminal/live/test_picture.py has that of the README",
    "docs/web.md: The web sink: sh": INSTALLS,
    "docs/web.md: Server-Sent Events: text": "shortened; tests/plugins/web/test_events.py has the stream",
    "docs/web.md: A whole broker, a fleet, or another host: sh": "needs a broker, a fleet and another host; "
    "tests/plugins/web/test_fleet.py runs the command",
    "docs/windows-service.md: Install it: powershell": "needs Windows; tests/windows/service has the calls under Wine",
}


def test_each_block_is_run_or_has_a_reason() -> None:
    names = {block.name for block in BLOCKS if not block.is_configuration}
    assert names - RUN.keys() - REASONS.keys() == set(), "have a test run it, and name the test in RUN"
    assert (RUN.keys() | REASONS.keys()) - names == set(), "these are in no document"
    assert not RUN.keys() & REASONS.keys()


@pytest.mark.parametrize("test", sorted({*RUN.values()} - {HERE}))
def test_a_test_that_runs_a_block_reads_the_document(test: str) -> None:
    """So that a block that is changed is run as it was changed; test_makefile and test_compose have its commands."""
    source = (ROOT / test).read_text(encoding="utf-8")
    documents = {Path(name.partition(":")[0]).name for name, path in RUN.items() if path == test}
    read_it = {
        name for name in documents if name in source or name.removesuffix(".md") in source or "DOCUMENT" in source
    }
    assert read_it == documents or test in ("tests/once/test_makefile.py", "tests/integration/test_compose.py")


OURS = [
    pytest.param(words, id=" ".join(words)[:90])
    for block in BLOCKS
    for line in block.commands()
    for part in re.split(r"&&|\|\||[|;]", line)
    if re.match(r"(?:\.\\|\S*/)?publisher ", part.strip())
    for words in [shlex.split(part.replace("\\", "/"))[1:]]
]


@pytest.mark.parametrize("words", OURS)
def test_each_call_of_publisher_is_one_that_it_takes(words: list[str]) -> None:
    """The names of commands and options; nothing is run."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "resolve_command"):
        name, found, words = command.resolve_command(command.context_class(command), words)
        assert found is not None, name
        command = found
    command.make_context("publisher", words)


def test_each_target_of_make_is_there() -> None:
    parts = [part.strip() for block in BLOCKS for line in block.commands() for part in line.split("&&")]
    calls = [shlex.split(part)[1:] for part in parts if part.startswith("make ")]
    targets = {word for call in calls for word in call if "=" not in word}
    there = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"run", "test"} <= targets <= there


def code_of(document: str, title: str, language: str) -> str:
    [block] = [block for block in BLOCKS if block[:3] == (document, title, language)]
    return block.code


def test_the_event_of_the_page_has_the_members_of_an_event() -> None:
    schema = event_schema()
    event = json.loads(code_of("docs/events.md", "The event", "json"))
    assert event.keys() == schema["properties"].keys() - {"settled"}
    for member, model in (("row", "IpInterfaceRow"), ("interface", "Interface")):
        assert event[member].keys() - {"..."} <= schema["$defs"][model]["properties"].keys()


def test_the_sink_of_the_history_page_calls_what_is_there() -> None:
    from publisher import HistoryQuery
    from publisher.sink import SinkContext

    code = code_of("docs/history.md", "In a sink", "python")
    methods = set(re.findall(r"self\.context\.(\w+)\(", code))
    assert methods == {"history", "flaps", "status"}
    assert all(hasattr(SinkContext, method) for method in methods)
    [query] = [node for node in ast.walk(ast.parse(code)) if ast.unparse(node).startswith("HistoryQuery(")]
    assert eval(ast.unparse(query), {"HistoryQuery": HistoryQuery}).limit == 100


def test_the_program_of_the_netioapi_page_prints_what_it_says() -> None:
    code = code_of("docs/netioapi.md", "The calls of netioapi.h", "python")
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == re.findall(r"# prints: (.+)", code)


def test_the_action_of_the_home_assistant_page_uses_what_a_blueprint_gives() -> None:
    [action] = yaml.safe_load(code_of("docs/home-assistant.md", "Blueprints", "yaml"))["actions"]
    for blueprint in (ROOT / "compose/blueprints/automation/interface-publisher").glob("*.yaml"):
        assert all(text in blueprint.read_text(encoding="utf-8") for text in action["data"].values())


def test_the_options_of_a_leaf_node_are_valid() -> None:
    options = NatsOptions.model_validate(tomllib.loads(code_of("docs/nats.md", "Leaf nodes", "toml")))
    assert options.domain == "hub"


def test_the_secret_of_the_webhook_page_can_sign() -> None:
    command = shlex.split(code_of("docs/webhook.md", "Signatures", "sh"))
    made = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True, timeout=60)
    assert len(parse_secret(made.stdout.strip())) == 32
