"""A notify sink in a running publisher: what a start sends, and what is told of a URL."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from publisher import SinkOptions
from publisher.testing import make_row
from publisher_notify.options import NotifyOptions
from publisher_webhook.options import WebhookOptions
from tests.fixtures.phone import publishing, resync, taken, upserts
from tests.fixtures.poll import wait_for
from tests.fixtures.webhook_server import answer, receiving

DOCUMENTS = Path(__file__).parents[3]
BEFORE = [make_row("eth0", family) for family in ("inet", "inet6")]
AFTER = [make_row("eth0", family, nl_mtu=1400) for family in ("inet", "inet6")]
SECRETS = ("s3cret-word", "hunter22hunter22")


def test_a_start_sends_nothing_and_a_change_of_both_families_one_message(tmp_path: Path) -> None:
    recipe = '[sinks.phone]\ntype = "notify"\nurls = ["ntfys://ntfy.example/my-alerts"]\n'
    recipe += 'settle = "2s"\n'  # a recording is played line by line, and the kernel reports both families at once
    lines = [resync(*BEFORE), *upserts(0.5, AFTER)]
    with receiving(always=taken) as receiver, publishing(tmp_path, recipe, receiver, None, *lines) as phone:
        assert phone.wait(1) == [("nas", "eth0 mtu 1400, was 1500")]
        assert "sink 'phone': urls[0] (ntfy): usable by Apprise" in phone.command("check")
    assert len(receiver.requests) == 1


def test_no_part_of_a_url_is_in_the_log_the_status_the_dead_letters_or_the_journal(tmp_path: Path) -> None:
    """Apprise has the topic in its own messages."""
    refuse = answer(403, b'{"error": "forbidden: hunter22hunter22", "code": 40301}')
    with receiving(always=refuse) as receiver:
        url = f"ntfy://me:s3cret-word@127.0.0.1:{receiver.port}/hunter22hunter22"
        recipe = f'[sinks.phone]\ntype = "notify"\nretry_refusals = "1s"\nurls = ["{url}"]\n[log]\nlevel = "debug"\n'
        lines = [resync(*BEFORE), *upserts(0.5, AFTER)]
        with publishing(tmp_path, recipe, receiver, None, *lines) as phone:
            wait_for(lambda: "error=40301" in phone.command("dead-letters"), timeout=60, what="the dead letter")
            told = {name: phone.command(name) for name in ("status", "dead-letters", "check", "plugins")}
            told["status"] += phone.command("status", "--json")
    told["log"] = (tmp_path / "log").read_text()
    told["journal"] = "".join(path.read_bytes().decode("latin-1") for path in tmp_path.glob("journal.sqlite3*"))
    assert "error=40301" in told["log"]
    assert "Apprise" in told["check"]
    found = {name: secret for name, text in told.items() for secret in SECRETS if secret in text}
    assert not found


def blocks() -> list[str]:
    texts = [(DOCUMENTS / name).read_text() for name in ("docs/notify.md", "docs/recipes.md", "docs/webhook.md")]
    return [block for text in texts for block in re.findall(r"^```toml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


@pytest.mark.parametrize("block", [block for block in blocks() if '"notify"' in block or 'format = "text"' in block])
def test_each_example_in_the_documents_is_valid(block: str) -> None:
    [table] = tomllib.loads(block)["sinks"].values()
    kind = table.pop("type")
    options: type[SinkOptions] = NotifyOptions if kind == "notify" else WebhookOptions
    options.model_validate(table)
