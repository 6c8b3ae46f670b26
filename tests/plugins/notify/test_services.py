"""The services of Apprise: what arrives at a real server, what a failure says, and what stays silent."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import pytest

from publisher_notify.services import AppriseService, NotifyMessage, NotTaken, _mask_of, load_services
from tests.fixtures.ports import free_port
from tests.fixtures.webhook_server import Behaviour, Receiver, answer, hang, receiving, take_and_reset

HELLO = NotifyMessage("nas", "eth0 down", "warning")


def service(url: str, *, timeout: float = 60.0) -> AppriseService:
    [loaded] = load_services([("urls[0]", url)], connect_timeout=60.0, timeout=timeout)
    return loaded


def body(receiver: Receiver) -> Any:
    return json.loads(receiver.requests[-1].body)


def test_json_gets_the_message(receiver: Receiver) -> None:
    service(f"json://127.0.0.1:{receiver.port}/hook").send(HELLO)
    assert receiver.requests[-1].target == "/hook"
    assert body(receiver) | {"title": "nas", "message": "eth0 down", "type": "warning"} == body(receiver)


def test_ntfy_gets_the_message_with_its_token(receiver: Receiver) -> None:
    service(f"ntfy://tk_hunter22hunter22@127.0.0.1:{receiver.port}/alerts?priority=high").send(HELLO)
    [request] = receiver.requests
    assert body(receiver) == {"topic": "alerts", "title": "nas", "message": "eth0 down"}
    assert request.headers["authorization"] == "Bearer tk_hunter22hunter22"
    assert request.headers["x-priority"] == "high"
    assert request.headers["user-agent"] == "publisher"


def test_text_stays_text_where_a_service_wants_html(receiver: Receiver) -> None:
    """The names of interfaces are anybody's."""
    hostile = "<b>*x*</b> {node} :smile: \\n &amp;"
    for form, expected in (("html", "&lt;b&gt;*x*&lt;/b&gt;"), ("text", hostile)):
        service(f"json://127.0.0.1:{receiver.port}/?format={form}").send(HELLO._replace(text=hostile))
        assert expected in body(receiver)["message"].replace("&nbsp;", " ")
        assert "<b>" not in body(receiver)["message"] or form == "text"


def test_a_message_is_cut_to_what_the_service_takes(receiver: Receiver) -> None:
    service(f"ntfy://127.0.0.1:{receiver.port}/alerts").send(HELLO._replace(text="x" * 10_000))
    assert 7000 < len(body(receiver)["message"]) <= 7800


@pytest.mark.parametrize(
    ("behaviour", "refused", "expected"),
    [
        (answer(403), True, "error=403"),
        (answer(404), True, "error=404"),
        (answer(302, location="http://127.0.0.1:9/"), True, "error=302"),
        (answer(400, b'{"error": "no such topic hunter22hunter22", "code": 40001}'), True, "***"),
        (answer(429, b'{"error": "slow down", "code": 42901}'), False, "slow down, error=42901"),
        (answer(408), False, "error=408"),
        (answer(503), False, "error=503"),
        (take_and_reset, False, "Connection aborted"),
        (hang, False, "Read timed out"),
    ],
    ids=["403", "404", "302", "400", "429", "408", "503", "reset", "hang"],
)
def test_a_failure_has_its_reason_and_no_secret(behaviour: Behaviour, refused: bool, expected: str) -> None:
    with receiving(always=behaviour) as receiver:
        url = f"ntfy://me:s3cret-word@127.0.0.1:{receiver.port}/hunter22hunter22"
        with pytest.raises(NotTaken) as caught:
            service(url, timeout=0.3 if behaviour is hang else 60.0).send(HELLO)
        receiver.closing.set()
    text = str(caught.value)
    assert text.startswith("urls[0] (ntfy): ")
    assert expected in text
    assert caught.value.refused is refused
    assert "hunter22" not in text
    assert "s3cret" not in text
    assert text.isprintable()
    assert len(text) < 600


