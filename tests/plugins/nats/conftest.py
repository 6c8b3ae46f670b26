"""One nats-server, and one cluster of three, for the tests of a module; each test has a bucket of its own."""

from tests.fixtures.nats import nats_cluster, nats_server

__all__ = ["nats_cluster", "nats_server"]
