"""MQTT: retained states and events per interface, replay on request, Home Assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher import DefaultSinks, Log, Sink, WatchRequest, hookimpl

from .sink import MqttSink

if TYPE_CHECKING:
    from collections.abc import Callable


@hookimpl
def publisher_sinks() -> dict[str, type[Sink]]:
    """Returns the `mqtt` sink."""
    return {"mqtt": MqttSink}


@hookimpl
def publisher_default_sinks(log: Log) -> DefaultSinks:
    """Returns a sink for the broker on this host, or for an embedded one that it starts."""
    from .embedded.first_run import prepare

    return prepare(log)


@hookimpl
def publisher_viewers() -> dict[str, Callable[[WatchRequest], None]]:
    """Returns the viewer of every node on a broker, for each scheme of a broker's URL."""
    return dict.fromkeys(("mqtt", "mqtts", "ws", "wss"), _watch)


@hookimpl
def publisher_schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns the AsyncAPI document of the topics."""
    return {"asyncapi": _asyncapi}


def _watch(request: WatchRequest) -> None:
    """Shows every node on an MQTT broker."""
    from .monitor.monitor import watch_broker

    watch_broker(request)


def _asyncapi() -> dict[str, Any]:
    """The MQTT topics and payloads as an AsyncAPI document."""
    from .asyncapi import asyncapi_document

    return asyncapi_document()
