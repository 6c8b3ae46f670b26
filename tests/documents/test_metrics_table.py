"""docs/operation.md: its table has each metric that is served, and no other."""

from __future__ import annotations

import re

import pytest

from publisher.service.metrics import serve_metrics
from tests.service.test_metrics import STATUS, scrape
from tests.test_documents import ROOT, text_of

pytest.importorskip("prometheus_client")


def test_the_table_of_metrics_is_complete() -> None:
    with serve_metrics("127.0.0.1:0", lambda: STATUS) as port:
        served = {name.partition("{")[0] for name in scrape(port)}
    described = set(re.findall(r"`(publisher_\w+)`", text_of(ROOT / "docs/operation.md")))
    assert described == {name for name in served if not name.endswith("_created")}
