"""The picture of `publisher watch` in README: from a real terminal, with a home's server that has a past."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.fixtures.home import home, program_with_past
from tests.fixtures.netns import NetNs
from tests.fixtures.tmux import Terminal

if sys.platform == "win32":
    pytest.skip("tmux is not on Windows", allow_module_level=True)

PICTURE = Path(__file__).parents[3] / "docs/images/watch.svg"
WIDTH, HEIGHT = 100, 12
# rich's own, without the fonts that it loads from another host.
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, monospace }}
.{unique_id}-title {{ font: bold 18px sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@pytest.fixture
def screen(shared_netns: NetNs, tmp_path: Path) -> Iterator[str]:
    """The coloured screen of `publisher watch` beside a running service, whose journal has the past."""
    program = program_with_past(shared_netns, tmp_path, *home())
    with program.running():
        terminal = Terminal(tmp_path, program.environment, WIDTH, HEIGHT)
        try:
            terminal.run(f"clear; {sys.executable} -m publisher watch")
            terminal.wait(re.compile(r"\benp4s0 .* ago +3 (?s:.*)q quit").search)  # the flaps come from the journal
            yield terminal.coloured_screen
        finally:
            terminal.close()


def picture_of(screen: str) -> str:
    """Returns the screen as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.from_ansi(screen), overflow="crop", no_wrap=True)
    return console.export_svg(title="publisher watch", theme=MONOKAI, code_format=FORMAT, unique_id="watch")


def words_of(picture: str) -> str:
    """Returns the words of an SVG; numbers, such as the time since a change, are left out."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    return " ".join(re.sub(r"\d+", "#", unescape(" ".join(texts))).split())


def test_the_picture_in_the_readme_is_what_the_terminal_shows(screen: str, pytestconfig: pytest.Config) -> None:
    """With --screenshots it is made anew."""
    picture = picture_of(screen)
    if pytestconfig.getoption("--screenshots"):
        PICTURE.write_text(picture, encoding="utf-8")
    kept = PICTURE.read_text(encoding="utf-8")
    assert words_of(picture) == words_of(kept), "make test ARGS='tests/terminal/live/test_picture.py --screenshots'"
    assert not re.search(r"(?:url\(|href=)[\"']?(?!#)", kept), "it loads nothing from elsewhere"
    assert len(kept) < 40_000
