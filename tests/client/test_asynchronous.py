"""`publisher.asubscribe` without any place: its ends before it began."""

from __future__ import annotations

import gc
import warnings

import publisher


def test_one_that_nobody_awaited_leaves_no_socket_open() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        publisher.asubscribe("mqtt://127.0.0.1:1").close()
        publisher.asubscribe("mqtt://127.0.0.1:1")
        gc.collect()
    assert [str(warning.message) for warning in found if warning.category is ResourceWarning] == []
