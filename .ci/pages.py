"""Builds the site of the documents into .cache/site: `make docs`.

The pages are those that README.md leads to, in the order of docs/README.md, as they lie in the repository. Ends with
status 1 and a reason when a link leads nowhere, when a document is in no list, or when a page asks another host for
anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
PAGES, SITE = CACHE / "pages", CACHE / "site"
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")
FENCE = re.compile(r"^( *)```.*?^ *```$", re.DOTALL | re.MULTILINE)
# Tags that a browser follows by itself, and the attribute that names the address.
FOLLOWED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


def main() -> int:
    """Builds the site; returns the exit status."""
    copy_pages()
    shutil.copy(ROOT / ".ci/site.css", PAGES)
    (CACHE / "mkdocs.yml").write_text(json.dumps(configuration()), encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--clean", "--config-file", CACHE / "mkdocs.yml"],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:  # warnings too: strict. With --quiet there would be none.
        print(built.stderr, file=sys.stderr)
        return 1
    asked = sorted(requests_elsewhere())
    if asked:
        print("docs: these pages ask another host:", *asked, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{SITE.relative_to(ROOT)}/index.html: {sum(1 for _ in SITE.rglob('*.html'))} pages")
    return 0


def copy_pages() -> None:
    """Copies README.md and whatever it leads to, over any number of links, to the same places below .cache/pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    waiting = [ROOT / "README.md"]
    while waiting:
        source = waiting.pop()
        target = PAGES / source.relative_to(ROOT)
        if target.exists() or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if source.suffix == ".md":
            waiting += linked(source)


def linked(document: Path) -> Iterator[Path]:
    """Yields the files that a document links to, and that are in the repository."""
    for link in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        target = (document.parent / link).resolve()
        if "://" not in link and target.is_relative_to(ROOT):
            yield target


def configuration() -> dict[str, object]:
    """Returns the configuration of mkdocs, with the sections of docs/README.md as those of the navigation."""
    sections: list[dict[str, list[str]]] = []
    for part in (ROOT / "docs/README.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, table = part.partition("\n")
        pages = (f"docs/{link}" for link in LINK.findall(table) if link.endswith(".md") and not link.startswith(".."))
        sections.append({title: list(dict.fromkeys(pages))})
    others = [page.relative_to(PAGES).as_posix() for page in sorted(PAGES.rglob("*.md"))]
    listed = {page for section in sections for pages in section.values() for page in pages}
    project = [page for page in others if page not in listed and not page.startswith("docs/") and page != "README.md"]
    nav: list[object] = ["README.md", "docs/README.md", *sections, {"The project": project}]
    return {"INHERIT": "../docs/mkdocs.yml", "docs_dir": PAGES.name, "site_dir": SITE.name, "nav": nav}


class Followed(HTMLParser):
    """The addresses on other hosts that a browser asks by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps the address of a tag that is followed, if it names a host."""
        address = dict(attrs).get(FOLLOWED.get(tag, ""))
        if address and re.match(r"(?:[a-z]+:)?//", address):
            self.found.append(address)


def requests_elsewhere() -> Iterator[str]:
    """Yields each page or style sheet with an address on another host that a browser would ask."""
    for page in SITE.rglob("*.html"):
        parser = Followed()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{page.relative_to(SITE)}: {address}" for address in parser.found)
    for sheet in SITE.rglob("*.css"):
        found = re.findall(r"""(?:url\(|@import )["']?((?:https?:)?//[^)"']+)""", sheet.read_text(encoding="utf-8"))
        yield from (f"{sheet.relative_to(SITE)}: {address}" for address in found)


if __name__ == "__main__":
    sys.exit(main())
