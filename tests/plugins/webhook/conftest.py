"""A well-behaved receiver, and secrets in files."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.webhook_server import Receiver, receiving

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, no more"[:32]).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another key of thirty-two bytes..").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n", encoding="utf-8")
    return path
