"""The one place where a test polls: for what cannot be awaited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(predicate: Callable[[], T | None], *, timeout: float = 20.0, what: str = "") -> T:
    """What the predicate gives as soon as that is true; fails, naming `what`, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate}")
        time.sleep(0.005)
    return value
