"""`make release`, `make help` and the hooks: a dry run on a clone of this checkout, and each reason for a refusal."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.requirements import need

ROOT = Path(__file__).parents[2]
IDENTITY = ("-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the files as they are here, committed, with a dated section in its changelog."""
    need("git", package="git")
    if not (ROOT / ".git").exists():
        pytest.skip("not in a git checkout")
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(ROOT), str(folder))
    git(folder, "rm", "--quiet", "-r", ".")
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # else it was deleted and that is not committed yet
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text(encoding="utf-8").replace("(unreleased)", "(2026-11-25)", 1), encoding="utf-8"
    )
    git(folder, "add", "--all")
    git(folder, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", "as it is here")
    return folder


def test_a_dry_run_builds_and_checks_everything_and_tags_nothing(clone: Path) -> None:
    done = release(clone, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is ready: nothing was tagged (--dry-run)" in done.stdout
    assert sorted(path.suffix for path in (clone / "dist").iterdir()) == [".gz", ".whl"]
    assert git(clone, "tag", "--list") == ""


def test_a_tree_with_changes_is_refused(clone: Path) -> None:
    (clone / "README.md").write_text("changed\n", encoding="utf-8")
    done = release(clone, "--dry-run")
    assert done.returncode == 1
    assert "the working tree has changes; commit or remove them first:\n M README.md" in done.stderr


@pytest.mark.parametrize("title", ["unreleased", "soon", "2026-11"])
def test_a_version_without_a_dated_section_in_the_changelog_is_refused(clone: Path, title: str) -> None:
    changelog = clone / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8").replace("(2026-11-25)", f"({title})"), encoding="utf-8")
    git(clone, *IDENTITY, "commit", "--quiet", "--all", "--message", "no date")
    done = release(clone, "--dry-run")
    assert done.returncode == 1
    assert "CHANGELOG.md has no section" in done.stderr


def test_a_version_that_is_tagged_is_refused(clone: Path) -> None:
    [version] = re.findall(r'__version__ = "(.+)"', (clone / "publisher" / "__init__.py").read_text(encoding="utf-8"))
    git(clone, "tag", f"v{version}")
    done = release(clone, "--dry-run")
    assert done.returncode == 1
    assert f"the tag v{version} exists" in done.stderr


def test_a_module_that_is_not_tracked_is_not_in_the_wheel(clone: Path) -> None:
    """What is ignored by git, and would be built in, is found."""
    (clone / ".git" / "info" / "exclude").write_text("forgotten.py\n", encoding="utf-8")
    (clone / "publisher" / "forgotten.py").write_text('"""Not committed."""\n', encoding="utf-8")
    done = release(clone, "--dry-run")
    assert done.returncode == 1
    assert "unexpected ['publisher/forgotten.py']" in done.stderr


def test_help_lists_every_target_that_has_a_text() -> None:
    need("make", package="make")
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    described = dict(re.findall(r"^([a-z-]+):.*?## (.+)$", makefile, re.MULTILINE))
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(phony.split()) == described.keys()
    assert [line.split(maxsplit=1) for line in shown.splitlines()] == [[name, text] for name, text in described.items()]


def test_the_hooks_of_a_commit_are_the_linters_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    linters = re.findall(r"^\t\$\(BIN\)/((?:ruff|mypy) .+)$", makefile, re.MULTILINE)
    entries = re.findall(r"^ +entry: \.venv/bin/(.+)$", hooks, re.MULTILINE)
    assert sorted(re.sub(r" (--check|\.)(?= |$)", "", command) for command in linters) == sorted(
        command.removesuffix(" --force-exclude") for command in entries
    )


def release(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the clone's release script."""
    command = [sys.executable, str(clone / ".ci" / "release.py"), *arguments]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def git(folder: Path, *arguments: str) -> str:
    """Runs git in `folder` and returns its output."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
