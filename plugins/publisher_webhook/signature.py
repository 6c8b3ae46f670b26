"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"
_EXPECTED = "expected a secret like whsec_ and base64 of 24 to 64 bytes"


def parse_secret(text: str) -> bytes:
    """Returns the key in `whsec_` and base64, or in bare base64. Raises ValueError, without the text, for others."""
    encoded = text.strip().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError(f"{_EXPECTED}; this is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"{_EXPECTED}; this has {len(key)} bytes")
    return key


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Returns the header `webhook-signature`: one signature for each key, so a receiver may know either."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
