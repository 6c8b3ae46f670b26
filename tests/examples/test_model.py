"""The rules of docs/examples/subscribe.mjs against a model, in Node.js: model.test.mjs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fixtures.requirements import need


def test_the_rules_hold_in_the_model() -> None:
    need("node", package="nodejs and npm")
    command = ["node", "--test", str(Path(__file__).with_name("model.test.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "# pass 11\n# fail 0\n" in done.stdout
