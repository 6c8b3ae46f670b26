"""The servers for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.fleet_login import NODES, SITE
from tests.fixtures.fleet_servers import FleetCluster, FleetFolder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetCluster]:
    folder = FleetFolder(tmp_path_factory.mktemp("fleet"), *NODES.values(), *SITE)
    with FleetCluster(folder) as started:
        folder.make_buckets(started.urls)
        yield started
