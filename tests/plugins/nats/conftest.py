"""Servers for the tests of a module."""

from __future__ import annotations

from tests.fixtures.nats import nats_cluster, nats_server

__all__ = ["nats_cluster", "nats_server"]
