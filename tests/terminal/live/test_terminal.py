"""`publisher watch` in a real terminal: its keys, its size, and the terminal as it was, whatever ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest
from rich.cells import cell_len

from publisher.sources import Remove, Resync, Update, Upsert
from publisher.testing import make_row
from tests.fixtures.brokers import Mosquitto
from tests.fixtures.command import ETH0, ETH0_6, FILE_SINK, FOREVER, WLAN0, Publisher, events_in, has_reported
from tests.fixtures.mqtt_host import MqttHost
from tests.fixtures.pictures import DOWN, HOME, UP
from tests.fixtures.poll import wait_for
from tests.fixtures.tmux import Terminal

if sys.platform == "win32":
    pytest.skip("tmux is not on Windows", allow_module_level=True)

WATCH = (sys.executable, "-m", "publisher", "watch")


@pytest.fixture
def terminal(publisher: Publisher) -> Iterator[Terminal]:
    terminal = Terminal(publisher.folder, publisher.environment)
    yield terminal
    terminal.close()


@pytest.fixture
def watching(publisher: Publisher, terminal: Terminal) -> Callable[..., str]:
    """Returns a function that starts `publisher watch` with these updates, and waits for the table."""

    def start(*updates: Update, last_at: float = FOREVER, before: str = "") -> str:
        begin = updates or (Resync((ETH0, ETH0_6, WLAN0), "startup"), Remove(WLAN0.luid, "inet"))
        publisher.updates(*begin, last_at=last_at)
        publisher.configure('node = "nas"')
        terminal.run(before, *WATCH)
        # A remark, such as that the source has ended, takes the place of the keys.
        is_shown = re.compile("q quit|has ended").search
        return terminal.wait(lambda screen: is_shown(screen) and "reading" not in screen)

    return start


def test_the_table_and_its_keys(watching: Callable[..., str], terminal: Terminal) -> None:
    screen = watching(Resync(HOME, "startup"), Remove(HOME[4].luid, "inet"))
    assert [line.split()[0] for line in screen.splitlines()[2:7]] == ["eth0", "eth2", "eth10", "lo", "▸"]
    assert "192.168.178.100/24" in screen
    terminal.press("c")
    terminal.wait(lambda screen: "veth1b" in screen)
    terminal.press("/", "e", "t", "h", "*", "Enter")
    terminal.wait(lambda screen: "3 of 6 interfaces" in screen and "veth1b" not in screen)
    terminal.press("Escape")
    terminal.wait(lambda screen: "veth1b" in screen)
    terminal.press("Down", "Down", "Enter")
    terminal.wait(lambda screen: screen.startswith(" eth10\n") and "History" in screen)
    terminal.press("?")
    terminal.wait(lambda screen: "Ctrl+C" in screen)
    terminal.press("Escape", "Escape", "s", "p")
    terminal.wait(lambda screen: screen.splitlines()[0].endswith(" paused"))
    terminal.press("q")
    assert "Interface" not in terminal.wait(lambda screen: screen.endswith("$"))


def test_each_of_a_thousand_interfaces_is_reachable(watching: Callable[..., str], terminal: Terminal) -> None:
    rows = tuple(make_row(f"eth{number}", index=number + 1) for number in range(1000))
    watching(Resync(rows, "startup"), Remove(ETH0.luid, "inet"))
    terminal.press("End")
    terminal.wait(lambda screen: "\neth999 " in screen and "980-1000 of 1000" in screen)
    terminal.press("PageUp", "Home", "PageDown")
    terminal.wait(lambda screen: "\neth40 " in screen)
    terminal.press("/", "7", "7", "7")
    terminal.wait(lambda screen: "\neth777 " in screen and "\neth40 " not in screen)


ENDS: dict[str, Callable[[Terminal], object]] = {
    "q": lambda terminal: terminal.press("q"),
    "Ctrl+C": lambda terminal: terminal.press("C-c"),
    "SIGTERM": lambda terminal: terminal.program.send_signal(signal.SIGTERM),
    "SIGHUP": lambda terminal: terminal.program.send_signal(signal.SIGHUP),
    "SIGQUIT": lambda terminal: terminal.press("C-\\"),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_terminal_is_as_it_was(how: str, watching: Callable[..., str], terminal: Terminal) -> None:
    terminal.run("stty -a > before; echo the line before")
    terminal.wait(lambda screen: screen.endswith("\n$"))
    before, state = terminal.screen, terminal.state
    watching()
    assert terminal.state != state
    ENDS[how](terminal)
    screen = terminal.wait(lambda screen: screen.endswith("\n$") and "the line before" in screen)
    assert screen.startswith(before)
    assert "Interface" not in screen
    assert terminal.state == state
    terminal.run("stty -a > after; cmp before after && echo the same")
    terminal.wait(lambda screen: "\nthe same" in screen)


def test_an_error_is_told_on_the_terminal_as_it_was(terminal: Terminal, publisher: Publisher) -> None:
    state = terminal.state
    with piped(publisher, Resync((ETH0,), "startup")) as recording:
        terminal.run(*WATCH)
        terminal.wait(lambda screen: "q quit" in screen and "reading" not in screen)
        recording.write(b"{}\n")
    screen = terminal.wait(lambda screen: screen.endswith("\n$"))
    assert "updates.jsonl:3: invalid line" in screen.replace("\n", "")
    assert terminal.state == state


@contextmanager
def piped(publisher: Publisher, *updates: Update) -> Iterator[IO[bytes]]:
    """Yields a recording of these updates that is a pipe, and goes on with what is written there."""
    publisher.updates(*updates)
    publisher.configure('node = "nas"')
    path = publisher.folder / "updates.jsonl"
    begin = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    with path.open("r+b", buffering=0) as pipe:
        pipe.write(begin)
        yield pipe


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(watching: Callable[..., str], terminal: Terminal) -> None:
    state = terminal.state
    watching()
    taken = terminal.state
    for _ in range(2):
        terminal.press("C-z")
        terminal.wait(lambda screen: "Stopped" in screen and screen.endswith("$"))
        assert terminal.state == state
        terminal.run("clear; stty -a")
        terminal.wait(lambda screen: " icanon" in screen and " echo " in screen)
        terminal.run("fg")
        terminal.wait(lambda screen: "q quit" in screen and "eth0" in screen)
        assert terminal.state == taken
    terminal.press("?")
    terminal.wait(lambda screen: "Ctrl+C" in screen)
    process = terminal.program
    process.send_signal(signal.SIGSTOP)
    terminal.wait(lambda screen: "Stopped" in screen)
    terminal.run("fg")
    terminal.wait(lambda screen: "Ctrl+C" in screen and "Stopped" not in screen)
    terminal.press("q")
    terminal.wait(lambda screen: screen.endswith("$"))
    assert terminal.state == state


def test_another_size_is_another_picture(watching: Callable[..., str], terminal: Terminal) -> None:
    watching(Resync(HOME, "startup"), Remove(HOME[4].luid, "inet"))
    terminal.resize(40, 10)
    screen = terminal.wait(lambda screen: "Interface▾ State Addresses" in screen)
    assert len(screen.splitlines()) == 10
    assert "192.168.178.100/24 +2" in screen
    terminal.resize(120, 30)
    terminal.wait(lambda screen: "Default route" in screen and "fe80::1/64" in screen)


def test_wide_characters_keep_the_columns_straight(watching: Callable[..., str]) -> None:
    names = ["eth0", "数据网卡", "🚀wan🚀", "e\u0301te\u0301"]
    rows = tuple(make_row(name, index=number, interface=UP) for number, name in enumerate(names, 1))
    screen = watching(Resync(rows, "startup"), Remove(ETH0.luid, "inet"))
    rows_shown = [line for line in screen.splitlines() if "1 Gbit/s" in line]
    assert len(rows_shown) == 4
    assert {cell_len(line.partition(" up ")[0]) for line in rows_shown} == {10}


@pytest.mark.parametrize("how", ["TERM=dumb {}", "{} | cat", "{} --lines", "TERM= {}"])
def test_where_no_table_can_be_there_are_lines(how: str, publisher: Publisher, terminal: Terminal) -> None:
    publisher.updates(Resync((ETH0, ETH0_6), "startup"), Remove(ETH0.luid, "inet6"))
    publisher.configure('node = "nas"')
    terminal.run(how.format(" ".join(WATCH)))
    screen = terminal.wait(lambda screen: "IPv6 removed" in screen and screen.endswith("$"))
    assert "  nas has 2 IP interfaces\n" in screen


def test_a_recording_that_ends_stays_until_it_is_quit(watching: Callable[..., str], terminal: Terminal) -> None:
    row = make_row("eth0", addresses=["192.0.2.10/24"], nl_mtu=1400)
    watching(Resync((ETH0,), "startup"), Upsert(row), last_at=0.0)
    terminal.wait(lambda screen: "the source has ended: nothing more comes" in screen)
    terminal.press("Enter")
    terminal.wait(lambda screen: "IPv4 mtu 1400, was 1500" in screen)
    terminal.press("q")
    terminal.wait(lambda screen: screen.endswith("$"))


def test_flaps_and_history_come_from_the_journal_of_the_service(
    watching: Callable[..., str], terminal: Terminal, publisher: Publisher
) -> None:
    down, up = make_row("eth0", connected=False, interface=DOWN), make_row("eth0", interface=UP)
    flaps = [Upsert(down), Upsert(up)] * 3
    publisher.updates(Resync((up,), "startup"), *flaps, Remove(ETH0.luid, "inet6"), last_at=FOREVER)
    publisher.configure(FILE_SINK)
    service = publisher.start("run")
    file = publisher.folder / "out.jsonl"
    wait_for(lambda: any(event.seq == len(flaps) for event in events_in(file)), what="the last flap")
    wait_for(lambda: has_reported(publisher.journal, service.pid), what="the status")
    (publisher.folder / "updates.jsonl").unlink()  # the service goes on with its own
    watching(Resync((up,), "startup"), Upsert(down), Remove(ETH0.luid, "inet6"))
    terminal.wait(lambda screen: re.search(r"^eth0 +down +was 1 Gbit/s +\S.* ago +4 ", screen, re.MULTILINE))
    terminal.press("Enter")
    screen = terminal.wait(lambda screen: "no changes before in the journal" in screen)
    told = [line.split(" ago ")[1].strip() for line in screen.splitlines() if " ago " in line and "bit/s" in line]
    assert told == ["down, was 1 Gbit/s", *["up, 1 Gbit/s", "down, was 1 Gbit/s"] * 3]
    assert "4 in the last hour" in screen


def test_without_a_journal_the_history_says_so(watching: Callable[..., str], terminal: Terminal) -> None:
    watching()
    terminal.press("Enter")
    terminal.wait(lambda screen: "no changes since this table was opened: there is no journal at" in screen)


def test_a_flood_of_changes_is_ten_pictures_a_second(publisher: Publisher) -> None:
    rows = [make_row("eth0", nl_mtu=1000 + number) for number in range(3000)]
    publisher.updates(Resync((ETH0,), "startup"), *map(Upsert, rows), pace=0.001)
    publisher.configure("")
    ours, theirs = os.openpty()
    environment = publisher.environment | {"TERM": "xterm-256color"}
    began = time.monotonic()
    with subprocess.Popen(
        WATCH, cwd=publisher.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as program:
        os.close(theirs)
        shown = b""
        while b"mtu 3999, was 3998" not in shown:
            shown += os.read(ours, 65536)
        seconds = time.monotonic() - began
        os.write(ours, b"q")
        with suppress(OSError):  # EIO: the other side is closed
            while os.read(ours, 65536):
                pass
    os.close(ours)
    assert program.returncode == 0
    assert shown.count(b"\x1b[?2026h") <= 10 * seconds + 3


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def test_every_node_of_a_broker_and_the_connection_to_it(broker: Mosquitto, terminal: Terminal, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, node="nas") as nas:
        with MqttHost(tmp_path, broker, node="office") as office:
            for host in (nas, office):
                host.put(*HOME[:5])
                host.quiet()
            terminal.run(*WATCH, broker.url)
            screen = terminal.wait(lambda screen: "2 nodes · 6 interfaces" in screen and "not in sync" not in screen)
            assert [line.split()[:2] for line in screen.splitlines()[2:8]] == [
                [node, name] for node in ("nas", "office") for name in ("eth0", "eth10", "lo")
            ]
            down = make_row("eth0", connected=False, interface=DOWN)
            nas.put(down, make_row("eth0", "inet6", connected=False, interface=DOWN))
            terminal.wait(lambda screen: re.search(r"^nas +eth0 +down .* ago +1$", screen, re.MULTILINE))
            terminal.wait(lambda screen: "nas/eth0 down, was 1 Gbit/s" in screen)
            terminal.press("Enter")
            terminal.wait(lambda screen: "eth0 on nas" in screen and "since this table was opened" in screen)
            terminal.press("Escape")
        terminal.wait(lambda screen: "1 offline" in screen and re.search("office eth0 +offline", screen))
        broker.kill()
        terminal.wait(lambda screen: re.search("no broker|trying again|not in sync", screen.splitlines()[-1]))
        broker.start()
        terminal.wait(lambda screen: re.search(r"^nas +eth0 +down ", screen, re.MULTILINE) and "? help" in screen)
        terminal.resize(40, 10)
        terminal.wait(lambda screen: "nas/eth0 " in screen)
        state = terminal.state
        terminal.press("q")  # at once, though nothing is received
        terminal.wait(lambda screen: screen.endswith("$"))
        assert terminal.state != state


def test_the_lines_of_a_broker_name_the_node(broker: Mosquitto, terminal: Terminal, tmp_path: Path) -> None:
    with MqttHost(tmp_path, broker, node="nas") as nas:
        nas.put(*HOME[:5])
        nas.quiet()
        terminal.run(*WATCH, "--family inet", broker.url, "| cat")
        terminal.wait(lambda screen: "\nnas is online\n" in screen and "  nas has " in screen)
        nas.put(make_row("eth0", connected=False, interface=DOWN))
        screen = terminal.wait(lambda screen: re.search(r"\d  nas  eth0 +down, was 1 Gbit/s", screen))
        assert "inet6" not in screen
    terminal.wait(lambda screen: screen.endswith("\nnas is offline"))
