"""The log: its two styles, what it never says, and what cannot harm it."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from publisher.service.logs import Bridge, Secrets, make_log, printable


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_without_a_terminal_each_line_is_json() -> None:
    stream = io.StringIO()
    log = make_log(stream, Secrets())
    log.info("started", alias="größe", count=3)
    log.bind(sink="home").warning("slow")
    first, second = entries(stream)
    assert {"event": "started", "level": "info", "alias": "größe", "count": 3}.items() <= first.items()
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"], second["sink"]) == ("slow", "warning", "home")


def test_on_a_terminal_lines_are_readable() -> None:
    stream = Terminal()
    make_log(stream, Secrets(), colors=False).info("started", journal="/x y")
    [line] = stream.getvalue().splitlines()
    assert "started" in line
    assert "journal='/x y'" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("stream", "style", "is_json"), [(Terminal(), "json", True), (io.StringIO(), "console", False)]
)
def test_the_style_can_be_chosen(stream: io.StringIO, style: Any, is_json: bool) -> None:
    make_log(stream, Secrets(), style=style).info("started")
    assert stream.getvalue().startswith("{") is is_json


def test_only_the_wanted_levels_are_written() -> None:
    stream = io.StringIO()
    log = make_log(stream, Secrets(), level="warning")
    log.info("no")
    log.warning("yes")
    log.error("yes")
    assert [entry["event"] for entry in entries(stream)] == ["yes", "yes"]


class Options(BaseModel):
    url: str = "mqtt://x"
    password: SecretStr = SecretStr("hunter2hunter2")
    tokens: list[SecretStr] = [SecretStr("tok-123456")]
    short: SecretStr = SecretStr("a")


def test_secrets_never_appear() -> None:
    stream = io.StringIO()
    secrets = Secrets()
    secrets.learn([Options()])
    log = make_log(stream, secrets)
    try:
        raise ValueError("refused: hunter2hunter2 and tok-123456")
    except ValueError:
        log.exception("failed with hunter2hunter2", options=Options(), raw={"a": ["tok-123456"]})
    log.info("x", password="p4ss", api_key="p4ss", headers={"Authorization": "p4ss"}, url="mqtt://me:p4ss@host/x")
    log.info("x", url="https://host/hook?token=p4ss&a=1", text="see wss://u:p4ss@h and ?access_token=p4ss")
    written = stream.getvalue()
    for secret in ("hunter2", "tok-123456", "p4ss"):
        assert secret not in written
    assert "mqtt://me:***@host/x" in written
    assert "https://host/hook?token=***&a=1" in written
    assert '"a"' in written, "a secret of one letter masks nothing"


def test_a_traceback_is_told_without_local_variables() -> None:
    for stream in (io.StringIO(), Terminal()):
        log = make_log(stream, Secrets(), colors=False)
        hidden = "local-value"
        try:
            raise ValueError("wrong" + hidden[:0])
        except ValueError:
            log.exception("failed")
        assert "ValueError: wrong" in stream.getvalue()
        assert "Traceback" in stream.getvalue()
        assert "local-value" not in stream.getvalue().replace('hidden = "local-value"', "")


def test_a_terminal_shows_control_characters_instead_of_obeying_them() -> None:
    stream = Terminal()
    make_log(stream, Secrets(), colors=False).info("interface \x1b[2Jx", alias="a\x07\udcff")
    assert "\x1b" not in stream.getvalue()
    assert "\\x1b[2Jx" in stream.getvalue()
    assert printable("a\tb\nü\x9b\udcff") == "a\\tb\nü\\x9b\\udcff"


class Broken(io.StringIO):
    """A stream that cannot be written, in one way after the other."""

    def __init__(self, *reasons: Exception) -> None:
        super().__init__()
        self.reasons = iter(reasons)

    def write(self, _: str) -> int:
        raise next(self.reasons)


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    stream = Broken(BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file"))
    log = make_log(stream, Secrets())
    for _ in range(3):
        log.info("x")
    assert next(stream.reasons, None) is None


def test_what_libraries_log_is_in_our_log() -> None:
    stream = io.StringIO()
    bridge = Bridge(make_log(stream, Secrets()))
    library = logging.getLogger("some.library")
    library.addHandler(bridge)
    library.propagate = False
    try:
        library.info("quiet")
        library.warning("pool is %s", "full")
        library.error("bad")
    finally:
        library.removeHandler(bridge)
    assert [(entry["event"], entry["level"], entry["library"]) for entry in entries(stream)] == [
        ("pool is full", "warning", "some.library"),
        ("bad", "error", "some.library"),
    ]


def test_values_that_json_does_not_know_are_text() -> None:
    stream = io.StringIO()
    make_log(stream, Secrets()).info("x", path=sys, names={"b"}, nothing=None, yes=True)
    [entry] = entries(stream)
    assert "module 'sys'" in entry["path"]
    assert (entry["names"], entry["nothing"], entry["yes"]) == (["b"], None, True)
