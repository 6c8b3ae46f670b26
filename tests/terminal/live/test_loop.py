"""The loop of the live table, beside its terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from publisher import PublisherError
from publisher.terminal.live.choices import Telling
from publisher.terminal.live.console import Console
from publisher.terminal.live.interfaces import InterfaceKey, ToldChange
from publisher.terminal.live.loop import LiveLoop
from publisher.terminal.live.model import Model, PageRequest
from publisher.terminal.live.picture import Glyphs

REQUEST = PageRequest(InterfaceKey("nas", "0006008002000000"), None)


class FaultyPast:
    """A journal that cannot be read, for a reason of any kind."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def flaps(self, _since: float) -> Mapping[InterfaceKey, Sequence[tuple[float, int]]]:
        raise self._error

    def page(self, _request: PageRequest) -> tuple[Sequence[ToldChange], bool]:
        raise self._error


class StillConsole:
    """A terminal that nobody looks at."""

    def wake(self) -> None:
        """Does nothing: the test takes the news itself."""


@pytest.mark.parametrize("error", [PublisherError("no journal"), ValueError("a newer event"), OSError("gone")])
def test_whatever_a_journal_raises_the_page_is_answered(error: Exception) -> None:
    model = Model("nas", has_past=True)
    console: Console = StillConsole()  # type: ignore[assignment]  # all that this needs of one
    loop = LiveLoop(model, console, Glyphs.of("utf-8"), colour=False)
    model._choose(mode=Telling(REQUEST.key, reading=True))
    loop._requests.put(REQUEST)
    loop._requests.put(None)
    loop._read_past(FaultyPast(error))
    loop._take_news()
    assert model.choices.mode == Telling(REQUEST.key, reading=False)
    assert str(error) in model.warning
