"""A well-behaved receiver of messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.phone import taken
from tests.fixtures.webhook_server import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(always=taken) as server:
        yield server
