"""The contract of sources: the choice by name, and records that do not fit the models."""

from __future__ import annotations

import structlog
from structlog.testing import CapturingLogger

from publisher.sources import Validator
from publisher.testing import make_row


def test_a_record_that_no_model_accepts_is_counted_and_logged_with_what_was_received() -> None:
    log = CapturingLogger()
    validator = Validator(log)
    assert validator.build(lambda: make_row("eth0", nl_mtu=-1), {"mtu": -1}) is None
    assert validator.invalid == 1
    [line] = log.calls
    assert line.method_name == "error"
    assert "{'mtu': -1}" in line.args[0] % line.args[1:]
    assert "nl_mtu" in line.args[0] % line.args[1:]


def test_a_record_that_fits_is_returned() -> None:
    validator = Validator(structlog.get_logger())
    assert validator.build(make_row, {}) == make_row()
    assert validator.invalid == 0
