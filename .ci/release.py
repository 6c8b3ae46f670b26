"""Releases a version: builds the sdist and the wheel, checks both, tags the commit.

Started by `make release`; `--dry-run` does everything but the tag. Needs no network: it builds with the packages that
are installed. Ends with status 1 and a reason when something is not ready; then nothing is tagged.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
DIST = "interface_publisher"


class NotReady(Exception):  # noqa: N818  # reads as a sentence where it is raised
    """The reason why this commit cannot be released."""


def main() -> int:
    """Releases the checked-out commit; returns the exit status."""
    parser = argparse.ArgumentParser(description="Builds, checks and tags a release.")
    parser.add_argument("--dry-run", action="store_true", help="do everything but the tag")
    dry_run: bool = parser.parse_args().dry_run
    try:
        release(dry_run=dry_run)
    except NotReady as reason:
        print(f"release: {reason}", file=sys.stderr)
        return 1
    return 0


def release(*, dry_run: bool) -> None:
    """Checks the tree, then the files that are built from it, and tags; raises NotReady."""
    version = current_version()
    check_tree(version)
    wheel, sdist = build(version)
    check_files(wheel)
    check_metadata(wheel, version)
    check_installed(wheel, version)
    check_sdist(sdist, wheel)
    if dry_run:
        print(f"{version} is ready: nothing was tagged (--dry-run)")
        return
    run("git", "tag", "--annotate", f"v{version}", "--message", f"interface-publisher {version}")
    print(f"{version} is tagged as v{version}; next: push the tag, and upload dist/")


def current_version() -> str:
    """Returns the version of the tree, as hatchling reads it."""
    return run(sys.executable, "-m", "hatchling", "version").strip()


def check_tree(version: str) -> None:
    """Raises NotReady unless everything is committed, described in the changelog and not tagged yet."""
    if changes := run("git", "status", "--porcelain"):
        raise NotReady(f"the working tree has changes; commit or remove them first:\n{changes.rstrip()}")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d{{2}}-\d{{2}}\)$", changelog, re.MULTILINE):
        raise NotReady(f"CHANGELOG.md has no section '## {version} (YYYY-MM-DD)': write it with the day of the release")
    if run("git", "tag", "--list", f"v{version}"):
        raise NotReady(f"the tag v{version} exists; raise __version__ in publisher/__init__.py")


def build(version: str) -> tuple[Path, Path]:
    """Builds into dist/, which is emptied first, and returns the wheel and the sdist."""
    folder = ROOT / "dist"
    for old in folder.glob(f"{DIST}-*"):
        old.unlink()
    run(sys.executable, "-m", "hatchling", "build", "--directory", str(folder))
    return folder / f"{DIST}-{version}-py3-none-any.whl", folder / f"{DIST}-{version}.tar.gz"


def check_files(wheel: Path) -> None:
    """Raises NotReady unless the wheel holds exactly the tracked files of the packages."""
    tracked = run("git", "ls-files", "-z", "publisher", "plugins").split("\0")
    wanted = {name.removeprefix("plugins/") for name in filter(None, tracked)}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if wanted != found:
        raise NotReady(f"{wheel.name}: missing {sorted(wanted - found)}, unexpected {sorted(found - wanted)}")


def check_metadata(wheel: Path, version: str) -> None:
    """Raises NotReady unless name, version, licence, entry points and README are there and the README renders."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        metadata = BytesParser().parsebytes(archive.read(f"{DIST}-{version}.dist-info/METADATA"))
        entry_points = archive.read(f"{DIST}-{version}.dist-info/entry_points.txt").decode()
    check_members(metadata, {
        "Name": project["name"],
        "Version": version,
        "Summary": project["description"],
        "Requires-Python": project["requires-python"],
        "License-Expression": project["license"],
        "Description-Content-Type": "text/markdown",
    })  # fmt: skip  # one member a line
    offered = project["scripts"] | project["entry-points"]["publisher"]
    for line in (f"{name} = {target}" for name, target in offered.items()):
        if line not in entry_points.splitlines():
            raise NotReady(f"{wheel.name}: the entry point '{line}' is missing")
    check_readme(str(metadata.get_payload()))
    if not metadata.get_all("Project-URL"):
        print("note: pyproject.toml has no [project.urls]; add them once the project has a public address")


def check_members(metadata: Message, wanted: dict[str, str]) -> None:
    """Raises NotReady for the first member of the metadata that differs."""
    for name, value in wanted.items():
        if metadata[name] != value:
            raise NotReady(f"the wheel's metadata has {name}: {metadata[name]!r} instead of {value!r}")


def check_readme(text: str) -> None:
    """Raises NotReady unless the description renders: one title, every table a table, every code block closed."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    if html.count("<h1>") != 1:
        raise NotReady(f"README.md renders with {html.count('<h1>')} titles instead of one")
    prose = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", html, flags=re.DOTALL)
    if left := re.search(r".*(?:```|\|\s*-{3}).*", prose):
        raise NotReady(f"README.md does not render at: {left.group().strip()}")
    if text.count("\n```") % 2:
        raise NotReady("README.md has a code block that is not closed")


def check_installed(wheel: Path, version: str) -> None:
    """Raises NotReady unless the installed wheel starts and offers each of its sinks."""
    sinks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]["publisher"]
    with tempfile.TemporaryDirectory() as folder:
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
        run(sys.executable, *pip, "--target", folder, str(wheel))
        command = (sys.executable, "-m", "publisher")
        shown = run(*command, "--version", path=folder).strip()
        if shown != f"publisher {version}":
            raise NotReady(f"the installed wheel shows {shown!r} as its version")
        listed = run(*command, "plugins", path=folder)
        for sink in sinks:
            if not re.search(rf"^sink +{sink} +interface-publisher {re.escape(version)}\b", listed, re.MULTILINE):
                raise NotReady(f"the installed wheel does not offer the sink {sink!r}:\n{listed}")


def check_sdist(sdist: Path, wheel: Path) -> None:
    """Raises NotReady unless the sdist builds the same wheel."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            # Python 3.11 has filters from 3.11.4 on.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(folder)
        command = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        run(*command, folder=Path(folder) / sdist.name.removesuffix(".tar.gz"))
        if (Path(folder) / wheel.name).read_bytes() != wheel.read_bytes():
            raise NotReady(f"{sdist.name} builds another wheel than the checkout does")


def run(*command: str, folder: Path = ROOT, path: str = "") -> str:
    """Runs a command and returns its output; raises NotReady with its errors when it fails."""
    environment = os.environ | ({"PYTHONPATH": path} if path else {})
    folder = Path(path) if path else folder
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReady(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
