"""Every command in surroundings that are not as expected: each ends in an answer or in one line, never in a traceback.

The first command is run as users do, the others in forks of a process that was started in the surrounding.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from publisher.sources import Resync
from tests.fixtures import forked_commands
from tests.fixtures.command import ETH0, ETH0_6, Publisher
from tests.fixtures.requirements import need

if sys.platform == "win32":
    pytest.skip("users, mounts and descriptors of POSIX", allow_module_level=True)

# The exit statuses as usual: the configuration is named, except where the place of it is what matters.
COMMANDS = {
    "--version": 0,
    "plugins": 0,
    "schema config": 0,
    "init made.toml": 0,
    "check --config CONFIG": 0,
    "snapshot --config CONFIG": 0,
    "status --config CONFIG": 1,
    "dead-letters --config CONFIG": 1,
    "replay log --config CONFIG": 1,
    "watch --config CONFIG": 0,
    "record made.jsonl --config CONFIG": 0,
    "run --config CONFIG": 0,
    "snapshot": 0,
    "status": 1,
}
WRITE_HERE = ("init made.toml", "record made.jsonl --config CONFIG")
READ_ONLY = dict.fromkeys((*WRITE_HERE, "check --config CONFIG", "run --config CONFIG"), 1)
# What is not said on standard output.
SILENT = ("record made.jsonl --config CONFIG", "run --config CONFIG")
NOT_UTF8 = dict.fromkeys(("check --config CONFIG", "run --config CONFIG"), 2)


class Surrounding(NamedTuple):
    """A shell's line, in which `"$@"` is the command, and the exit statuses that differ from the usual ones."""

    line: str
    statuses: Mapping[str, int] = MappingProxyType({})


READ_ONLY_ROOT = """unshare --mount --propagation private sh -c '
for place in /tmp /var/tmp "$BELOW"; do
  mount --rbind "$place" "$place" && mount -o remount,bind,ro "$place" || exit 99
done
mount -o remount,bind,ro / || exit 99
cd "$HERE"; exec "$@"' sh "$@"
"""

SURROUNDINGS = {
    "as usual": Surrounding('exec "$@"'),
    "no variable at all": Surrounding('exec env -i "$@"'),
    "no home and an unknown user": Surrounding('exec env -i unshare --user --map-user=54321 --map-group=54321 "$@"'),
    "a working directory that was removed": Surrounding(
        'mkdir gone; cd gone; rmdir ../gone; exec "$@"', dict.fromkeys(WRITE_HERE, 1)
    ),
    "a read-only root": Surrounding(READ_ONLY_ROOT, READ_ONLY),
    "relative directories, and systemd's sockets that do not exist": Surrounding(
        "HOME='~' XDG_CONFIG_HOME=x XDG_STATE_HOME=y XDG_CONFIG_DIRS=::z TMPDIR=/nowhere "
        "NOTIFY_SOCKET=/no/where JOURNAL_STREAM=a:b WATCHDOG_USEC=x "
        'TERM=dumb LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 exec "$@"'
    ),
    "directories that are files, and variables of nonsense": Surrounding(
        "HOME=$PWD/file XDG_CONFIG_HOME=$PWD/file XDG_STATE_HOME=$PWD/file XDG_CONFIG_DIRS=/$(printf %0300d 1) "
        "NOTIFY_SOCKET=$(printf %0300d 1) JOURNAL_STREAM=: WATCHDOG_USEC=9999999999999999999 "
        'TERM= LC_ALL=xx_YY.zz LANG=no PYTHONOPTIMIZE=2 exec "$@"'
    ),
    "a variable that is no UTF-8": Surrounding(r'PUBLISHER_SINKS__LOG__KEEP=$(printf "\377") exec "$@"', NOT_UTF8),
    "few descriptors": Surrounding('ulimit -n 24; exec "$@"'),
    "no standard output": Surrounding('exec "$@" >&-'),
    "no standard streams": Surrounding('exec "$@" <&- >&- 2>&-'),
    "a full device as standard output": Surrounding(
        'exec "$@" >/dev/full', {command: 1 for command in COMMANDS if command not in SILENT}
    ),
    "a full device as standard error": Surrounding('exec "$@" 2>/dev/full'),
    # The status of the first is that of `true`; a live table ends when nobody looks at it any more.
    "a closed pipe as standard output": Surrounding(
        'exec "$@" | true',
        {command: 1 for command in COMMANDS if command not in SILENT} | {"--version": 0, "watch --config CONFIG": 0},
    ),
}


class Answer(NamedTuple):
    """The end of a command."""

    status: int
    output: str
    errors: str


