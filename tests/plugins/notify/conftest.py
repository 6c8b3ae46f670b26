"""A well-behaved receiver of messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.webhook_server import Receiver, answer, receiving

taken = answer(200, b"{}", content_type="application/json")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(always=taken) as server:
        yield server
