"""The log: its styles, the secrets that it masks, and the failures that it survives."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest
from pydantic import BaseModel, SecretStr

from publisher.service.logs import JsonFormatter, ReadableFormatter, Secrets, logging_to
from publisher.sink import SinkLog

LOG = logging.getLogger("publisher")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def logging_into(stream: TextIO | None, secrets: Secrets | None = None, **options: Any) -> Iterator[logging.Logger]:
    with logging_to(stream, secrets or Secrets(), **options):
        yield LOG


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_without_a_terminal_each_line_is_json() -> None:
    stream = io.StringIO()
    with logging_into(stream) as log:
        log.info("%d interfaces, first %s", 3, "größe")
        SinkLog(log, "home").warning("slow: %.1f s", 2.5)
    first, second = entries(stream)
    assert first.pop("timestamp").endswith("Z")
    assert first == {"level": "info", "logger": "publisher", "message": "3 interfaces, first größe"}
    assert (second["message"], second["level"], second["sink"]) == ("sink 'home': slow: 2.5 s", "warning", "home")


def test_on_a_terminal_lines_are_readable() -> None:
    stream = Terminal()
    with logging_into(stream, colours=False) as log:
        log.info("journal %s", "/x y")
        SinkLog(log, "home").warning("slow")
    first, second = stream.getvalue().splitlines()
    assert first[8:] == " info    journal /x y"
    assert second[8:] == " warning sink 'home': slow"


def test_colours_are_for_terminals_that_want_them() -> None:
    for stream, colours, expected in (
        (Terminal(), True, True),
        (Terminal(), False, False),
        (io.StringIO(), True, False),
    ):
        with logging_into(stream, style="console", colours=colours) as log:
            log.error("x")
        assert ("\x1b[31m" in stream.getvalue()) is expected


@pytest.mark.parametrize(
    ("stream", "style", "is_json"), [(Terminal(), "json", True), (io.StringIO(), "console", False)]
)
def test_the_style_can_be_chosen(stream: io.StringIO, style: Any, is_json: bool) -> None:
    with logging_into(stream, style=style) as log:
        log.info("started")
    assert stream.getvalue().startswith("{") is is_json


def test_only_the_wanted_levels_are_written() -> None:
    stream = io.StringIO()
    with logging_into(stream, level="error") as log:
        log.warning("no")
        logging.getLogger("some.library").warning("no")
        log.error("yes")
    with logging_into(stream, level="debug") as log:
        log.debug("yes")
        logging.getLogger("some.library").info("no")
    assert [entry["message"] for entry in entries(stream)] == ["yes", "yes"]


def test_afterwards_nothing_is_written_any_more() -> None:
    stream = io.StringIO()
    before = logging.getLogger().level, LOG.level, list(logging.getLogger().handlers)
    with logging_into(stream, level="debug"):
        pass
    LOG.error("after the end")
    assert stream.getvalue() == ""
    assert before == (logging.getLogger().level, LOG.level, list(logging.getLogger().handlers))


class Options(BaseModel):
    url: str = "mqtt://x"
    password: SecretStr = SecretStr("hunter2hunter2")
    tokens: list[SecretStr] = [SecretStr("tok-123456")]
    pin: SecretStr = SecretStr("4711")
    quoted: SecretStr = SecretStr('pa"ss\\word')
    short: SecretStr = SecretStr("a")


SECRETS = ("hunter2", "tok-123456", "p4ss", "4711", "word")


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_never_appear(style: Any) -> None:
    stream = io.StringIO()
    secrets = Secrets()
    secrets.learn([Options()])
    with logging_into(stream, secrets, style=style) as log:
        try:
            raise ValueError("refused: hunter2hunter2 and tok-123456")
        except ValueError:
            log.exception("failed with %s", "hunter2hunter2")
        log.info("the pin is 4711, and %r", {"a": ["tok-123456"]})
        log.info("quoted: %s", 'pa"ss\\word')
        log.info("mqtt://me:p4ss@host/x and https://host/hook?token=p4ss&a=1")
        log.info("see wss://u:p4ss@h and ?access_token=p4ss")
        SinkLog(log, "hook").warning("answered %s", "4711")
        logging.getLogger("some.library").warning("header: %s", "tok-123456")
    # The digits of a moment can be those of a secret.
    written = re.sub(r'"timestamp": "[^"]+"', "", stream.getvalue())
    for secret in SECRETS:
        assert secret not in written
    assert "mqtt://me:***@host/x" in written
    assert "https://host/hook?token=***&a=1" in written
    assert "the pin is ***, and" in written
    assert "quoted: ***" in written


def test_a_secret_that_is_part_of_ordinary_words_masks_nothing() -> None:
    secrets = Secrets()
    secrets.learn([Options(short=SecretStr("the"))])
    assert secrets.mask("the other") == "the other"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    hidden = "local-" + "value"
    with logging_into(stream, colours=False) as log:
        try:
            raise ValueError("wrong" + hidden[:0])
        except ValueError:
            log.exception("failed")
    assert "ValueError: wrong" in stream.getvalue()
    assert "Traceback" in stream.getvalue()
    assert "local-value" not in stream.getvalue()


def test_a_terminal_shows_control_characters_instead_of_obeying_them() -> None:
    # Formatted without a logger: pytest's own handler cannot pass on a lone surrogate.
    record = logging.LogRecord("publisher", logging.INFO, "", 0, "interface %s", ("\x1b[2Jx\x07\udcff",), None)
    line = ReadableFormatter(Secrets(), colours=False).format(record)
    assert line[8:] == " info    interface \\x1b[2Jx\\x07\\udcff"


def test_no_text_of_others_looks_like_an_entry() -> None:
    stream = Terminal()
    with logging_into(stream, colours=False) as log:
        log.info("interface %s", "eth0\n12:00:00 error   forged")
    _, forged = stream.getvalue().splitlines()
    assert forged == "    12:00:00 error   forged"


def journal_lines(tmp_path: Path, stream_of: str = "", **options: Any) -> list[str]:
    """The lines written to a file, when JOURNAL_STREAM names it or `stream_of`."""
    path = tmp_path / "stderr"
    with path.open("w") as stream:
        status = os.fstat(stream.fileno())
        journal = stream_of or f"{status.st_dev}:{status.st_ino}"
        with logging_into(stream, level="debug", environment={"JOURNAL_STREAM": journal}, **options) as log:
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
                log.log(level, "x")
            log.warning("two\nlines")
    return path.read_text().splitlines()


def test_under_systemds_journal_each_line_has_a_priority(tmp_path: Path) -> None:
    lines = journal_lines(tmp_path)
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<4>"]
    assert json.loads(lines[2][3:])["message"] == "x"
    assert [line[:3] for line in journal_lines(tmp_path, style="console")[-2:]] == ["<4>", "<4>"]


def test_a_stream_that_is_not_the_journals_has_no_priorities(tmp_path: Path) -> None:
    assert all(line.startswith("{") for line in journal_lines(tmp_path, stream_of="1:1"))


class Broken(io.StringIO):
    """A stream that cannot be written, in one way after the other."""

    def __init__(self, *reasons: Exception) -> None:
        super().__init__()
        self.reasons = iter(reasons)

    def write(self, _: str) -> int:
        raise next(self.reasons)


def test_a_log_that_cannot_be_written_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Broken(BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file"))
    with logging_into(stream) as log:
        for _ in range(3):
            log.info("x")
    assert next(stream.reasons, None) is None
    closed = io.StringIO()
    closed.close()
    with logging_into(closed) as log:
        log.info("x")
    assert capsys.readouterr() == ("", "")


class Unprintable:
    """An object of a plugin that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "argument", "shown"),
    [
        ("answered %s", Unprintable(), "answered %s (its arguments cannot be shown: RuntimeError)"),
        ("%d rows", "no number", "%d rows (its arguments cannot be shown: TypeError)"),
    ],
)
def test_an_argument_that_cannot_be_shown_ends_nothing(message: str, argument: object, shown: str) -> None:
    record = logging.LogRecord("publisher", logging.INFO, "", 0, message, (argument,), None)
    assert json.loads(JsonFormatter(Secrets()).format(record))["message"] == shown


def test_the_log_of_libraries_and_pythons_warnings_are_included() -> None:
    stream = io.StringIO()
    with logging_into(stream):
        logging.getLogger("some.library").info("quiet")
        logging.getLogger("some.library").warning("pool is %s", "full")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("outdated", RuntimeWarning, stacklevel=1)
    first, second = entries(stream)
    assert (first["logger"], first["level"], first["message"]) == ("some.library", "warning", "pool is full")
    assert second["logger"] == "py.warnings"
    assert "RuntimeWarning: outdated" in second["message"]
    terminal = Terminal()
    with logging_into(terminal, colours=False):
        logging.getLogger("some.library").warning("bad")
    assert terminal.getvalue()[8:] == " warning some.library: bad\n"


def test_a_process_without_standard_error_logs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_into(None) as log:
        log.error("x")
    assert capsys.readouterr() == ("", "")
