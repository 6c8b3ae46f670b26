"""Work during which no garbage is collected."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from publisher.garbage import uncollected


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


@uncollected()
def refuse() -> None:
    assert not gc.isenabled()
    raise ValueError


def test_the_collector_is_off_meanwhile_and_on_after_an_error() -> None:
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011 - raised above
            refuse()
        assert gc.isenabled()


def test_a_program_that_collects_nothing_is_left_so() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
