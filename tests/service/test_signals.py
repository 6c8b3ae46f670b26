"""The requests that signals make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from publisher.service.signals import Signals

if sys.platform == "win32":
    pytest.skip("Windows has no SIGHUP", allow_module_level=True)


def test_a_stop_waits_for_no_reload_that_has_not_begun() -> None:
    calls: list[str] = []
    begun, go_on, stopped = threading.Event(), threading.Event(), threading.Event()

    def reload() -> None:
        calls.append("reload")
        begun.set()
        assert go_on.wait(10)

    def stop() -> None:
        calls.append("stop")
        stopped.set()

    with Signals(stop, reload):
        os.kill(os.getpid(), signal.SIGHUP)
        assert begun.wait(10)
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        go_on.set()
        assert stopped.wait(10)
    assert calls == ["reload", "stop"]


def test_children_have_an_exit_status_also_below_a_parent_that_ignores_them() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with Signals(lambda: None, lambda: None):
            assert subprocess.call([sys.executable, "-c", "raise SystemExit(3)"]) == 3
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)
