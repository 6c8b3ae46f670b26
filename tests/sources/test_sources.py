"""The contract of sources: the choice by name, and records that do not fit the models."""

from __future__ import annotations

import logging

from publisher.sources import Validator
from publisher.testing import make_row
from tests.fixtures.logs import CapturedLog


def test_a_record_that_no_model_accepts_is_counted_and_logged_with_what_was_received() -> None:
    log = CapturedLog()
    validator = Validator(log)
    assert validator.build(lambda: make_row("eth0", nl_mtu=-1), {"mtu": -1}) is None
    assert validator.invalid == 1
    [record] = log.records
    assert record.levelname == "ERROR"
    assert "{'mtu': -1}" in record.getMessage()
    assert "nl_mtu" in record.getMessage()


def test_a_record_that_fits_is_returned() -> None:
    validator = Validator(logging.getLogger("publisher"))
    assert validator.build(make_row, {}) == make_row()
    assert validator.invalid == 0
