"""MQTT: retained states and events per interface, replay on request, Home Assistant."""

from __future__ import annotations

from publisher.hookspecs import hookimpl
from publisher.sink import Sink

from .sink import MqttSink


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """The `mqtt` sink."""
    return {"mqtt": MqttSink}
