"""Salted hashes of sinks' configurations: the file shows neither a password nor that two passwords are equal."""

from __future__ import annotations

import hashlib
import hmac
import secrets

# Some 10 ms: a configuration is compared only when a destination ended the sink before.
_ROUNDS = 20_000


def salted(fingerprint: str, salt: str | None = None) -> str:
    """Returns the text to keep for a fingerprint: a salt, which is random unless given, and the hash."""
    salt = salt or secrets.token_hex(16)
    digest = hashlib.pbkdf2_hmac("sha256", fingerprint.encode(), salt.encode(), _ROUNDS)
    return f"{salt}${digest.hex()}"


def is_of(kept: str, fingerprint: str) -> bool:
    """Returns whether the text was kept for this fingerprint."""
    return hmac.compare_digest(kept.encode(), salted(fingerprint, kept.partition("$")[0]).encode())
