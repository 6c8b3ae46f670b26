"""The whole program with command sinks: stop, check, dead letters, and the recipes of docs/command.md as printed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.fixtures.command import FILE_SINK, Publisher
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program
from tests.fixtures.requirements import need
from tests.fixtures.webhook_server import Receiver, answer
from tests.plugins.command.conftest import Scripts
from tests.plugins.command.test_runs import is_running

if sys.platform == "win32":
    pytest.skip("these programs are shell scripts", allow_module_level=True)

Service = Callable[..., "subprocess.Popen[str]"]


def sink(script: str, *lines: str) -> str:
    """Returns the tables of the sinks `log` and `run`."""
    return "\n".join(
        [FILE_SINK, "[sinks.run]", 'type = "command"', f'command = ["{script}"]', "snapshot = true", *lines]
    )


def test_a_stop_lets_the_program_finish(service: Service, scripts: Scripts) -> None:
    script = scripts.write('[ -e "$OUT" ] || { echo began >> "$OUT"; sleep 0.5; echo done >> "$OUT"; }')
    process = service(sinks=sink(script))
    wait_for(lambda: scripts.out, what="the program")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert scripts.out == ["began", "done"]


def test_a_stop_ends_a_program_that_takes_longer_and_its_event_is_sent_again(
    service: Service, scripts: Scripts
) -> None:
    script = scripts.write('echo "$$ $IFACE $EVENT_FAMILY" >> "$OUT"; exec sleep 1000')
    for times in (1, 2):
        process = service(sinks=sink(script))
        wait_for(lambda: len(scripts.out) >= times, what="the program")  # noqa: B023 - called at once
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    (first, *event), (second, *again) = (line.split() for line in scripts.out)
    assert event == again
    wait_for(lambda: not is_running(int(first)) and not is_running(int(second)), what="the end of both")


def test_a_dead_letter_has_the_end_of_standard_error_and_can_be_sent_again(
    publisher: Publisher, service: Service, scripts: Scripts
) -> None:
    script = scripts.write('echo "the zone is locked" >&2; [ -e "$OUT.fixed" ] && echo "$EVENT_ID" >> "$OUT"')
    process = service(sinks=sink(script))
    wait_for(lambda: "zone" in publisher("dead-letters").stdout, what="the dead letter")
    assert "the program failed: exit status 1: the zone is locked" in publisher("dead-letters").stdout
    Path(f"{scripts.folder}/out.fixed").touch()
    publisher("dead-letters", "--retry")
    wait_for(lambda: scripts.out, what="the program")
    wait_for(lambda: "zone" not in publisher("dead-letters").stdout, what="the end of the dead letters")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_check_runs_nothing_and_names_what_cannot_run(publisher: Publisher, scripts: Scripts) -> None:
    script = scripts.write('touch "$OUT"')
    publisher.configure(sink(script, 'timeout = "5m"'))
    assert f"sink 'run': runs {script}, each time for at most 300 s" in publisher("check").stdout
    publisher.configure(sink("/no/such/program"))
    said = publisher("check", status=1)
    assert "cannot run /no/such/program: No such file or directory; give its whole path" in said.stdout + said.stderr
    publisher.configure(sink(script, 'environment = { "a b" = "hunter2" }'))
    said = publisher("check", status=2)
    assert "sink 'run': environment: expected a name of letters" in said.stderr
    assert "hunter2" not in said.stderr
    assert not scripts.out


def test_values_of_the_environment_are_masked(publisher: Publisher, service: Service, scripts: Scripts) -> None:
    script = scripts.write('echo "the token is $TOKEN"; echo "$TOKEN" > "$OUT"; exit 1')
    process = service(sinks=sink(script, 'environment = { TOKEN = "hunter2hunter2" }'))
    wait_for(lambda: "exit status" in publisher("dead-letters").stdout, what="the dead letter")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=30)
    assert "the token is ***" in log
    assert "hunter2" not in log
    assert scripts.out == ["hunter2hunter2"]


ROOT = Path(__file__).parents[3]


def printed(document: str, heading: str) -> tuple[str, str]:
    """Returns the configuration and the script below a heading of a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    section = re.split(r"^##", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = dict(re.findall(r"^```(toml|sh)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))
    return blocks["toml"], blocks["sh"]


class Recipe:
    """A recipe as printed, below another root, with stand-ins for programs that would change the host."""

    def __init__(self, netns: NetNs, folder: Path, document: str, heading: str) -> None:
        self._folder = folder
        self.table, script = printed(document, heading)
        path = script.splitlines()[1].removeprefix("# ")
        self._script = folder / path.lstrip("/")
        self._write(self._script, script)
        for top in ("/etc/", "/usr/local/"):
            self.table = self.table.replace(top, f"{folder}{top}")
        self._netns = netns

    def stand_in(self, program: str, text: str) -> Path:
        """Puts a program of this name before the real one; returns the file that it appends to."""
        out = self._folder / f"{program}.out"
        self._write(self._folder / "bin" / program, f"#!/bin/sh\nexec >> {out}\n{text}\n")
        return out

    def leave_what_is_no_script(self) -> None:
        """Puts a file that may not be run and a folder before the script, as packages and editors do."""
        (self._script.parent / "0.bak").write_text("no program")
        (self._script.parent / "1.d").mkdir()

    def program(self) -> Program:
        """Returns the publisher, with this sink."""
        program = Program(self._netns, self._folder / "it", self.table)
        program.environment["PATH"] = f"{self._folder / 'bin'}:{program.environment['PATH']}"
        return program

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("dispatcher", "expected"),
    [
        ("networkd-dispatcher", ["-t ddns wan0 is routable with 192.0.2.7"]),
        (
            "NetworkManager's dispatcher",
            ["-t firewall wan0 has 192.0.2.7/24, gateway 0.0.0.0", "-t firewall wan0 is down"],
        ),
        ("ifplugd", ["-t ifplugd eth0 went up: down to up", "-t ifplugd eth0 went down: up to down"]),
    ],
)
def test_a_script_of_a_dispatcher_runs_by_the_recipe(
    netns: NetNs, tmp_path: Path, dispatcher: str, expected: list[str]
) -> None:
    recipe = Recipe(netns, tmp_path, "docs/command.md", f"From {dispatcher}")
    recipe.leave_what_is_no_script()
    logged = recipe.stand_in("logger", 'echo "$@"')
    name = "eth0" if dispatcher == "ifplugd" else "wan0"
    netns.ip(f"link add {name} type veth peer name far", "link add mark type ifb")
    with recipe.program().running():
        netns.ip(f"link set {name} up", "link set far up", f"addr add 192.0.2.7/24 dev {name}")
        wait_for(lambda: lines(logged), what="the first call")
        netns.ip("link set far down")
        wait_for(lambda: len(lines(logged)) >= len(expected), what="the last call")
    assert lines(logged) == expected


def test_a_dynamic_dns_name_follows_the_prefix(netns: NetNs, tmp_path: Path) -> None:
    need("jq", package="jq")
    need("curl", package="curl")
    recipe = Recipe(netns, tmp_path, "docs/recipes.md", "A dynamic DNS name follows the prefix")
    netns.ip("link add wan0 type veth peer name far", "link set wan0 addrgenmode none")
    netns.ip("link set lo up", "link set wan0 up", "link set far up")
    with closing(netns.call(Receiver)) as server:
        recipe.table = recipe.table.replace("https://ddns.example.net/update", server.url)
        server.script.append(answer(503))  # another attempt is made
        with recipe.program().running():
            netns.ip(*(f"addr add {address}/64 dev wan0 nodad" for address in ("fd00::7", "2001:db8:1::7")))
            wait_for(lambda: len(server.requests) >= 2, what="the first name")
            netns.ip("addr add 2001:db8:2::7/64 dev wan0 nodad", "addr del 2001:db8:1::7/64 dev wan0")
            wait_for(lambda: len(server.requests) >= 3, what="the second name")
            # That nobody else has it is known when the change has settled long ago.
            netns.sysctl("net/ipv6/conf/wan0/dad_transmits", 4)
            netns.ip("addr add 2001:db8:3::7/64 dev wan0", "addr del 2001:db8:2::7/64 dev wan0")
            wait_for(lambda: b"db8%3A3" in server.requests[-1].body, what="the third name")
    told = [parse_qs(request.body.decode()) for request in server.requests]
    assert [(form["name"], form["address"]) for form in told[:3]] == [
        (["nas.example.net"], [address]) for address in ("2001:db8:1::7", "2001:db8:1::7", "2001:db8:2::7")
    ]


def test_a_firewall_rule_follows_the_address(netns: NetNs, tmp_path: Path) -> None:
    recipe = Recipe(netns, tmp_path, "docs/recipes.md", "A firewall rule follows the address")
    took = recipe.stand_in("nft", "cat; echo done")
    netns.ip("link add wan0 type veth peer name far", "addr add 192.0.2.7/24 dev wan0")
    with recipe.program().running():
        flush, done = "flush set inet filter own", "done"
        at_start = [flush, "add element inet filter own { 192.0.2.7 }", done]
        wait_for(lambda: lines(took) == at_start, what="the addresses at the start")
        netns.ip("addr add 198.51.100.7/24 dev wan0", "addr del 192.0.2.7/24 dev wan0")
        in_the_end = [flush, "add element inet filter own { 198.51.100.7 }", done]
        wait_for(lambda: lines(took)[-3:] == in_the_end, what="the new address")
