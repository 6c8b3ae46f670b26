"""Events as CloudEvents 1.0: one mapping, which every sink uses.

In the structured mode the event and its attributes are one JSON object (`structured_json`). In the binary mode the body
is the event's own JSON, and the attributes travel beside it: as HTTP headers (`http_headers`), or as MQTT 5 user
properties, which are the `attributes` as they are.
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from urllib.parse import quote

from .events import SCHEMA_VERSION, Event

STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
DATA_CONTENT_TYPE = "application/json"
DATA_SCHEMA = f"urn:interface-publisher:schema:event:{SCHEMA_VERSION}"
"""The identifier of the schema that `publisher schema event` prints; the attribute takes any absolute URI."""

# HTTP binding 1.0, 3.1.3.2: space, double quote, percent and everything outside printable ASCII.
_ENCODED_IN_HEADERS = re.compile(r"[^!#-$&-~]")


def attributes(event: Event) -> dict[str, str]:
    """Returns the context attributes, without `datacontenttype`.

    Beside those of the specification there are the extensions `sequence` (16 digits, so that texts sort as numbers),
    `epoch`, `node`, and, for an event about an interface, `luid` and `family`. A LUID is text, since an integer has
    32 bits in CloudEvents. A snapshot's position 0 is about no interface and has no `subject`.
    """
    found = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/{quote(event.node, safe='')}",
        "type": f"ip_interface.{event.notification_type}",
        "time": event.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "dataschema": DATA_SCHEMA,
        "sequence": f"{event.seq:016d}",
        "epoch": event.epoch,
        "node": event.node,
    }
    if event.key is not None:
        luid, family = event.key
        found |= {"subject": f"{luid}/{family}", "luid": luid, "family": family}
    return found


def structured_json(event: Event) -> bytes:
    """Returns the event in the JSON format; `data` are the event's own bytes, so every delivery has the same body."""
    context = attributes(event) | {"datacontenttype": DATA_CONTENT_TYPE}
    head = json.dumps(context, ensure_ascii=False, separators=(",", ":")).encode()
    return b'%b,"data":%b}' % (head[:-1], event.json_bytes)


def http_headers(event: Event) -> dict[str, str]:
    """Returns the headers of the binary mode over HTTP: the attributes with the prefix `ce-`, percent-encoded."""
    encoded = {
        f"ce-{name}": _ENCODED_IN_HEADERS.sub(_percent_encoded, value) for name, value in attributes(event).items()
    }
    return {"Content-Type": DATA_CONTENT_TYPE, **encoded}


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
