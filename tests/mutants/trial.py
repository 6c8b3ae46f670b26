"""A copy of the tree, in which one mistake after another is made and the tests that should notice it run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.mutant import Mutant, Outcome

# What is made once and is no part of the tree: a Windows Python for Wine, brokers, the environment.
_SHARED = (".cache", ".venv")
_NOT_FOUND = re.compile(r"^ERROR: not found: (.+)$", re.MULTILINE)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+\.py.*?)(?: - .*)?$", re.MULTILINE)
# Until a test that hangs with a mistake has noticed it; and for all tests without a mistake.
_SECONDS, _ALL_SECONDS = 120, 1800
_END_SECONDS = 20


class Trial:
    """Runs tests in a copy of the tree; nothing is changed elsewhere."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    @classmethod
    @contextmanager
    def of(cls, root: Path) -> Iterator[Trial]:
        """Copies all files that git knows or would add."""
        listed = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
        with TemporaryDirectory(prefix="mutants-") as directory:
            tree = Path(directory)
            for name in filter(None, names):
                if (root / name).exists():
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, tree / name, follow_symlinks=False)
            for name in _SHARED:
                if (root / name).exists():
                    (tree / name).symlink_to(root / name)
            yield cls(tree)

    def failing(self, mutants: Iterable[Mutant]) -> set[str]:
        """Returns the tests of these mutants that fail without any mistake, or are not there."""
        tests = {test for mutant in mutants for test in mutant.tests}
        failing = {test for test in tests if not (self._tree / test.split("::")[0]).is_file()}
        while passing := sorted(tests - failing):
            status, output = self._pytest(passing, _ALL_SECONDS)
            if status == 0:
                break
            # With a test that is not there, pytest runs none.
            missing = {name.removeprefix(f"{self._tree}/") for name in _NOT_FOUND.findall(output)}
            found = {test for test in passing for name in missing or _FAILED.findall(output) if _is_of(name, test)}
            if not found:
                raise RuntimeError(f"the tests cannot be run (status {status}):\n{output}")
            failing |= found
            if not missing:
                break
        return failing

    def outcome(self, mutant: Mutant, failing: set[str]) -> Outcome:
        """Makes the mistake, runs its tests, and takes it back."""
        if mutant.gone:
            return Outcome(mutant, "gone", mutant.gone)
        mutated = mutant.applied(self._tree)
        if mutated is None:
            return Outcome(mutant, "stale", f"the place is not once in {mutant.file}")
        if not mutant.tests or failing.intersection(mutant.tests):
            named = ", ".join(failing.intersection(mutant.tests)) or "none is named"
            return Outcome(mutant, "no test", f"its test does not pass without the mistake: {named}")
        path = self._tree / mutant.file
        before = path.read_bytes()
        path.write_text(mutated, encoding="utf-8")
        try:
            status, output = self._pytest(["--exitfirst", *mutant.tests], _SECONDS)
        finally:
            path.write_bytes(before)
        if status == 0:
            return Outcome(mutant, "survived", mutant.reason or "no reason is given")
        by = _FAILED.search(output)
        return Outcome(mutant, "killed", by[1] if by else output.strip().rpartition("\n")[2])

    def _pytest(self, arguments: list[str], seconds: int) -> tuple[int, str]:
        """Returns the status and the output."""
        paths = os.pathsep.join(map(str, (self._tree, self._tree / "plugins")))
        # Bytecode is known by the size and the second of its source, which one mistake may share with the next.
        environ = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"}
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--tb=line", *arguments]
        with subprocess.Popen(
            command, cwd=self._tree, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                output = process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                return -1, f"no end within {seconds} s"
            finally:
                _end(process)
            return process.returncode, output


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupts the tests if they still run, so that they end the brokers and the Wine that they started."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _is_of(name: str, test: str) -> bool:
    """Returns whether the test with this name is the given one, or one of its cases, or the whole file failed."""
    return name == test or name.startswith((test + "[", test + "::")) or name == test.split("::")[0]
