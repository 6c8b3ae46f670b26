"""The MQTT topics as an AsyncAPI 3 document, with payloads out of the models that make them."""

from __future__ import annotations

from typing import Any

from publisher import __version__
from publisher.events import Event

from .replay import ReplayRequest  # the built-in sink's own model of what it is asked

# What a retained state has of an event; `publisher_mqtt.messages.state_bytes` cuts out the same.
_STATE_MEMBERS = ("seq", "time", "row", "interface", "addresses")
_WHOLE = "#/components/schemas/"
_NODE = {
    "base": {"default": "interfaces", "description": "The sink's option `base`"},
    "node": {"description": "The host"},
}
_ROW = {
    **_NODE,
    "luid": {"description": "The interface's LUID, 16 hexadecimal digits"},
    "family": {"enum": ["inet", "inet6"], "description": "The address family"},
}


def asyncapi_document() -> dict[str, Any]:
    """The document, as JSON values."""
    schemas = _schemas()
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
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _schemas() -> dict[str, Any]:
    event = Event.model_json_schema(mode="serialization", ref_template=_WHOLE + "{model}")
    request = ReplayRequest.model_json_schema(ref_template=_WHOLE + "{model}")
    shared = {**event.pop("$defs"), **request.pop("$defs", {})}
    state = {
        "type": "object",
        "description": "The IP interface as it is; an empty payload when it is gone.",
        "properties": {name: event["properties"][name] for name in _STATE_MEMBERS},
        "required": list(_STATE_MEMBERS),
        "additionalProperties": False,
    }
    return {**shared, "Event": event, "State": state, "ReplayRequest": request, "Info": _INFO, "ReplayAnswer": _ANSWER}


_INFO = {
    "type": "object",
    "properties": {
        "version": {"type": "string"},
        "epoch": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "seq": {"type": "integer", "minimum": 0},
        "os": {"type": "string"},
        "families": {"type": "array", "items": {"enum": ["inet", "inet6"]}},
        "count": {"type": "integer", "minimum": 0, "description": "How many IP interfaces there are"},
    },
    "required": ["version", "epoch", "seq", "os", "families", "count"],
}
_ANSWER = {
    "description": "Position 0 says what follows, positions 1 to `count` carry an event each.",
    "type": "object",
    "properties": {
        "position": {"type": "integer", "minimum": 0},
        "count": {"type": "integer", "minimum": 0},
        "answer": {"enum": ["events", "snapshot"]},
        "too_old": {"type": "boolean", "description": "The events asked for are gone, so the rows follow"},
        "epoch": {"type": "string"},
        "seq": {"type": "integer", "minimum": 0},
        "error": {"type": "string", "description": "What is wrong with the request"},
        "event": {"$ref": _WHOLE + "Event"},
    },
    "required": ["position", "count"],
}


def _messages() -> dict[str, Any]:
    return {
        "status": {
            "summary": "Retained, and the will: whether the node's publisher is there",
            "contentType": "text/plain",
            "payload": {"type": "string", "enum": ["online", "offline"]},
        },
        "info": _message("Info", "Retained: what publishes"),
        "state": _message("State", "Retained: the IP interface as it is; emptied when it is gone"),
        "event": _message("Event", "Never retained: what changed"),
        "replayRequest": _message("ReplayRequest", "Asks for the rows, or for the events since one"),
        "replayAnswer": _message("ReplayAnswer", "What was asked for, in order, correlation data kept"),
    }


def _message(schema: str, summary: str) -> dict[str, Any]:
    return {"summary": summary, "contentType": "application/json", "payload": {"$ref": _WHOLE + schema}}


def _channels() -> dict[str, Any]:
    answer = {
        **_NODE,
        "client": {"description": "The request's `client`; in MQTT 5 the response topic is used instead"},
    }
    return {
        "status": _channel("status", "status", _NODE),
        "info": _channel("info", "info", _NODE),
        "state": _channel("{luid}/{family}/state", "state", _ROW),
        "event": _channel("{luid}/{family}/event", "event", _ROW),
        "replayRequest": _channel("replay/get", "replayRequest", _NODE),
        "replayAnswer": _channel("replay/{client}", "replayAnswer", answer),
    }


def _channel(topic: str, message: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": f"{{base}}/{{node}}/{topic}",
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "parameters": parameters,
    }


def _operations() -> dict[str, Any]:
    """What the publisher does, from its own point of view as AsyncAPI 3 wants it."""
    sent = {
        f"send{name[0].upper()}{name[1:]}": _operation("send", name, retain=name not in ("event", "replayAnswer"))
        for name in ("status", "info", "state", "event")
    }
    asked = _operation("receive", "replayRequest", retain=False)
    asked["reply"] = {"channel": {"$ref": "#/channels/replayAnswer"}}
    return {**sent, "receiveReplayRequest": asked}


def _operation(action: str, channel: str, *, retain: bool) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
    }
