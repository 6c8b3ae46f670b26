"""Bytes of files and of the environment: the configuration, a recording, and what stands where the journal should."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from publisher.config.locations import Locations
from publisher.config.settings import load_settings, sink_options
from publisher.errors import ConfigurationError, JournalError, SourceError
from publisher.journal.journal import Journal
from publisher.journal.recognition import recognise
from publisher.plugins import Plugins, load_plugins
from publisher.sources import Remove, Resync, Update, Upsert
from publisher.sources.recording import Header, read_recording, write_recording
from publisher.testing import make_row


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@cache
def _plugins() -> Plugins:
    return load_plugins()


def configuration(data: bytes) -> None:
    """Reads a configuration, and the options of its sinks; raises ConfigurationError."""
    path = _folder() / "publisher.toml"
    path.write_bytes(data)
    sink_options(load_settings(path, Locations("nas", (), (_folder(),))), _plugins())


def configuration_seeds() -> Iterator[bytes]:
    yield from (block.encode() for block in _documented())


def _documented() -> Iterator[str]:
    """Yields the configurations that the documents show."""
    for document in sorted((Path(__file__).parents[2] / "docs").glob("*.md")):
        parts = document.read_text(encoding="utf-8").split("```toml\n")[1:]
        yield from (part.partition("```")[0] for part in parts)


def environment(data: bytes) -> None:
    """Reads an environment: lines of a name, an equals sign, and a value. Raises ConfigurationError."""
    lines = (line.partition("=") for line in data.decode(errors="replace").split("\n"))
    given = {f"PUBLISHER_{name}": value for name, _, value in lines}
    sink_options(load_settings(None, Locations("nas", (), (_folder(),), given)), _plugins())


def environment_seeds() -> Iterator[bytes]:
    yield b"NODE=nas\nSINKS__HOME__TYPE=mqtt\nSINKS__HOME__URL=mqtt://broker.lan\nFILTER__EXCLUDE=lo,veth*"
    yield b'JOURNAL__MAX_BYTES=9999999\nSINKS__A__TYPE=webhook\nSINKS__A__URL=https://x\nSINKS__A__ONLY={"kinds":["added"]}'
    yield b'SINKS__A__TYPE=file\nSINKS__A__PATH=x\nSINKS__A__ONLY__INTERFACES=["eth0"]\nLOG__LEVEL=debug'


def recording(data: bytes) -> None:
    """Reads a recording; raises SourceError."""
    path = _folder() / "recording"
    path.write_bytes(data)
    list(read_recording(path))


def recording_seeds() -> Iterator[bytes]:
    path = _folder() / "seed"
    row = make_row(addresses=["192.0.2.10/24"], default_routes=["192.0.2.1"])
    changes: list[Update] = [Upsert(make_row(nl_mtu=1400)), Remove(row.luid, row.family)]
    with path.open("wb") as file:
        list(write_recording(file, Header(platform="linux", recorder="0.1.0"), [[Resync((row,), "startup")], changes]))
    yield path.read_bytes()


def journal(data: bytes) -> None:
    """Recognises and opens what stands where the journal should be; raises JournalError."""
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    path = folder / "journal"
    before, _, log = data.partition(b"\x1e-wal\x1e")
    path.write_bytes(before)
    if log:
        path.with_name("journal-wal").write_bytes(log)
    try:
        recognise(path)
        with_all = Journal.open(path, node="nas")
        with_all.rows()
        with_all.close()
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def journal_seeds() -> Iterator[bytes]:
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    opened = Journal.open(folder / "journal", node="nas")
    opened.replace_rows([make_row()])
    whole = (folder / "journal").read_bytes() + b"\x1e-wal\x1e" + (folder / "journal-wal").read_bytes()
    opened.close()
    yield whole
    yield (folder / "journal").read_bytes()
    yield b"SQLite format 3\0" + bytes(84)


CONFIGURATION_ERRORS = (ConfigurationError,)
RECORDING_ERRORS = (SourceError,)
JOURNAL_ERRORS = (JournalError,)
