"""The topics as an AsyncAPI 3 document; its payloads are the schemas of the models that make them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from publisher import __version__, cloudevents

from .payloads import schemas

_SCHEMA = "#/components/schemas/{model}"
_NODE = {
    "base": {"default": "interfaces", "description": "The sink's option `base`"},
    "node": {"description": "The host"},
}
_ROW = {
    **_NODE,
    "luid": {"description": "The interface's LUID, 16 hexadecimal digits"},
    "family": {"enum": ["inet", "inet6"], "description": "The address family"},
}
_CLIENT = {"client": {"description": "The request's `client`; in MQTT 5 the response topic is used instead"}}
_PREFIX = {"prefix": {"default": "homeassistant", "description": "The sink's option `home_assistant.prefix`"}}
_DEVICE = {
    **_PREFIX,
    "node_id": {"description": "The host, in letters that Home Assistant takes"},
    "luid": {"description": "An interface's LUID, or `node` for the device of the host itself"},
}


_CLOUD_EVENT = {
    "type": "object",
    "description": "A CloudEvent 1.0 in the JSON format; other attributes are text",
    "properties": {
        "specversion": {"const": "1.0"},
        "datacontenttype": {"const": cloudevents.DATA_CONTENT_TYPE},
        "data": {"$ref": _SCHEMA.format(model="Event")},
    },
    "required": ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data"],
    "additionalProperties": {"type": "string"},
}


class _Channel(NamedTuple):
    """A topic, its parameters, and the messages that are sent or received there."""

    address: str
    parameters: dict[str, Any]
    messages: tuple[str, ...]
    action: Literal["send", "receive", "reply"]
    retain: bool = False


_CHANNELS = {
    "status": _Channel("{base}/{node}/status", _NODE, ("status",), "send", retain=True),
    "info": _Channel("{base}/{node}/info", _NODE, ("info",), "send", retain=True),
    "state": _Channel(
        "{base}/{node}/{luid}/{family}/state", _ROW, ("state", "reducedState", "noState"), "send", retain=True
    ),
    "event": _Channel("{base}/{node}/{luid}/{family}/event", _ROW, ("event", "cloudEvent"), "send"),
    "replayRequest": _Channel("{base}/{node}/replay/get", _NODE, ("replayRequest",), "receive"),
    "replayAnswer": _Channel("{base}/{node}/replay/{client}", _NODE | _CLIENT, ("replayAnswer",), "reply"),
    "owner": _Channel("{base}/{node}/owner", _NODE, ("owner",), "send"),
    "kept": _Channel("{base}/{node}/kept", _NODE, ("kept", "noneKept"), "send", retain=True),
    "fence": _Channel("{base}/{node}/fence", _NODE, ("fence",), "send"),
    "check": _Channel("{base}/{node}/check", _NODE, ("check",), "send"),
    "discovery": _Channel(
        "{prefix}/device/{node_id}/{luid}/config", _DEVICE, ("discovery", "noDevice"), "send", retain=True
    ),
    "homeAssistant": _Channel("{prefix}/status", _PREFIX, ("homeAssistant",), "receive"),
}


def asyncapi_document() -> dict[str, Any]:
    """Returns the document, as JSON values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "interface-publisher",
            "version": __version__,
            "description": "Every change of every IP interface, over MQTT. Subscribe to the retained states and to the"
            " events; after a gap publish a request to replay/get.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(channel) for name, channel in _CHANNELS.items()},
        "operations": dict(_operations()),
        "components": {"messages": _messages(), "schemas": schemas(_SCHEMA)},
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "parameters": channel.parameters,
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what the publisher sends and receives, from its own point of view as AsyncAPI 3 wants it."""
    for name, channel in _CHANNELS.items():
        if channel.action == "reply":
            continue
        operation: dict[str, Any] = {
            "action": channel.action,
            "channel": {"$ref": f"#/channels/{name}"},
            "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": "0.2.0"}},
        }
        if name == "replayRequest":
            operation["reply"] = {"channel": {"$ref": "#/channels/replayAnswer"}}
        yield f"{channel.action}{name[0].upper()}{name[1:]}", operation


def _messages() -> dict[str, Any]:
    return {
        "status": _text("Retained, and the will: is the node's publisher there", enum=["online", "offline"]),
        "info": _json("Info", "Retained: the publisher, and how far the retained states are"),
        "state": _json("State", "Retained: the IP interface as it is"),
        "reducedState": _json("ReducedState", "Retained: a state without the lists that the broker does not take"),
        "noState": _text("Empty: the IP interface was removed", maxLength=0),
        "event": _json("Event", "Never retained: one change"),
        "cloudEvent": {
            "summary": 'One change, with the option format = "cloudevents"',
            "contentType": cloudevents.STRUCTURED_CONTENT_TYPE,
            "payload": _CLOUD_EVENT,
        },
        "replayRequest": _json("ReplayRequest", "Asks for the rows, or for the events after one"),
        "replayAnswer": _json("ReplayAnswer", "One message of the answer, in order; correlation data is kept"),
        "owner": _json("Owner", "Between publishers: who publishes as this node, and the answer"),
        "kept": _json("KeptDays", "Retained: the devices of Home Assistant whose interfaces are not there"),
        "noneKept": _text("Empty: every device has its interface", maxLength=0),
        "fence": _json("Token", "From the publisher to itself: it comes back after all that is retained"),
        "check": _json("Token", "From `publisher check` to itself: the broker takes messages and sends them"),
        "discovery": {
            "summary": "Retained: a device of Home Assistant's MQTT discovery",
            "contentType": "application/json",
            "payload": {"type": "object", "required": ["dev", "o", "cmps"]},
        },
        "noDevice": _text("Empty: the device was removed", maxLength=0),
        "homeAssistant": _text("Home Assistant's birth message: the publisher sends the devices again"),
    }


def _json(schema: str, summary: str) -> dict[str, Any]:
    payload = {"$ref": _SCHEMA.format(model=schema)}
    return {"summary": summary, "contentType": "application/json", "payload": payload}


def _text(summary: str, **schema: Any) -> dict[str, Any]:
    return {"summary": summary, "contentType": "text/plain", "payload": {"type": "string", **schema}}
