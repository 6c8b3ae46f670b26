"""MQTT: retained states and events per interface, replay on request, Home Assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher import DefaultSinks, ForgetRequest, Log, Sink, SinkContext, SubscribeRequest, hookimpl

from .sink import MqttSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.client import Transport, TransportFactory


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
def publisher_clients() -> dict[str, TransportFactory]:
    """Returns the maker of transports to a broker, for each scheme of a broker's URL."""
    return dict.fromkeys(("mqtt", "mqtts", "ws", "wss"), _transport)


@hookimpl
def publisher_forgetters() -> dict[str, Callable[[ForgetRequest, SinkContext], Sink]]:
    """Returns the maker of a sink that empties what a node left on a broker, for each scheme of a broker's URL."""
    return dict.fromkeys(("mqtt", "mqtts", "ws", "wss"), _forgetter)


@hookimpl
def publisher_schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns the AsyncAPI document of the topics."""
    return {"asyncapi": _asyncapi}


def _transport(request: SubscribeRequest) -> Transport:
    """Follows every node on an MQTT broker."""
    from .subscriber.transport import MqttTransport

    return MqttTransport(request)


def _forgetter(request: ForgetRequest, context: SinkContext) -> Sink:
    """Makes the sink that empties what nodes retained on an MQTT broker."""
    from .options import MqttOptions

    options: dict[str, Any] = {"url": request.url, "base": request.base}
    options |= {"password_file": request.password_file, "ca_file": request.ca_file}
    given = {name: value for name, value in options.items() if value is not None}
    if request.prefix is not None:
        given["home_assistant"] = {"prefix": request.prefix}
    return MqttSink(MqttOptions.model_validate(given), context)


def _asyncapi() -> dict[str, Any]:
    """The MQTT topics and payloads as an AsyncAPI document."""
    from .asyncapi import asyncapi_document

    return asyncapi_document()
