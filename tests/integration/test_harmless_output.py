"""Whatever comes from outside, no command shows a control character of it: each runs as a real process.

Hostile are the names of real interfaces, a server's answers, a plugin with its metadata, and all that anybody can
publish at a broker.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from publisher.events import Change
from publisher.testing import make_event, make_row
from publisher_mqtt.messages import state_bytes
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command import Publisher
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port
from tests.fixtures.webhook_server import Behaviour, Exchange, raw, receiving

if sys.platform == "win32":
    pytest.skip("only Linux has network namespaces", allow_module_level=True)

# A title, a clear screen, C1's CSI, an override of direction, a line separator, DEL, and rich's markup.
EVIL = "\x1b]0;PWN\x07\x1b[2J\x9b5m\u202e\u2028\x7f\rX[red]y[/red][link=http://x]z"
NAMES = [
    b"t\x1b]0;PWN\x07",
    b"s\x1b[5m",
    b"c\xc2\x9b5m",
    b"r\x9b5m",  # the byte itself, which is no UTF-8
    b"b\xe2\x80\xaegnp",
    b"l\xe2\x80\xa8x",
    b"d\x7f",
    b"[red]x",
    b"[link=x]y",
]
PLUGIN = f"""
from publisher import Ended, Rejected, Retry, Sink, hookimpl
EVIL = {EVIL!r}

class EvilSink(Sink):
    def open(self):
        self.context.log.warning("%s", EVIL)
        self.calls = 0
    def publish(self, events):
        self.calls += 1
        if self.calls < 3:
            raise Rejected(EVIL)
        if self.calls == 3:
            raise RuntimeError(EVIL)
        raise Retry(EVIL)
    def check(self):
        raise RuntimeError(EVIL)

class ChattySink(EvilSink):
    def check(self):
        return EVIL

EvilSink.__doc__ = ChattySink.__doc__ = EVIL

@hookimpl
def publisher_sinks():
    return {{"evil": EvilSink, "chatty": ChattySink, "n" + EVIL: EvilSink}}
