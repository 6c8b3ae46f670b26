"""The notify sink: one message for each change and service, and what happens when one takes none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from publisher import ConfigurationError, Rejected, Retry
from publisher.events import Change, Event
from publisher.testing import FakeSinkContext, make_event, make_events, make_row, make_snapshot
from publisher_notify.options import NotifyOptions
from publisher_notify.sink import NotifySink
from tests.fixtures.phone import taken
from tests.fixtures.webhook_server import Behaviour, Receiver, answer, receiving


def url(receiver: Receiver, path: str = "hook") -> str:
    return f"json://127.0.0.1:{receiver.port}/{path}"


@contextmanager
def opened(*urls: str, **options: Any) -> Iterator[NotifySink]:
    given = {"urls": list(urls)} if urls else {}
    sink = NotifySink(NotifyOptions.model_validate(given | options), FakeSinkContext())
    try:
        sink.open()
        yield sink
    finally:
        sink.close()


def messages(receiver: Receiver) -> list[str]:
    """Returns the texts of the messages that were taken."""
    return [json.loads(request.body)["message"] for request in receiver.requests if request.status == 200]


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving(always=taken) as server:
        yield server


def down(family: str, seq: int) -> Event:
    row = make_row("eth0", family, interface={"oper_status": "down"}, connected=False)  # type: ignore[arg-type]  # a family
    changed = {
        "row.connected": Change(before=True, after=False),
        "interface.oper_status": Change(before="up", after="down"),
    }
    return make_event(seq, row=row, changed=changed)


def test_a_mark_of_loss_is_no_text_of_unknown_members(receiver: Receiver) -> None:
    with opened(url(receiver), text="{interface.alias} links at {interface.transmit_link_speed}") as sink:
        sink.publish(make_snapshot([], cause="overrun"))
    assert messages(receiver) == ["testnode lost changes (after messages were lost)"]


def test_title_and_text_are_templates(receiver: Receiver) -> None:
    with opened(url(receiver), title="{node}: {interface.alias}", text="{{{text}}}") as sink:
        sink.publish([event := down("inet", 1)])
    received = json.loads(receiver.requests[-1].body)
    assert received["title"] == "testnode: eth0"
    assert received["message"] == f"{{{event.text()}}}"
    assert received["type"] == "warning"


def test_by_default_it_is_the_line_of_the_event_under_the_name_of_the_host(receiver: Receiver) -> None:
    with opened(url(receiver)) as sink:
        sink.publish([event := make_event(1, "add_instance")])
    received = json.loads(receiver.requests[-1].body)
    assert (received["title"], received["message"], received["type"]) == ("testnode", event.text(), "info")


def test_both_families_of_a_change_are_one_message(receiver: Receiver) -> None:
    with opened(url(receiver), text="{family} {text}") as sink:
        sink.publish([down("inet", 1), down("inet6", 2), *make_events(1, first=3)])
    first, second = messages(receiver)
    assert first.startswith("inet, inet6 eth0 ")
    assert second.startswith("inet ")


def test_what_fails_is_sent_again_only_to_the_service_that_lacks_it(receiver: Receiver, other: Receiver) -> None:
    events = make_events(3)
    other.script.append(answer(503))
    with opened(url(receiver), url(other), text="{seq}") as sink:
        with pytest.raises(Retry, match=r"^urls\[1\] \(JSON\): .*error=503") as caught:
            sink.publish(events)
        assert caught.value.index == 0
        assert messages(receiver) == ["1", "2", "3"], "the others go on"
        assert messages(other) == [], "in order: nothing overtakes the first"
        assert len(other.requests) == 1
        assert sink.batch_size > NotifySink.batch_size
        sink.publish(events)
        assert messages(receiver) == messages(other) == ["1", "2", "3"]
        assert sink.batch_size == NotifySink.batch_size
        sink.publish(events[:1])
        assert messages(receiver)[-1] == messages(other)[-1] == "1", "a replay is sent to all"


def test_the_index_is_the_first_event_that_a_service_lacks(receiver: Receiver, other: Receiver) -> None:
    other.script += [taken, answer(503)]
    with opened(url(receiver), url(other), text="{seq}") as sink:
        with pytest.raises(Retry) as caught:
            sink.publish(make_events(4))
        assert caught.value.index == 1
        sink.publish(make_events(4)[1:])
    assert messages(receiver) == messages(other) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("behaviour", [answer(429), answer(500), answer(503), answer(408), answer(425)])
def test_what_is_no_refusal_is_tried_without_an_end(receiver: Receiver, behaviour: Behaviour) -> None:
    receiver.always = behaviour
    with opened(url(receiver), retry_refusals="0s") as sink:
        for _ in range(3):
            with pytest.raises(Retry):
                sink.publish(make_events(2))


def test_a_service_that_cannot_be_reached_is_tried_without_an_end(receiver: Receiver) -> None:
    receiver.close()
    with opened(url(receiver), retry_refusals="0s") as sink, pytest.raises(Retry, match="Connection refused"):
        sink.publish(make_events(2))
    receiver.listen()


def test_a_refusal_is_tried_again_for_the_time_of_the_option(receiver: Receiver) -> None:
    receiver.always = answer(403)
    with opened(url(receiver), retry_refusals="1h") as sink, pytest.raises(Retry, match="error=403"):
        sink.publish(make_events(2))
    with opened(url(receiver), retry_refusals="0s") as sink, pytest.raises(Rejected, match="error=403") as caught:
        sink.publish(make_events(2))
    assert caught.value.index == 0


def test_an_event_that_one_service_refuses_is_a_dead_letter_and_the_others_have_it_once(
    receiver: Receiver, other: Receiver
) -> None:
    other.always = answer(403)
    events = make_events(2)
    with opened(url(receiver), url(other), text="{seq}", retry_refusals="0s") as sink:
        for index in range(2):
            with pytest.raises(Rejected, match=r"^urls\[1\]") as caught:
                sink.publish(events[index:])
            assert caught.value.index == 0
        other.always = taken
        for event in events:  # the dead letters, on request
            sink.publish([event])
    assert messages(receiver) == messages(other) == ["1", "2"]


def test_while_one_refuses_and_another_is_away_nothing_is_rejected(receiver: Receiver, other: Receiver) -> None:
    other.always, receiver.always = answer(403), answer(503)
    with opened(url(receiver), url(other), text="{seq}", retry_refusals="0s") as sink:
        with pytest.raises(Retry, match=r"urls\[0\].*error=503.*; urls\[1\].*error=403"):
            sink.publish(make_events(1))
        receiver.always = taken
        with pytest.raises(Rejected, match=r"^urls\[1\]"):
            sink.publish(make_events(1))


def test_what_is_remembered_of_others_is_bounded(receiver: Receiver, other: Receiver) -> None:
    other.always = answer(403)
    with opened(url(receiver), url(other), retry_refusals="0s") as sink:
        for event in make_events(1100):
            sink._recipients[0]._has[event.id] = None
        with pytest.raises(Rejected):
            sink.publish(make_events(1, first=2000))
        assert len(sink._recipients[0]._has) == 1000


def test_the_urls_of_a_file_are_read_again_each_time(receiver: Receiver, other: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text(f"# phones\n{url(receiver)}\n")
    with opened(urls_file=str(file), text="{seq}") as sink:
        sink.publish(make_events(1))
        file.write_text(f"{url(other)}\n")
        sink.publish(make_events(1, first=2))
    assert (messages(receiver), messages(other)) == (["1"], ["2"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory; create it"),
        ("", "it has no line"),
        ("json://127.0.0.1/\nhunter22\n", r"urls_file\[1\]: expected a URL with a scheme"),
        ("slack://hunter22", r"urls_file\[0\]: Apprise cannot use this URL of slack://"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, expected: str) -> None:
    file = tmp_path / "urls"
    if content is not None:
        file.write_text(content)
    sink = NotifySink(NotifyOptions(urls_file=file), FakeSinkContext())
    for call in (sink.open, sink.check):
        with pytest.raises(ConfigurationError, match=expected) as caught:
            call()
        assert str(file) in str(caught.value)
        assert "hunter22" not in str(caught.value)


def test_check_names_the_services_and_sends_nothing(receiver: Receiver) -> None:
    sink = NotifySink(NotifyOptions.model_validate({"urls": [url(receiver), "ntfy://topic"]}), FakeSinkContext())
    assert sink.check() == (
        "urls[0] (JSON), urls[1] (ntfy): usable by Apprise; a check sends nothing, so it is not known if they take "
        "messages"
    )
    assert receiver.requests == []
