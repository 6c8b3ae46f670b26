"""One run of a program: its surroundings, its output, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from publisher import ConfigurationError, PublisherError, Rejected, Retry
from publisher.testing import HOSTILE_ALIAS, FakeSinkContext, make_address, make_event, make_events, make_row
from publisher_command import posix
from publisher_command.sink import CommandSink
from tests.fixtures.poll import wait_for
from tests.plugins.command.conftest import Scripts, messages, opened

if sys.platform == "win32":
    pytest.skip("these programs are shell scripts", allow_module_level=True)


def test_the_event_is_on_standard_input_with_a_line_feed(scripts: Scripts) -> None:
    with opened(scripts.write('cat > "$OUT"')) as sink:
        sink.publish([make_event()])
    assert (scripts.folder / "out").read_bytes() == make_event().json_bytes + b"\n"


def test_an_event_larger_than_the_pipe_arrives_whole(scripts: Scripts) -> None:
    row = make_row(addresses=[f"10.{n // 250}.{n % 250}.1/24" for n in range(5000)])
    with opened(scripts.write('sleep 0.1; cat > "$OUT"')) as sink:
        sink.publish([make_event(row=row)])
    assert len(json.loads((scripts.folder / "out").read_bytes())["addresses"]) == 5000


def test_arguments_are_given_as_they_are(scripts: Scripts) -> None:
    given = ["$HOME; echo x", "*", "", "a b", "`id`", "{alias}", "%s"]
    with opened(scripts.write('for a in "$@"; do echo "$a" >> "$OUT"; done'), *given) as sink:
        sink.publish([make_event()])
    assert scripts.out == given


def test_a_program_is_found_by_its_name(scripts: Scripts) -> None:
    scripts.write('echo "$0" >> "$OUT"', "by-name")
    path = f"{scripts.folder}:/usr/bin:/bin"
    with opened("by-name", environment={"PATH": path}) as sink:
        sink.publish([make_event()])
    assert scripts.out == [str(scripts.folder / "by-name")]


def test_the_environment_is_clean(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLISHER_SINKS__HOME__PASSWORD", "hunter2")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy")
    monkeypatch.setenv("LD_PRELOAD", "")
    with opened(scripts.write('env -0 > "$OUT"'), environment={"TOKEN": "x"}) as sink:
        sink.publish([make_event()])
    names = {line.partition(b"=")[0].decode() for line in (scripts.folder / "out").read_bytes().split(b"\0") if line}
    allowed = {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "TOKEN",
        "IFACE",
        "STATE",
    }
    allowed |= {"OperationalState", "AdministrativeState", "ESSID", "ADDR", "IP_ADDRS", "json", "PWD", "OLDPWD", "_"}
    others = {name for name in names - allowed if not name.startswith(("EVENT_", "DEVICE_", "IP4_", "IFPLUGD_", "LC_"))}
    assert not others - {"SHLVL"}
    assert {"TOKEN", "PATH", "IFACE", "EVENT_ID"} <= names


def test_no_descriptor_and_no_blocked_or_ignored_signal_is_inherited(scripts: Scripts, tmp_path: Path) -> None:
    text = """{ ls /proc/self/fd | tr '\\n' ' '; echo; grep -E '^Sig(Blk|Ign)' /proc/self/status; } > "$OUT" """
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        with opened(scripts.write(text)) as sink:
            sink.publish([make_event()])
    finally:
        os.close(descriptor)
    descriptors, blocked, ignored = scripts.out
    assert descriptors.split()[:4] == ["0", "1", "2", "3"]  # 3 is that of ls
    assert len(descriptors.split()) == 4
    assert int(blocked.split()[1], 16) == 0
    # Whoever started the tests may have them ignore some (nohup, a job in the background): docs/command.md.
    ours = {number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN}
    ours -= {signal.SIGPIPE, signal.SIGXFSZ}  # these are ignored by Python itself
    assert {number for number in signal.Signals if int(ignored.split()[1], 16) >> number - 1 & 1} == ours


def test_the_directory_and_the_umask(scripts: Scripts) -> None:
    text = 'pwd >> "$OUT"; umask >> "$OUT"'
    with opened(scripts.write(text)) as sink:
        sink.publish([make_event()])
    with opened(scripts.write(text), directory=str(scripts.folder), umask="077") as sink:
        sink.publish([make_event()])
    assert scripts.out == ["/", "0022", str(scripts.folder), "0077"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_root_becomes_the_user(scripts: Scripts, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    out = tmp_path / "theirs"
    out.mkdir()
    out.chmod(0o777)
    script = scripts.write(f'{{ id -un; id -Gn; echo "$HOME $USER $LOGNAME"; }} > {out}/who')
    with opened(script, user="nobody") as sink:
        sink.publish([make_event()])
    user, groups, names = (out / "who").read_text().splitlines()
    assert (user, groups) == ("nobody", "nogroup")
    assert names.endswith(" nobody nobody")


def test_a_program_that_reads_nothing_is_no_failure(scripts: Scripts) -> None:
    row = make_row(addresses=[f"10.{n // 250}.{n % 250}.1/24" for n in range(3000)])
    with opened(scripts.write('exec <&-; echo x >> "$OUT"; sleep 0.05')) as sink:
        sink.publish([make_event(row=row), make_event(2, row=row)])
    assert scripts.out == ["x", "x"]


def test_each_line_of_the_output_is_logged_without_what_a_terminal_obeys(scripts: Scripts) -> None:
    context = FakeSinkContext()
    text = r"""printf 'one\n\ntwo\033[2J\n\377\tx\r100%%\r'; printf 'error\n' >&2; printf 'no end'"""
    with opened(scripts.write(text), context=context) as sink:
        sink.publish([make_event()])
    assert sorted(messages(context)) == sorted(["one", r"two\x1b[2J", "\\xff\tx", "100%", "error", "no end"])


def test_100_mb_of_output_are_read_and_100_lines_of_it_logged(scripts: Scripts) -> None:
    context = FakeSinkContext()
    text = "yes 0123456789 | head -c 100000000; head -c 100000000 /dev/zero >&2; exit 3"
    with opened(scripts.write(text), context=context) as sink, pytest.raises(Rejected) as raised:
        sink.publish([make_event()])
    assert messages(context)[:2] == ["0123456789"] * 2
    assert messages(context)[-1] == "the output has 200000000 bytes; the rest of it is not logged"
    assert len(messages(context)) <= 101
    assert len(raised.value.reason) < 5000


def test_of_many_empty_lines_the_size_is_looked_at(scripts: Scripts) -> None:
    context = FakeSinkContext()
    with opened(scripts.write("yes '' | head -c 100000000"), context=context) as sink:
        before = time.thread_time()
        sink.publish([make_event()])
        assert time.thread_time() - before < 5  # of 100,000,000 lines it is half a minute
    assert messages(context) == ["the output has 100000000 bytes; the rest of it is not logged"]


def test_of_a_long_line_the_beginning_is_logged(scripts: Scripts) -> None:
    context = FakeSinkContext()
    with opened(scripts.write("head -c 5000 /dev/zero | tr '\\0' x; echo; echo y"), context=context) as sink:
        sink.publish([make_event()])
    assert messages(context) == ["x" * 1000, "y", "the output has 5003 bytes; the rest of it is not logged"]


def test_exit_75_is_tried_again_and_any_other_failure_is_a_dead_letter(scripts: Scripts) -> None:
    context = FakeSinkContext()
    script = scripts.write('echo "no route" >&2; printf "to\\nhost\\033[2J" >&2; exit "$1"')
    with opened(script, "75", context=context) as sink, pytest.raises(Retry, match="exit status 75: no route") as retry:
        sink.publish(make_events(2))
    assert retry.value.index == 0
    for status in ("1", "3", "126", "127", "255"):
        with opened(script, status) as sink, pytest.raises(Rejected) as rejected:
            sink.publish(make_events(2))
        assert rejected.value.reason == rf"the program failed: exit status {status}: no route to host\x1b[2J"


def test_the_reason_has_the_end_of_standard_error_only(scripts: Scripts) -> None:
    text = "echo out; seq 1 100000 >&2; exit 1"
    with opened(scripts.write(text)) as sink, pytest.raises(Rejected) as rejected:
        sink.publish([make_event()])
    assert rejected.value.reason.endswith(" 99999 100000")
    assert len(rejected.value.reason) < 1100


def test_the_events_before_a_failure_are_done(scripts: Scripts) -> None:
    with opened(scripts.write('echo "$EVENT_SEQ" >> "$OUT"; [ "$EVENT_SEQ" != 3 ]')) as sink:
        with pytest.raises(Rejected) as rejected:
            sink.publish(make_events(5))
        assert rejected.value.index == 2
    assert scripts.out == ["1", "2", "3"]


def test_a_signal_is_tried_again_twice_and_then_a_dead_letter(scripts: Scripts) -> None:
    first, second = make_events(2)
    with opened(scripts.write("kill -SEGV $$")) as sink:
        for event in (first, second):
            for _ in range(2):
                with pytest.raises(Retry, match="ended by SIGSEGV"):
                    sink.publish([event])
            with pytest.raises(Rejected, match="ended by SIGSEGV"):
                sink.publish([event])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Path.unlink, "No such file or directory; give its whole path"),
        (lambda path: path.chmod(0o644), "Permission denied; make it executable"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory; it is a directory: name a program in it"),
        (lambda path: path.write_text("no interpreter"), "Exec format error; begin a script with a line"),
    ],
    ids=["missing", "not executable", "a directory", "no interpreter"],
)
def test_a_program_that_cannot_run_loses_nothing(
    scripts: Scripts, damage: Callable[[Path], object], expected: str
) -> None:
    script = scripts.write('echo x >> "$OUT"')
    with opened(script) as sink:
        damage(Path(script))
        with pytest.raises(Retry) as raised:
            sink.publish(make_events(2))
        assert f"cannot run {script}: {expected}" in str(raised.value)
        assert raised.value.index == 0
        if "Exec" not in expected:
            with pytest.raises(Exception, match=expected.partition(";")[0]):
                sink.check()


def test_the_events_before_a_program_went_are_done(scripts: Scripts) -> None:
    with opened(scripts.write('echo "$EVENT_SEQ" >> "$OUT"; [ "$EVENT_SEQ" = 1 ] || rm "$0"')) as sink:
        with pytest.raises(Retry) as raised:
            sink.publish(make_events(5))
        assert raised.value.index == 2
    assert scripts.out == ["1", "2"]


def test_a_home_that_is_not_known_is_an_error_with_its_name() -> None:
    with opened("~no-such-user/bin/program") as sink:
        with pytest.raises(Retry, match="cannot run ~no-such-user/bin/program: no home is known for ~no-such-user"):
            sink.publish([make_event()])
        with pytest.raises(PublisherError, match="no home is known for ~no-such-user"):
            sink.check()


def test_a_status_that_another_one_took_is_no_success(scripts: Scripts) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with opened(scripts.write("exit 1")) as sink, pytest.raises(Retry, match="its exit status was lost"):
            sink.publish([make_event()])
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_directory_that_is_missing_loses_nothing(scripts: Scripts) -> None:
    with opened(scripts.write("exit 0"), directory=str(scripts.folder / "none")) as sink:
        with pytest.raises(Retry, match=r"cannot run .*/none: No such file"):
            sink.publish([make_event()])
        with pytest.raises(Exception, match=r"directory .*/none: there is no such directory"):
            sink.check()


@pytest.mark.parametrize(
    "options",
    [
        {"command": []},
        {"command": "reboot"},
        {"command": [""]},
        {"command": ["a\0b"]},
        {"command": ["x"], "style": "cron"},
        {"command": ["x"], "timeout": "0s"},
        {"command": ["x"], "timeout": "2d"},
        {"command": ["x"], "umask": "999"},
        {"command": ["x"], "user": ""},
        {"command": ["x"], "environment": {"a b": "1"}},
        {"command": ["x"], "environment": {"A": "\0"}},
        {"command": ["x"], "shell": True},
    ],
    ids=str,
)
def test_a_mistake_in_the_options_is_an_error(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CommandSink.Options.model_validate(options)


def test_another_user_needs_root(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    sink = CommandSink(CommandSink.Options(command=(scripts.write(""),), user="root"), FakeSinkContext())
    with pytest.raises(ConfigurationError, match="user 'root': only root runs programs as another user"):
        sink.check()
    sink = CommandSink(CommandSink.Options(command=("x",), user="no-such-user"), FakeSinkContext())
    with pytest.raises(ConfigurationError, match="user 'no-such-user': there is no such user"):
        sink.open()


def end_late(scripts: Scripts, script: str, lines: int) -> str:
    """Runs a script that does not end until its time is over; returns the reason why its event was rejected.

    Its time is so long that it has written these lines before: the start of a shell takes a busy machine long.
    """
    for seconds in (0.2, 1.0, 5.0, 25.0):
        (scripts.folder / "out").unlink(missing_ok=True)
        with opened(script, timeout=seconds) as sink, pytest.raises(Rejected) as rejected:
            sink.publish([make_event()])
        if len(scripts.out) >= lines:
            return rejected.value.reason.replace(f"{seconds:g} s", "so many seconds")
    raise AssertionError(f"it has written {scripts.out} in {seconds} s")


class TestTime:
    def test_a_program_that_hangs_is_ended_with_all_that_it_started(self, scripts: Scripts) -> None:
        text = 'echo "hangs" >&2; sleep 1000 & echo $! >> "$OUT"; echo $$ >> "$OUT"; wait'
        reason = end_late(scripts, scripts.write(text), lines=2)
        assert reason == "the program was not done after so many seconds and was ended: hangs"
        wait_for(lambda: not any(is_running(int(pid)) for pid in scripts.out), what="the end of all")

    def test_one_that_ignores_sigterm_is_killed(self, scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posix, "GRACE_SECONDS", 0.2)
        text = 'trap "" TERM; sleep 1000 & echo $! >> "$OUT"; echo $$ >> "$OUT"; wait; wait'
        end_late(scripts, scripts.write(text), lines=2)
        wait_for(lambda: not any(is_running(int(pid)) for pid in scripts.out), what="the end of all")

    def test_one_that_ends_in_order_has_its_time(self, scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posix, "GRACE_SECONDS", 60.0)
        text = 'trap \'sleep 0.1; echo tidy >> "$OUT"; exit 0\' TERM; sleep 1000 & echo began >> "$OUT"; wait'
        end_late(scripts, scripts.write(text), lines=1)
        assert scripts.out == ["began", "tidy"]

    def test_a_child_that_keeps_the_output_open_holds_nothing_up(self, scripts: Scripts) -> None:
        context = FakeSinkContext()
        with opened(scripts.write('sleep 1000 & echo $! >> "$OUT"; echo done'), context=context) as sink:
            sink.publish([make_event()])  # the conformance tests' time limit is not needed: the test's is enough
        try:
            assert messages(context) == ["done"]
            assert is_running(int(scripts.out[0])), "what a program starts in the background stays"
        finally:
            os.kill(int(scripts.out[0]), signal.SIGKILL)

    def test_a_child_that_goes_on_writing_holds_nothing_up(self, scripts: Scripts) -> None:
        with opened(scripts.write("yes & echo $! >> $OUT")) as sink:
            sink.publish([make_event()])
        wait_for(lambda: not is_running(int(scripts.out[0])), what="SIGPIPE")

    def test_a_daemon_of_the_program_stays_and_holds_nothing_up(
        self, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(posix, "GRACE_SECONDS", 0.2)
        text = """setsid sh -c 'echo $$ >> "$0"; exec sleep 1000' "$OUT" & sleep 1000"""
        end_late(scripts, scripts.write(text), lines=1)
        pid = int(scripts.out[0])
        assert is_running(pid)
        os.kill(pid, signal.SIGKILL)

    def test_without_pidfd_the_end_is_noticed(self, scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posix, "_pidfd", lambda _pid: None)
        with opened(scripts.write('exec >&- 2>&-; sleep 0.1; echo x >> "$OUT"')) as sink:
            sink.publish([make_event()])
        assert scripts.out == ["x"]

    def test_waiting_costs_nothing(self, scripts: Scripts) -> None:
        with opened(scripts.write("exec >&-; sleep 0.5 & exec sleep 0.5")) as sink:
            before = time.thread_time()
            sink.publish([make_event()])
            assert time.thread_time() - before < 0.2


def test_a_run_that_is_not_done_when_the_interpreter_ends_is_ended(scripts: Scripts) -> None:
    script = scripts.write('echo $$ >> "$OUT"; exec sleep 1000')
    code = f"""
        import threading, time, pathlib
        from publisher.testing import FakeSinkContext, make_event
        from publisher_command import posix
        from publisher_command.sink import CommandSink
        started = posix._started
        def started_late(invocation):  # as on a busy machine: the program runs, and its start has not returned
            process = started(invocation)
            time.sleep(0.5)
            return process
        posix._started = started_late
        sink = CommandSink(CommandSink.Options(command=({script!r},)), FakeSinkContext())
        sink.open()
        threading.Thread(target=sink.publish, args=([make_event()],), daemon=True).start()
        out = pathlib.Path({str(scripts.folder / "out")!r})
        while not (out.exists() and out.stat().st_size): time.sleep(0.01)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
    pid = int(scripts.out[0])
    wait_for(lambda: not is_running(pid))


def test_no_thread_is_needed(scripts: Scripts) -> None:
    before = set(threading.enumerate())
    with opened(scripts.write("sleep 0.1")) as sink:
        sink.publish([make_event()])
        assert set(threading.enumerate()) == before


def test_a_hostile_alias_and_thousands_of_addresses_are_given(scripts: Scripts) -> None:
    row = make_row(HOSTILE_ALIAS, addresses=[make_address(f"10.{n // 250}.{n % 250}.1/24") for n in range(5000)])
    with opened(scripts.write('printf "%s" "$IFACE" > "$OUT"; [ "$IP4_NUM_ADDRESSES" = 100 ]')) as sink:
        sink.publish([make_event(1, "add_instance", row)])
    assert (scripts.folder / "out").read_text() == HOSTILE_ALIAS.replace("\0", "")


def is_running(pid: int) -> bool:
    """Returns whether there is such a process, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