"""


def assert_harmless(output: bytes | str, what: str) -> None:
    """Fails for a character that is not printable, but line feeds; for bytes that are no UTF-8, too."""
    text = output.decode() if isinstance(output, bytes) else output
    raw_ones = {character for character in text if not character.isprintable() and character != "\n"}
    assert not raw_ones, f"{what}: {raw_ones} in {text[-2000:]!r}"


@pytest.fixture
def evil(publisher: Publisher) -> Publisher:
    """A publisher with a hostile plugin, and one that cannot be imported."""
    site = publisher.folder / "site"
    for name, code in (("evil", PLUGIN), ("broken", f"raise ImportError({EVIL!r})")):
        info = site / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(code, encoding="utf-8")
        # No line feed of any kind: it would end the header.
        author = EVIL.replace("\r", "").replace("\u2028", "")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}{author}\nVersion: 1{author}\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[publisher]\n{name} = {name}\n")
    publisher.environment |= {"PYTHONPATH": str(site)}
    return publisher


def add_interfaces(netns: NetNs) -> None:
    netns.ip("link set lo up")
    for name in NAMES:
        netns.call(_ip, b"link", b"add", name, b"type", b"ifb")
        netns.call(_ip, b"link", b"set", name, b"alias", b"\x1b]0;PWN\x07\xc2\x9b5m")


def _ip(*words: bytes) -> None:
    subprocess.run([b"ip", *words], check=True)


def hostile_answer(status: bytes = b"400") -> Behaviour:
    """Answers with a status line, a header and a body of control characters."""
    evil = EVIL.replace("\r", "").encode()
    body = evil * 3

    def behave(exchange: Exchange) -> None:
        head = b"HTTP/1.1 %b %b\r\nX-%b: %b\r\nContent-Length: %d\r\n\r\n" % (status, evil, b"A", evil, len(body))
        exchange.send(head + body)

    return behave


def run_for(publisher: Publisher, *arguments: str, until: str = "", **environment: str) -> tuple[bytes, bytes]:
    """Runs a command that goes on, until `until` is in its output; ends it as Ctrl+C does; returns all output."""
    out, err = publisher.folder / "stdout", publisher.folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "publisher", *arguments],
            cwd=publisher.folder,
            env=publisher.environment | environment | {"PYTHONFAULTHANDLER": "1"},
            stdout=stdout,
            stderr=stderr,
        )
        try:
            wait_for(lambda: until.encode() in out.read_bytes() + err.read_bytes(), what=f"{until!r} of {arguments}")
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER: shows where each thread is
                process.wait(30)
                raise AssertionError(f"{arguments} goes on after SIGINT: {err.read_bytes().decode()}") from None
        finally:
            process.kill()
            process.wait()
    return out.read_bytes(), err.read_bytes()


CONFIGURATION = """
node = "nas"
source = "linux"
[journal]
path = "journal.sqlite3"
{sinks}
"""


def configure(publisher: Publisher, sinks: str) -> None:
    (publisher.folder / "publisher.toml").write_text(CONFIGURATION.format(sinks=sinks), encoding="utf-8")


def table(name: str, **options: object) -> str:
    values = (f"{key} = {json.dumps(value)}" for key, value in options.items())
    return f"[sinks.{name}]\n" + "\n".join(values) + "\n"


@pytest.mark.parametrize("style", ["console", "json"])
def test_the_service_and_what_tells_about_it(inside_netns: NetNs, evil: Publisher, style: str) -> None:
    add_interfaces(inside_netns)
    port = free_port()
    with ExitStack() as around:
        refuses = around.enter_context(receiving(always=hostile_answer()))
        garbage = around.enter_context(receiving(always=raw(EVIL.encode() + b"\r\n\r\n")))
        fails = around.enter_context(receiving(always=hostile_answer(b"503")))
        configure(
            evil,
            table("terminal", type="terminal")
            + table("lines", type="file", path="-")
            + table("evil", type="evil")
            + table("refuses", type="webhook", url=refuses.url)
            + table("garbage", type="webhook", url=garbage.url)
            + table("fails", type="webhook", url=fails.url)
            + f'[metrics]\naddress = "127.0.0.1:{port}"\n[log]\nformat = "{style}"\nlevel = "debug"\n',
        )
        out, err = evil.folder / "run.out", evil.folder / "run.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "publisher", "run"],
                cwd=evil.folder,
                env=evil.environment,
                stdout=stdout,
                stderr=stderr,
            )
        around.callback(process.wait, 30)
        around.callback(process.send_signal, signal.SIGINT)
        shown = wait_for(lambda: _status_with_errors(evil), what="errors of all sinks")
        assert_harmless(shown, "status")
        assert_harmless(evil("status", "--json", status=1).stdout, "status --json")
        wait_for(lambda: evil("dead-letters").stdout.count("\n") >= 4, what="dead letters")
        letters = evil("dead-letters")
        assert "PWN" in letters.stdout
        assert_harmless(letters.stdout + letters.stderr, "dead-letters")
        inside_netns.call(_ip, b"link", b"set", NAMES[0], b"up")
        happened = wait_for(lambda: _shown_history(evil), what="a change in the journal")
        assert "PWN" in happened
        assert_harmless(happened + evil("history", "t*", "--json").stdout, "history")
        numbers = [line.split()[0] for line in letters.stdout.splitlines()]
        for number in (numbers[1], numbers[-1]):
            one = evil("dead-letters", "--show", number)
            assert_harmless(one.stdout + one.stderr, "dead-letters --show")
            assert json.loads(one.stdout)["node"] == "nas"
        done = evil("replay", "refuses")
        assert_harmless(done.stdout + done.stderr, "replay")
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as metrics:
            assert_harmless(metrics.read(), "metrics")
        wait_for(lambda: b"PWN" in out.read_bytes() and b"PWN" in err.read_bytes(), what="names in output and log")
    assert_harmless(out.read_bytes(), "run")
    assert_harmless(err.read_bytes(), "the log")
    assert b"[red]x" in out.read_bytes()


def _shown_history(evil: Publisher) -> str:
    done = evil("history", "t*")
    return done.stdout + done.stderr if done.returncode == 0 and "nothing happened" not in done.stdout else ""


def _status_with_errors(evil: Publisher) -> str:
    done = evil.run(("status",), evil.environment)
    text = done.stdout + done.stderr
    return text if text.count("PWN") >= 3 else ""


def test_commands_that_end_by_themselves(inside_netns: NetNs, evil: Publisher) -> None:
    add_interfaces(inside_netns)
    with ExitStack() as around:
        answers = around.enter_context(receiving(always=hostile_answer()))
        garbage = around.enter_context(receiving(always=raw(b"HTTP/1.1 " + EVIL.encode() + b"\r\n\r\n")))
        noise = around.enter_context(receiving(always=raw(EVIL.encode() + b"\r\n\r\n")))
        configure(
            evil,
            table("answers", type="webhook", url=answers.url)
            + table("garbage", type="webhook", url=garbage.url)
            + table("noise", type="webhook", url=noise.url)
            + table("secure", type="webhook", url=noise.url.replace("http:", "https:"))
            + table("evil", type="evil")
            + table("chatty", type="chatty"),
        )
        for arguments, status, expected in (
            (["check"], 1, "PWN"),
            (["plugins"], 1, "PWN"),
            (["snapshot"], 0, "PWN"),
            (["snapshot", "--json"], 0, "PWN"),
            (["schema", "config"], 0, "PWN"),
            (["schema", "event"], 0, "{"),
            (["init", "new.toml"], 0, "written"),
        ):
            done = evil(*arguments, status=status)
            assert expected in done.stdout + done.stderr, arguments
            assert_harmless(done.stdout, " ".join(arguments))
            assert_harmless(done.stderr, " ".join(arguments))
    configure(evil, table("x", type=EVIL, path="-"))
    done = evil("check", status=2)
    assert_harmless(done.stdout + done.stderr, "an error in the configuration")


def test_watching_this_host(inside_netns: NetNs, evil: Publisher) -> None:
    add_interfaces(inside_netns)
    configure(evil, "")
    out, err = run_for(evil, "watch", "--lines", until="[red]x")
    assert b"PWN" in out
    assert_harmless(out, "watch --lines")
    assert_harmless(err, "watch --lines")
    shown = on_terminal(evil, "watch", until=b"[red]x")
    assert b"PWN" in shown
    assert_only_codes_of_the_table(shown)


def on_terminal(publisher: Publisher, *arguments: str, until: bytes) -> bytes:
    """Runs a command on a terminal until `until` is shown; returns all that it wrote there."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (50, 200))
        process = subprocess.Popen(
            [sys.executable, "-m", "publisher", *arguments],
            cwd=publisher.folder,
            env=publisher.environment | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while until not in shown and time.monotonic() < deadline:
            shown += terminal.read(65536)
        process.send_signal(signal.SIGINT)
        try:
            while piece := terminal.read(65536):
                shown += piece
        except OSError:  # EIO: the other side is closed
            pass
    process.wait(30)
    return shown


def assert_only_codes_of_the_table(shown: bytes) -> None:
    """Fails for a control character or a sequence that the table does not write by itself: colours, cursor moves."""
    text = shown.decode()
    assert "\x1b[5m" not in text
    rest = re.sub(r"\x1b\[\??[0-9;]*[A-HJKhlm]", "", text)
    assert_harmless(rest.replace("\r", ""), "watch on a terminal")


def planted(client: str) -> Iterator[tuple[str, bytes]]:
    """Yields topics and payloads that anybody may publish: what a publisher would, with hostile texts, and nonsense."""
    row = make_row(EVIL, interface={"description": EVIL, "kind": EVIL})
    # mosquitto refuses control characters in topics; it does not look at those of direction.
    for node in ("plain", "n\u202ed", "[red]n[/red]"):
        event = make_event(1, row=row, node=node, changed={f"addresses.{EVIL}": Change(before=EVIL, after=[EVIL])})
        info = {"epoch": event.epoch, "seq": 1, "rows": 1, "version": EVIL, "os": EVIL}
        yield f"interfaces/{node}/status", b"online"
        yield f"interfaces/{node}/{event.luid}/inet/state", state_bytes(event)
        yield f"interfaces/{node}/{event.luid}/inet/event", event.json_bytes
        yield f"interfaces/{node}/replay/{client}", json.dumps({"error": EVIL}).encode()
        yield f"interfaces/{node}/info", json.dumps(info).encode()
        yield f"interfaces/{node}/{EVIL.encode().hex()[:16]}/inet/state", EVIL.encode()
        yield f"interfaces/{node}/{'0' * 16}/inet/event", EVIL.encode()


def test_watching_a_broker(inside_netns: NetNs, evil: Publisher, tmp_path: Path) -> None:
    inside_netns.ip("link set lo up")
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as broker:
        publisher = Client(CallbackAPIVersion.VERSION2)
        publisher.connect("127.0.0.1", broker.port)
        publisher.loop_start()
        try:
            for topic, payload in planted("x"):
                publisher.publish(topic, payload, qos=1, retain=True).wait_for_publish(20)
            configure(evil, "")
            out, err = run_for(evil, "watch", broker.url, until="PWN")
            assert b"PWN" in out
            assert_harmless(out, "watch mqtt://")
            assert_harmless(err, "watch mqtt://")
            shown = on_terminal(evil, "watch", broker.url, until=b"PWN")
            assert_only_codes_of_the_table(shown)
        finally:
            publisher.disconnect()
            publisher.loop_stop()


def test_an_unexpected_exception_of_a_command_is_harmless_too(evil: Publisher) -> None:
    code = (
        "from publisher.cli import app, commands\ndef fail(**_): raise RuntimeError("
        + repr(EVIL)
        + ")\ncommands.app = fail\napp.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=evil.environment, cwd=evil.folder, capture_output=True)
    assert done.returncode == 1
    assert b"PWN" in done.stderr
    assert_harmless(done.stderr, "a traceback")