@pytest.fixture
def folder(publisher: Publisher) -> Path:
    """A configuration that names everything, with a recording as its source, beside the working directory `here`."""
    here = publisher.folder / "here"
    here.mkdir()
    (here / "file").touch()
    publisher.updates(Resync((ETH0, ETH0_6), "startup"))
    (publisher.folder / "all.toml").write_text(
        f'node = "nas"\nsource = "recording:{publisher.folder}/updates.jsonl"\n'
        f'[journal]\npath = "{publisher.folder}/state/journal.sqlite3"\n'
        f'[sinks.log]\ntype = "file"\npath = "{publisher.folder}/out.jsonl"\n'
    )
    return publisher.folder


def answer(folder: Path, environment: dict[str, str], line: str, command: str) -> Answer:
    words = command.replace("CONFIG", str(folder / "all.toml")).split()
    below = {"HERE": str(folder / "here"), "BELOW": str(folder)}
    done = subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-m", "publisher", *words], cwd=folder / "here",
        env=environment | below, timeout=120, capture_output=True, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Forked:
    """The commands of a surrounding; see forked_commands."""

    def __init__(self, folder: Path, environment: dict[str, str], line: str) -> None:
        self._folder = folder
        commands, self._commands = os.pipe()
        self._statuses, statuses = os.pipe()
        self._process = subprocess.Popen(
            ["sh", "-c", line, "sh", sys.executable, "-P", forked_commands.__file__, str(commands), str(statuses)],
            cwd=folder / "here", env=environment | {"HERE": str(folder / "here"), "BELOW": str(folder)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(commands, statuses),
        )  # fmt: skip
        os.close(commands)
        os.close(statuses)

    def answer(self, command: str) -> Answer:
        """Runs a command; returns its end and what it wrote until then."""
        os.write(self._commands, command.replace("CONFIG", str(self._folder / "all.toml")).encode() + b"\n")
        output, errors = self._process.stdout, self._process.stderr
        assert output is not None
        assert errors is not None
        said = {output.fileno(): b"", errors.fileno(): b""}
        status = b""
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._statuses, *said):
                selector.register(descriptor, selectors.EVENT_READ)
            # Once it has ended, what it wrote is there: all is read that can be read at once.
            while ready := selector.select(0 if status else 120):
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fd)
                    if key.fd == self._statuses:
                        assert data, "the process of the surrounding ended"
                        status += data
                    else:
                        said[key.fd] += data
        return Answer(int(status), *(each.decode(errors="replace") for each in said.values()))

    def close(self) -> None:
        os.close(self._commands)
        self._process.communicate(timeout=60)
        os.close(self._statuses)


@contextmanager
def forked(folder: Path, environment: dict[str, str], line: str) -> Iterator[Forked]:
    surrounding = Forked(folder, environment, line)
    try:
        yield surrounding
    finally:
        surrounding.close()


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_every_command_answers_in_every_surrounding(name: str, publisher: Publisher, folder: Path) -> None:
    line = SURROUNDINGS[name].line
    if "unshare" in line:
        need("unshare", package="util-linux")
    first, *others = COMMANDS
    judge(name, first, answer(folder, publisher.environment, line, first))
    with forked(folder, publisher.environment, line) as surrounding:
        for command in others:
            judge(name, command, surrounding.answer(command))
            for made in (folder / "here").glob("made.*"):
                made.unlink()


def judge(name: str, command: str, found: Answer) -> None:
    said = f"{command}: {found}"
    assert "Traceback" not in found.output + found.errors, said
    assert "bug in publisher" not in found.errors, said
    assert found.status == SURROUNDINGS[name].statuses.get(command, COMMANDS[command]), said
    if found.status and not command.startswith("run"):
        assert found.errors.count("\n") <= 1, said


def test_nothing_is_printed_into_a_file_that_took_the_place_of_a_closed_stream(
    publisher: Publisher, folder: Path
) -> None:
    """The sink writes to standard output, whose number the journal's lock file would have without a null device."""
    lines = (folder / "all.toml").read_text().replace(f"{folder}/out.jsonl", "-")
    (folder / "all.toml").write_text(lines)
    found = answer(folder, publisher.environment, 'exec "$@" <&- >&- 2>&-', "run --config CONFIG")
    assert found == Answer(0, "", "")
    for path in (folder / "state").iterdir():
        assert b"eth0" not in path.read_bytes() or path.name == "journal.sqlite3", path
    assert (folder / "state" / "journal.sqlite3.lock").read_text().strip().isdigit()