def test_a_port_where_nobody_listens_is_named() -> None:
    port = free_port()
    with pytest.raises(NotTaken, match=rf"Socket Exception: 127\.0\.0\.1:{port}: Connection refused$") as caught:
        service(f"json://127.0.0.1:{port}/hunter22hunter22").send(HELLO)
    assert not caught.value.refused
    assert "hunter22" not in str(caught.value)


def test_the_url_may_have_a_timeout_of_its_own() -> None:
    with receiving(always=hang) as receiver:
        with pytest.raises(NotTaken, match="Read timed out"):
            service(f"json://127.0.0.1:{receiver.port}/?rto=0.2", timeout=300).send(HELLO)
        receiver.closing.set()


def test_apprise_is_silent_here_and_nowhere_else(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    try:
        good, bad = (service(f"json://127.0.0.1:{port}/") for port in (receiver.port, 1))
        good.send(HELLO)
        with pytest.raises(NotTaken):
            bad.send(HELLO)
        with pytest.raises(ValueError, match="Apprise cannot use"):
            service("slack://x")
        assert [record for record in caplog.records if record.name == "apprise"] == []
        logging.getLogger("apprise").warning("of another user of Apprise in this process")
        assert [record.message for record in caplog.records if record.name == "apprise"] == [
            "of another user of Apprise in this process"
        ]
    finally:
        logging.getLogger("apprise").setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")


def test_no_thread_is_started(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    service(f"json://127.0.0.1:{receiver.port}/").send(HELLO)
    with pytest.raises(NotTaken):
        service("json://127.0.0.1:1/").send(HELLO)
    assert set(started) == {"receiver"}


def test_two_threads_get_their_own_reasons() -> None:
    """Apprise has one logger for all."""
    with receiving(always=answer(403)) as refuses, receiving(always=answer(503)) as fails:
        reasons: dict[int, set[str]] = {403: set(), 503: set()}

        def attempt(status: int, port: int) -> None:
            for _ in range(20):
                with pytest.raises(NotTaken) as caught:
                    service(f"json://127.0.0.1:{port}/").send(HELLO)
                reasons[status].add(str(caught.value))

        pairs = ((403, refuses.port), (503, fails.port))
        threads = [threading.Thread(target=attempt, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(f"error={status}" in text for status, texts in reasons.items() for text in texts)
    assert {len(texts) for texts in reasons.values()} == {1}


@pytest.mark.parametrize(
    ("url", "text", "expected"),
    [
        ("tgram://123456789:abcdefg_hijk/chat5544", "/bot123456789:abcdefg_hijk/sendMessage", "/bot***/sendMessage"),
        ("tgram://123456789%3Aabcdefg_hijk/", "url: /bot123456789:abcdefg_hijk/", "url: /bot***/"),
        ("json://me:p%40ssword1@nas.lan:8123/hook", "p@ssword1 p%40ssword1 at nas.lan:8123", "*** *** at nas.lan:8123"),
        ("json://localhost/notify", "Failed to send JSON notification to localhost/notify", None),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "TIiajkdnlazkcOXrIdevi7FQ T1JJ3T3L2", "*** ***"),
        ("ntfy://alerts-of-home", "to topic 'alerts-of-home'", "to topic '***'"),
        ("json://h/?-key=topsecret1&format=text", "as text: topsecret1", "as text: ***"),
        ("json://h/", "nothing to mask", "nothing to mask"),
    ],
)  # fmt: skip
def test_each_part_of_a_url_is_masked(url: str, text: str, expected: str | None) -> None:
    shows_host = url.startswith("json://")
    expected = expected or "Failed to send JSON notification to localhost/***"
    assert _mask_of(url, shows_host=shows_host)(text) == expected


def test_a_service_that_raises_is_a_failure_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """170 services of as many authors; Apprise itself catches what they raise, and says only that it did."""
    from apprise.plugins.custom_json import NotifyJSON

    def raising(*_: object, **__: object) -> bool:
        raise RuntimeError("boom")

    monkeypatch.setattr(NotifyJSON, "send", raising)
    with pytest.raises(NotTaken, match="raised an exception"):
        service("json://127.0.0.1:1/").send(HELLO)
