"""Work during which no garbage is collected."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps Python's garbage collector off meanwhile; also a decorator. Threads other than this one have none either.

    It is for work that makes many objects that stay: to look at them again and again takes a tenth of a dump
    (docs/performance.md).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
