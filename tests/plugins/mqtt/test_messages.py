"""Topics, payloads, properties and options, without a broker."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BaseModel, SecretStr, ValidationError

from publisher.cloudevents import structured_json
from publisher.events import Event, Key
from publisher.testing import make_event, make_events, make_row, make_snapshot
from publisher_mqtt.client.packets import packet_bytes
from publisher_mqtt.client.properties import packed_properties
from publisher_mqtt.messages import Messages, MqttMessage, Topics, client_id, state_bytes
from publisher_mqtt.options import MqttOptions, parse_url
from publisher_mqtt.payloads import (
    AnswerError,
    AnswerEvent,
    AnswerHead,
    Info,
    ReducedState,
    ReplayRequest,
    Resynced,
    Since,
    State,
)
from publisher_mqtt.replay_limits import AnswerTopics

NASTY = 'a/+/#"},"row":{"x":1},"changed":\\ \u0000😀'
URL = "mqtt://broker.lan"


def messages(**options: Any) -> Messages:
    return Messages(MqttOptions(url=URL, **options), Topics("interfaces", "nas"), "nas")


def unpacked(packed: Any) -> dict[str, Any]:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.unpack(packed)  # type: ignore[no-untyped-call]  # paho's
    return dict(properties.json())  # type: ignore[no-untyped-call]  # paho's


@pytest.mark.parametrize("alias", ["eth0", NASTY])
def test_a_state_has_the_same_row_as_its_event(alias: str) -> None:
    row = make_row(alias, addresses=["192.0.2.10/24"], default_routes=["192.0.2.1"])
    event = make_event(42, row=row, changed={})
    whole = json.loads(event.json_bytes)

    state = json.loads(state_bytes(event))

    members = ("epoch", "seq", "time", "row", "interface", "addresses", "default_routes")
    assert state == {name: whole[name] for name in members}


def test_a_state_is_cut_from_the_bytes_of_a_journal_too() -> None:
    event = make_event(42)
    assert state_bytes(Event.from_json(event.json_bytes)) == state_bytes(event)


def test_a_deleted_row_has_an_empty_state() -> None:
    message = messages().state(make_event(1, "delete_instance"))
    assert message.topic == "interfaces/nas/0006008002000000/inet/state"
    assert (message.payload, message.retain) == (b"", True)


@pytest.mark.parametrize("format_", ["json", "cloudevents", "cloudevents_binary"])
def test_no_topic_and_no_property_holds_an_alias(format_: str) -> None:
    made = messages(format=format_)
    for event in (make_event(1, row=make_row(NASTY), changed={}), make_event(2, "delete_instance", make_row(NASTY))):
        for message in (made.event(event), made.state(event)):
            assert "a/+" not in message.topic
            assert message.topic.startswith("interfaces/nas/0006008002000000/inet/")
            if message.properties is not None:
                assert b"a/+" not in message.properties


def test_properties_name_node_luid_family_and_kind() -> None:
    event = make_event(1)
    properties = unpacked(messages(message_expiry=60).event(event).properties)
    assert properties["ContentType"] == "application/json"
    assert properties["MessageExpiryInterval"] == 60
    assert [tuple(pair) for pair in properties["UserProperty"]] == [
        ("node", "nas"),
        ("luid", event.luid),
        ("family", "inet"),
        ("notification_type", "parameter_notification"),
    ]


def test_only_events_expire() -> None:
    assert "MessageExpiryInterval" not in unpacked(messages(message_expiry=60).state(make_event(1)).properties)


def test_properties_are_made_once() -> None:
    made = messages()
    assert made.event(make_event(1)).properties is made.event(make_event(2)).properties


def test_mqtt_3_has_no_properties() -> None:
    made = messages(protocol="3.1.1")
    assert made.event(make_event(1)).properties is None
    assert made.state(make_event(1)).properties is None


def test_packed_properties_are_what_paho_packs() -> None:
    theirs = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    theirs.UserProperty = [("node", "nås"), ("luid", "x" * 200)]
    theirs.ContentType = "application/json"
    theirs.MessageExpiryInterval = 7
    theirs.CorrelationData = b"\x00\xff"
    ours = packed_properties(
        content_type="application/json", user=[("node", "nås"), ("luid", "x" * 200)], expiry=7, correlation=b"\x00\xff"
    )
    assert unpacked(ours) == theirs.json()  # type: ignore[no-untyped-call]  # paho's


@pytest.mark.parametrize("event", [make_event(42), make_event(7, "delete_instance", make_row("é%\n"), node="my nas")])
def test_the_sdk_reads_the_same_cloudevent_from_both_formats_and_from_the_webhook(event: Event) -> None:
    structured = messages(format="cloudevents").event(event)
    assert unpacked(structured.properties)["ContentType"] == "application/cloudevents+json; charset=utf-8"
    read = JSONFormat().read(CloudEvent, structured.payload)
    assert read.get_data() == json.loads(event.json_bytes)
    binary = messages(format="cloudevents_binary").event(event)
    properties = unpacked(binary.properties)
    assert properties["ContentType"] == "application/json"
    assert binary.payload == event.json_bytes
    attributes: dict[str, Any] = dict(tuple(pair) for pair in properties["UserProperty"])
    judged = CloudEvent(attributes | {"time": datetime.fromisoformat(attributes["time"])}, json.loads(binary.payload))
    assert judged.get_attributes() | {"datacontenttype": "application/json"} == read.get_attributes()
    assert structured.payload == structured_json(event)


@pytest.mark.parametrize("model", [Info, Resynced, State, ReplayRequest, Since, AnswerHead, AnswerEvent, AnswerError])
def test_every_member_of_a_payload_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_a_state_is_as_its_model_describes_it() -> None:
    event = make_event(42, row=make_row(addresses=["192.0.2.10/24"], default_routes=["192.0.2.1"]), changed={})
    assert State.model_validate_json(state_bytes(event)).model_dump_json().encode() == state_bytes(event)


def test_an_event_is_the_very_bytes_of_the_journal() -> None:
    event = make_event(1)
    assert messages().event(event).payload is event.json_bytes


def test_topics_are_read_back() -> None:
    topics = Topics("home/interfaces", "nas")
    key = Key("0006008001000000", "inet6")
    assert topics.key_of(topics.state(key)) == key
    for other in ("home/interfaces/nas/x/inet/state", "interfaces/nas/0006008001000000/inet/state", topics.status):
        assert topics.key_of(other) is None


ALLOWED = ("answers/#", "people/+/inbox", "homeassistant/#", "interfaces/#", "interfacesX")


def answers(**options: Any) -> AnswerTopics:
    return AnswerTopics(MqttOptions(url=URL, **options), Topics("interfaces", "nas"))


@pytest.mark.parametrize(
    "topic",
    [
        *("a/+", "answers/#", "answers/+/x", "", "$SYS/x", "answers/a\0b", "answers/" + "x" * 1020),
        *(
            "interfaces/nas",
            "interfaces/nas/status",
            "interfaces/nas/info",
            "interfaces/nas/0006008001000000/inet/state",
        ),
        *("interfaces/nas/replay/get", "interfaces/nas/fence", "interfaces/nas/check"),
        *("interfaces/nas/replay/", "interfaces/nas/replay/a/b", "interfaces/nas/replay/a b", "interfaces/nas/replay"),
        *("interfaces/other/replay/x", "interfaces/other/0006008001000000/inet/state", "interfaces/", "interfaces//x"),
        *(
            "homeassistant/x",
            "homeassistant/status",
            "zigbee2mqtt/bridge/request/restart",
            "people/a/b/inbox",
            "/answers",
        ),
    ],
)
def test_no_answer_has_a_topic_of_other_messages_whatever_is_allowed(topic: str) -> None:
    assert not answers(replay_topics=ALLOWED).allow(topic)
    assert not answers().allow(topic)


@pytest.mark.parametrize("topic", ["answers", "answers/of/mine", "people/a/inbox", "interfacesX"])
def test_an_answer_goes_elsewhere_only_where_an_option_allows_it(topic: str) -> None:
    assert answers(replay_topics=ALLOWED).allow(topic)
    assert not answers().allow(topic)


def test_an_answer_may_always_go_to_a_client_of_the_node() -> None:
    assert answers().allow("interfaces/nas/replay/me-1_X")


@pytest.mark.parametrize("filters", ["#", "+/x", "/x", "$SYS/#", "a/#/b", "a#", "a+", "", "a\0", "a/" + "b" * 1100])
def test_a_filter_of_answers_begins_with_a_name(filters: str) -> None:
    with pytest.raises(ValidationError, match="begin with a name"):
        MqttOptions(url=URL, replay_topics=(filters,))


@pytest.mark.parametrize("node", ["nas", "näs", "nas.lan", "nas home", "🦊", "n" * 255])
def test_client_ids_are_stable_unique_and_short(node: str) -> None:
    ids = {client_id(node, sink, base) for sink in ("home", "cloud", "h" * 200) for base in ("interfaces", "test")}
    assert len(ids) == 6
    assert client_id(node, "home", "interfaces") in ids
    for one in ids:
        # MQTT 3.1.1, 3.1.3.1: what every server takes.
        assert len(one) <= 23
        assert one.isascii()
        assert one.isalnum()


def test_client_ids_of_many_nodes_differ() -> None:
    assert len({client_id(f"host-{number}.lan", "home", "interfaces") for number in range(20_000)}) == 20_000


@pytest.mark.parametrize(
    ("url", "port", "tls", "websockets"),
    [
        ("mqtt://h", 1883, False, False),
        ("mqtts://h", 8883, True, False),
        ("ws://h", 80, False, True),
        ("wss://h:9001/broker", 9001, True, True),
    ],
)
def test_urls(url: str, port: int, tls: bool, websockets: bool) -> None:
    server = parse_url(url)
    assert (server.port, server.tls, server.websockets) == (port, tls, websockets)


def test_a_user_in_the_url() -> None:
    options = MqttOptions(url="mqtts://home%40lab@[::1]:8884")
    assert (options.user, options.server.host, options.server.name) == ("home@lab", "::1", "[::1]:8884")
    assert "home" not in options.destination


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"url": "http://h"}, "mqtt://"),
        ({"url": "mqtt://"}, "a URL with a host"),
        ({"url": "mqtt://user:secret@h"}, "password_file"),
        ({"url": "mqtt://h/topic"}, "base"),
        ({"url": "mqtt://h:99999"}, "a port from 1 to 65535, like"),
        ({"url": "mqtt://h:x"}, "a port from 1 to 65535, like"),
        ({"url": URL, "base": "a/+"}, "a topic without [+] and #"),
        ({"url": URL, "base": "/a"}, "base"),
        ({"url": URL, "insecure": True}, "mqtts://"),
        ({"url": URL, "protocol": "4"}, "protocol"),
        ({"url": URL, "protocol": "3.1.1", "message_expiry": 5}, "message_expiry"),
        ({"url": URL, "password": "x", "password_file": "/x"}, "password_file"),
        ({"url": URL, "keepalive": 1}, "keepalive"),
        ({"url": URL, "colour": "red"}, "colour"),
    ],
)
def test_wrong_options_are_errors_that_name_what_was_expected(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word) as told:
        MqttOptions(**options)
    assert "secret" not in str(told.value).replace("password_file", "")


def test_protocol_may_be_a_number_as_in_toml() -> None:
    assert MqttOptions.model_validate({"url": URL, "protocol": 5}).protocol == "5"


def test_home_assistant_is_a_switch_too() -> None:
    for off in (False, "false"):  # the environment has strings
        assert not MqttOptions.model_validate({"url": URL, "home_assistant": off}).home_assistant.enabled
    with pytest.raises(ValidationError, match="should be true, false, or a table"):
        MqttOptions.model_validate({"url": URL, "home_assistant": "no"})


def test_secrets_do_not_show() -> None:
    assert "hush" not in repr(MqttOptions(url=URL, password=SecretStr("hush")))


def test_events_carry_no_retain_flag() -> None:
    assert not messages().event(make_events(1)[0]).retain
    assert make_snapshot()[1].key is not None


def test_a_reduced_state_names_what_it_lacks_and_the_last_is_empty() -> None:
    event = make_event(42, row=make_row(addresses=["192.0.2.10/24"]), changed={})
    *reduced, empty = messages().reductions(event)
    assert reduced
    for message in reduced:
        state = ReducedState.model_validate_json(message.payload)
        assert state.reduced == ("addresses",)
        assert "addresses" not in json.loads(message.payload)
        assert state.row == event.row
    assert (empty.payload, empty.retain) == (b"", True)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_size_of_a_packet_is_that_of_its_bytes(protocol: str) -> None:
    message = messages().plain(b"c" * 256)
    whole = MqttMessage("interfaces/näs/x", b"p" * 200, False, message)
    properties = len(message) if message and protocol == "5" else 0
    length = 2 + 17 + 2 + properties + 200
    assert packet_bytes(whole, has_properties=protocol == "5") == 1 + 2 + length
