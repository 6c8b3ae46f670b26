"""The flow for Node-RED, whose function has the rules of docs/examples/subscribe.mjs word by word.

`python -m tests.examples.flow` copies them into it again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.fixtures.node import EXAMPLE

FLOW = Path(__file__).parents[2] / "compose" / "examples" / "node-red.json"
# From the line with a rule up to the next one.
_RULES = re.compile(r"^// -{60,} MQTT: the rules.*?(?=^// -{60,})", re.MULTILINE | re.DOTALL)


def rules() -> str:
    """Returns the part of subscribe.mjs that stands in the flow, where nothing is exported."""
    found = _RULES.search(EXAMPLE.read_text())
    assert found
    text = found[0].replace("\nexport ", "\n")
    begin, _, rest = text.split("\n", 2)
    return f"{begin}\n// As in docs/examples/subscribe.mjs, where they are explained.\n{rest}"


def nodes() -> list[dict[str, Any]]:
    """Returns the nodes of the flow."""
    read: list[dict[str, Any]] = json.loads(FLOW.read_text())
    return read


def with_rules(function: dict[str, Any]) -> str:
    """Returns the code of this node for its start, with the rules as they are now."""
    return _RULES.sub(lambda _: rules(), function["initialize"])


def main() -> None:
    """Copies the rules into the flow."""
    flow = nodes()
    for node in flow:
        if node["type"] == "function" and _RULES.search(node["initialize"]):
            node["initialize"] = with_rules(node)
    FLOW.write_text(f"{json.dumps(flow, indent=2, ensure_ascii=False)}\n")


if __name__ == "__main__":
    main()
