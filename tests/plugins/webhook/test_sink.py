"""The webhook sink and a receiver on a real socket."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks import Webhook

from publisher.errors import ConfigurationError
from publisher.sink import Ended, Rejected, Retry
from publisher.testing import FakeSinkContext, make_event, make_events, make_row
from publisher_webhook.connection import PrivateConnection
from publisher_webhook.formats import structured
from publisher_webhook.http import LONGEST_RESPONSE
from publisher_webhook.options import WebhookOptions
from publisher_webhook.outcome import NotAnswered
from publisher_webhook.sink import WebhookSink
from tests.fixtures.netns import NetNs
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.webhook_server import (
    Behaviour,
    Exchange,
    Receiver,
    answer,
    answer_and_close,
    drip,
    hang,
    ok,
    raw,
    receiving,
    refuse_to_read,
    take_and_reset,
)
from tests.plugins.webhook.conftest import OTHER_SECRET, SECRET

EVENTS = make_events(3)


@contextmanager
def opened(receiver: Receiver, **options: Any) -> Iterator[WebhookSink]:
    with closed(receiver, **options) as sink:
        sink.open()
        yield sink


@contextmanager
def closed(receiver: Receiver, **options: Any) -> Iterator[WebhookSink]:
    """Makes a sink that is not open, for its `check`, and closes it at the end."""
    sink = WebhookSink(options_for(receiver, **options), FakeSinkContext("hook"))
    try:
        yield sink
    finally:
        sink.close()


def options_for(receiver: Receiver, **options: Any) -> WebhookOptions:
    return WebhookOptions.model_validate({"url": receiver.url, "connect_timeout": 60, "timeout": 60, **options})


def ids(receiver: Receiver) -> list[str]:
    return [json.loads(request.body)["id"] for request in receiver.requests]


def test_events_are_posted_in_order_over_one_connection(receiver: Receiver) -> None:
    with opened(receiver) as sink:
        sink.publish(EVENTS)
        sink.publish(make_events(2, first=4))
    assert ids(receiver) == [event.id for event in make_events(5)]
    assert {request.connection for request in receiver.requests} == {1}
    [first, *_] = receiver.requests
    assert (first.method, first.target, first.body) == ("POST", "/hook", structured(EVENTS[0]).body)
    assert first.headers["content-type"] == "application/cloudevents+json"
    assert first.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert first.headers["user-agent"] == "interface-publisher"
    assert "webhook-id" not in first.headers


@pytest.mark.parametrize("body", [b"", b"x" * 10_000, b"x" * LONGEST_RESPONSE, b"x" * (LONGEST_RESPONSE + 1)])
def test_the_connection_is_kept_whatever_the_size_of_the_answer(receiver: Receiver, body: bytes) -> None:
    receiver.always = answer(200, body)
    with opened(receiver) as sink:
        sink.publish(EVENTS)
    assert receiver.requests[-1].connection == (1 if len(body) <= LONGEST_RESPONSE else 3)


def test_no_more_of_an_answer_is_read_than_its_bound() -> None:
    def endless(exchange: Exchange) -> None:
        exchange.request.status = 400
        exchange.send(b"HTTP/1.1 400 No\r\n\r\n")
        while not exchange.server.closing.is_set():
            exchange.send(b"x" * 65536)

    with receiving(endless) as receiver, opened(receiver) as sink, pytest.raises(Rejected) as caught:
        sink.publish(EVENTS)
    assert len(caught.value.reason) < 1100


def test_binary_and_plain_are_sent_as_configured(receiver: Receiver) -> None:
    for form in ("binary", "plain"):
        with opened(receiver, format=form) as sink:
            sink.publish(EVENTS[:1])
    binary, plain = receiver.requests
    assert binary.headers["ce-id"] == EVENTS[0].id
    assert binary.body == plain.body == EVENTS[0].json_bytes
    assert not [name for name in plain.headers if name.startswith("ce-")]


def test_text_is_one_line_for_people(receiver: Receiver) -> None:
    hostile = make_event(9, "add_instance", make_row("x\r\n\x1b[2J{node} Ж"))
    with opened(receiver, format="text") as sink:
        assert sink.batch_size > 1, "both families of a change come together"
        sink.publish([EVENTS[0], hostile])
    for event, request in zip([EVENTS[0], hostile], receiver.requests, strict=True):
        assert request.body.decode() == event.text()
        assert request.body.decode().isprintable()
        assert request.headers["content-type"] == "text/plain; charset=utf-8"


def test_both_families_of_a_change_are_one_line(receiver: Receiver) -> None:
    rows = make_row("eth0", "inet"), make_row("eth0", "inet6")
    both = [make_event(seq, "delete_instance", row) for seq, row in enumerate(rows, 1)]
    with opened(receiver, format="text") as sink:
        sink.publish([*both, make_event(3, "add_instance", make_row("eth1", index=9))])
    first, second = (request.body.decode() for request in receiver.requests)
    assert first == "eth0 removed"
    assert second.startswith("eth1 ")


def test_text_is_signed_as_the_others_are(receiver: Receiver, secret_file: Path) -> None:
    with opened(receiver, format="text", secret_file=secret_file) as sink:
        sink.publish(EVENTS[:1])
    [request] = receiver.requests
    assert request.headers["webhook-id"] == EVENTS[0].id
    Webhook(SECRET).verify(request.body, request.headers, json_parse=False)  # raises


def test_the_lines_before_the_index_are_safe(receiver: Receiver) -> None:
    receiver.script += [ok, answer(503)]
    with opened(receiver, format="text") as sink, pytest.raises(Retry) as caught:
        sink.publish(EVENTS)
    assert caught.value.index == 1


def test_requests_are_signed_with_both_secrets(receiver: Receiver, secret_file: Path) -> None:
    with opened(receiver, secret_file=secret_file, previous_secret=OTHER_SECRET) as sink:
        sink.publish(EVENTS)
    for event, request in zip(EVENTS, receiver.requests, strict=True):
        for secret in (SECRET, OTHER_SECRET):
            assert Webhook(secret).verify(request.body, request.headers)["id"] == event.id
        assert request.headers["webhook-id"] == event.id


def test_each_try_has_the_same_id_and_body_and_its_own_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.script.append(answer(503))
    moments = iter([1_800_000_000, 1_800_000_060])
    monkeypatch.setattr("publisher_webhook.sink.time", type("clock", (), {"time": lambda: next(moments)}))
    with opened(receiver, secret=SECRET) as sink:
        with pytest.raises(Retry):
            sink.publish(EVENTS[:1])
        sink.publish(EVENTS[:1])
    first, second = receiver.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert [request.headers["webhook-timestamp"] for request in (first, second)] == ["1800000000", "1800000060"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_a_secret_that_is_rotated_in_its_file_counts_at_once(receiver: Receiver, secret_file: Path) -> None:
    with opened(receiver, secret_file=secret_file) as sink:
        secret_file.write_text(OTHER_SECRET, encoding="utf-8")
        sink.publish(EVENTS[:1])
    assert Webhook(OTHER_SECRET).verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_a_bad_secret_in_a_file_is_an_error_from_open(receiver: Receiver, secret_file: Path) -> None:
    secret_file.write_text("whsec_c2hvcnQ=", encoding="utf-8")
    with (
        pytest.raises(ConfigurationError, match="expected a secret") as caught,
        opened(receiver, secret_file=secret_file),
    ):
        pass
    assert str(secret_file) in str(caught.value)


def test_headers_and_the_token_are_sent(receiver: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0k3n\n", encoding="utf-8")
    with opened(receiver, token_file=token, headers={"X-Api-Key": "k"}) as sink:
        sink.publish(EVENTS[:1])
    assert receiver.requests[0].headers["authorization"] == "Bearer t0k3n"
    assert receiver.requests[0].headers["x-api-key"] == "k"


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        (answer(500), Retry, "status 500"),
        (answer(429, retry_after="3"), Retry, "status 429"),
        (answer(301, location="http://127.0.0.1:1/"), Retry, "redirects are not followed.*status 301"),
        (answer(307, location="/other"), Retry, "status 307"),
        (answer(404, b"no such hook"), Retry, "status 404 Not Found: no such hook"),
        (answer(400, b"no"), Rejected, "status 400 Bad Request: no"),
        (answer(410), Ended, "status 410"),
        (refuse_to_read, Retry, "no answer"),
        (take_and_reset, Retry, "no answer"),
        (raw(b""), Retry, "closed connection without response"),
        (raw(b"\x00\xff garbage " * 50 + b"\r\n\r\n"), Retry, "no answer"),
        (raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Retry, "no answer"),
        (raw(b"HTTP/1.1 20"), Retry, "no answer"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), None, ""),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), None, ""),
        (raw(b"HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\nhalf"), Rejected, "status 400 Bad Request: half"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), None, ""),
        (raw(b"HTTP/1.1 200 OK\r\nnonsense without a colon\r\n\r\n"), None, ""),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), Retry, "no answer"),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else str(value)[:20],
)
def test_each_answer_and_each_fault_has_its_outcome(behaviour: Behaviour, error: Any, message: str) -> None:
    with receiving(behaviour) as receiver, opened(receiver) as sink:
        if error is None:
            sink.publish(EVENTS)
            assert ids(receiver) == [event.id for event in EVENTS]
            return
        with pytest.raises(error, match=message) as caught:
            sink.publish(EVENTS)
        assert caught.value.index == 0
        assert len(receiver.requests) + receiver.refused == 1


def test_the_events_before_the_index_are_safe(receiver: Receiver) -> None:
    receiver.script += [ok, ok, answer(503, retry_after="9")]
    with opened(receiver) as sink, pytest.raises(Retry) as caught:
        sink.publish(EVENTS)
    assert (caught.value.index, caught.value.after) == (2, 9.0)


def test_nothing_is_sent_after_410(receiver: Receiver) -> None:
    receiver.script += [answer(410, b"bye")]
    with opened(receiver) as sink:
        for _ in range(2):
            with pytest.raises(Ended, match="410 Gone: bye"):
                sink.publish(EVENTS)
    assert len(receiver.requests) == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.script += [answer(status, location=elsewhere.url) for status in (301, 302, 303, 307, 308)]
        with opened(receiver) as sink:
            for _ in range(5):
                with pytest.raises(Retry, match="redirects are not followed"):
                    sink.publish(EVENTS[:1])
        assert not elsewhere.requests


def test_refusals_of_the_destination_are_dead_letters_after_the_time_of_the_option(receiver: Receiver) -> None:
    receiver.always = answer(403)
    with opened(receiver, retry_refusals="0s") as sink, pytest.raises(Rejected, match="status 403"):
        sink.publish(EVENTS)
    with opened(receiver) as sink, pytest.raises(Retry, match="status 403"):
        sink.publish(EVENTS)


@pytest.mark.parametrize("close", [answer_and_close, None])
def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(receiver: Receiver, close: Behaviour | None) -> None:
    """With None the server closes just as the next request arrives: only the missing response shows it."""
    receiver.script += [ok, refuse_to_read] if close is None else [close]
    with opened(receiver) as sink:
        for event in EVENTS:
            sink.publish([event])
    assert ids(receiver) == [event.id for event in EVENTS]
    assert receiver.requests[-1].connection == 2


def test_only_one_more_try_is_made_at_once(receiver: Receiver) -> None:
    receiver.script += [ok, refuse_to_read, refuse_to_read]
    with opened(receiver) as sink, pytest.raises(Retry) as caught:
        sink.publish(EVENTS)
    assert (caught.value.index, receiver.refused) == (1, 2)


SLOW = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def bytes_that_go_nowhere(exchange: Exchange) -> None:
    """Sends `100 Continue` for ever, which is no final response."""
    exchange.keep = False
    while not exchange.server.closing.wait(0.05):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("behaviour", [hang, drip(SLOW, 3.0), bytes_that_go_nowhere], ids=["hang", "drip", "continue"])
def test_a_request_ends_after_its_timeout_however_the_server_plays_for_time(behaviour: Behaviour) -> None:
    with receiving(behaviour) as receiver, opened(receiver, timeout=0.5) as sink:
        began = time.monotonic()
        with pytest.raises(Retry, match=r"no answer from http://127.0.0.1:\d+ within 0.5 s"):
            sink.publish(EVENTS)
        # The drip would take two minutes, and a socket's own timeout does not end it.
        assert 0.4 < time.monotonic() - began < 60
        assert len(receiver.wait(lambda requests: requests)) == 1


def test_the_timeout_holds_for_a_body_that_drips_after_success() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"

    def drip_the_body(exchange: Exchange) -> None:
        exchange.send(body)
        drip(b"x" * 100, 1.0, status=200)(exchange)

    def is_enough() -> None:
        with receiving(drip_the_body) as receiver, opened(receiver, timeout=1) as sink:
            began = time.monotonic()
            try:
                sink.publish(EVENTS[:1])
            except Retry as error:
                raise AssertionError("the status came too late") from error
            assert time.monotonic() - began < 50
            assert ids(receiver) == [EVENTS[0].id]  # it has said 200: sent once

    judged_while_awake(is_enough, within=0.5)


def test_no_connection_within_its_timeout_is_an_error(receiver: Receiver) -> None:
    receiver.close()
    with opened(receiver) as sink, pytest.raises(Retry, match=r"cannot connect to http://127\.0\.0\.1:.*refused"):
        sink.publish(EVENTS)
    receiver.listen()


def test_a_host_name_that_cannot_be_resolved_is_an_error() -> None:
    sink = WebhookSink(WebhookOptions(url="http://no-such-host.invalid/"), FakeSinkContext())
    sink.open()
    with pytest.raises(Retry, match="cannot connect to http://no-such-host"):
        sink.publish(EVENTS)
    sink.close()


class TestTls:
    """TLS with certificates of an authority made for the test."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> Path:
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(path))
        return path

    def server(self, authority: trustme.CA, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def test_an_authority_of_ones_own_is_trusted(self, authority: trustme.CA, ca_file: Path) -> None:
        with receiving(tls=self.server(authority, "127.0.0.1")) as receiver, opened(receiver, ca_file=ca_file) as sink:
            sink.publish(EVENTS)
            assert ids(receiver) == [event.id for event in EVENTS]
            assert {request.connection for request in receiver.requests} == {1}

    def test_a_certificate_of_another_name_gets_nothing(self, authority: trustme.CA, ca_file: Path) -> None:
        context = self.server(authority, "other.example")
        with receiving(tls=context) as receiver, opened(receiver, ca_file=ca_file) as sink:
            with pytest.raises(Retry, match=r"no secure connection to https://127.0.0.1:\d+: .*127.0.0.1"):
                sink.publish(EVENTS)
            assert not receiver.requests

    def test_an_unknown_authority_gets_nothing(self, authority: trustme.CA) -> None:
        with receiving(tls=self.server(authority, "127.0.0.1")) as receiver, opened(receiver) as sink:
            with pytest.raises(Retry, match=r"no secure connection to .*certificate verify failed"):
                sink.publish(EVENTS)
            assert not receiver.requests

    def test_a_client_certificate_is_shown(self, authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
        context = self.server(authority, "127.0.0.1")
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        client = authority.issue_cert("client")
        certificate = tmp_path / "client.pem"
        client.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        with receiving(tls=context) as receiver:
            with opened(receiver, ca_file=ca_file) as sink, pytest.raises(Retry):
                sink.publish(EVENTS)
            assert not receiver.requests
            with opened(receiver, ca_file=ca_file, cert_file=certificate) as sink:
                sink.publish(EVENTS)
            assert ids(receiver) == [event.id for event in EVENTS]

    def test_a_server_that_answers_in_plain_text_is_an_error(self, ca_file: Path) -> None:
        with receiving() as receiver:
            options = {"url": f"https://127.0.0.1:{receiver.port}/", "ca_file": ca_file, "connect_timeout": 0.5}
            with opened(receiver, **options) as sink, pytest.raises(Retry):
                sink.publish(EVENTS)

    def test_files_that_cannot_be_used_are_named(self, receiver: Receiver, tmp_path: Path) -> None:
        empty = tmp_path / "empty.pem"
        empty.touch()
        for options in ({"ca_file": empty}, {"ca_file": tmp_path / "absent"}, {"cert_file": empty}):
            [(name, path)] = options.items()
            sink = WebhookSink(options_for(receiver, url="https://127.0.0.1/", **options), FakeSinkContext())
            with pytest.raises(ConfigurationError, match="no PEM certificate") as caught:
                sink.open()
            sink.close()
            assert f"{name} {path}" in str(caught.value)


class TestBatches:
    def test_events_go_together(self, receiver: Receiver) -> None:
        with opened(receiver, batch=True, secret=SECRET) as sink:
            sink.publish(make_events(250))
        sent = [json.loads(request.body) for request in receiver.requests]
        assert [len(batch) for batch in sent] == [100, 100, 50]
        assert [event["id"] for batch in sent for event in batch] == [event.id for event in make_events(250)]
        for request in receiver.requests:
            assert Webhook(SECRET).verify(request.body, request.headers)
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3

    def test_the_index_of_a_batch_that_failed_is_its_first_event(self, receiver: Receiver) -> None:
        receiver.script += [ok, answer(500)]
        with opened(receiver, batch=True) as sink, pytest.raises(Retry) as caught:
            sink.publish(make_events(250))
        assert caught.value.index == 100

    def test_a_batch_keeps_its_cut_id_and_body_until_it_is_settled(self, receiver: Receiver) -> None:
        events = make_events(60)
        receiver.script += [ok, answer(500), answer(503)]
        with opened(receiver, batch=True, secret=SECRET, previous_secret=OTHER_SECRET) as sink:
            sink.publish(events[:2])
            for more in (5, 9):  # each time more events wait
                with pytest.raises(Retry) as caught:
                    sink.publish(events[2:more])
                assert caught.value.index == 0
            sink.publish(events[2:])
        _, *tries, rest = receiver.requests
        assert len({(request.headers["webhook-id"], request.body) for request in tries}) == 1
        assert [event["id"] for event in json.loads(tries[0].body)] == [event.id for event in events[2:5]]
        assert [event["id"] for event in json.loads(rest.body)] == [event.id for event in events[5:]]
        for request in receiver.requests:
            for secret in (SECRET, OTHER_SECRET):
                assert Webhook(secret).verify(request.body, request.headers)

    def test_a_batch_that_was_refused_goes_on_in_single_events_with_their_own_ids(self, receiver: Receiver) -> None:
        events = make_events(6)
        receiver.script += [answer(400), ok, answer(500), ok, answer(400), ok]
        with opened(receiver, batch=True, secret=SECRET) as sink:
            with pytest.raises(Retry) as again:
                sink.publish(events[:4])
            with pytest.raises(Rejected) as refused:
                sink.publish(events[1:])
            sink.publish(events[3:])
        assert (again.value.index, refused.value.index) == (1, 1)
        sent = [[event["id"] for event in json.loads(request.body)] for request in receiver.requests]
        ids = [event.id for event in events]
        assert sent == [ids[:4], ids[:1], ids[1:2], ids[1:2], ids[2:3], ids[3:4], ids[4:]]
        assert receiver.requests[2].headers["webhook-id"] == ids[1]

    def test_a_dead_letter_in_between_leaves_the_cut_as_it_is(self, receiver: Receiver) -> None:
        events = make_events(9)
        receiver.script += [answer(500), ok]
        with opened(receiver, batch=True, secret=SECRET) as sink:
            with pytest.raises(Retry):
                sink.publish(events[2:5])
            sink.publish(events[:1])
            sink.publish(events[2:])
        first, _, again, _ = receiver.requests
        assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)

    def test_in_a_rejected_batch_only_the_bad_event_is_rejected(self, receiver: Receiver) -> None:
        bad = EVENTS[1].id

        def picky(exchange: Exchange) -> None:
            answer(400 if bad.encode() in exchange.request.body else 200)(exchange)

        receiver.always = picky
        with opened(receiver, batch=True) as sink:
            with pytest.raises(Rejected) as caught:
                sink.publish(EVENTS)
            assert caught.value.index == 1
            sink.publish(EVENTS[2:])
        accepted = [json.loads(request.body) for request in receiver.requests if request.status == 200]
        assert [event["id"] for batch in accepted for event in batch] == [EVENTS[0].id, EVENTS[2].id]


class TestProxy:
    def test_the_environment_counts_only_by_option(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "")
        with receiving() as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:hunter22@127.0.0.1:{proxy.port}")
            with opened(receiver) as sink:
                sink.publish(EVENTS[:1])
            assert (len(receiver.requests), len(proxy.requests)) == (1, 0)
            with opened(receiver, proxy_from_environment=True, allow_plain_http=True) as sink:
                sink.publish(EVENTS[:1])
            assert (len(receiver.requests), len(proxy.requests)) == (1, 1)
            assert proxy.requests[0].target == receiver.url
            assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            with opened(receiver, proxy_from_environment=True) as sink:
                sink.publish(EVENTS[:1])
            assert (len(receiver.requests), len(proxy.requests)) == (2, 1)

    def test_plain_http_through_a_proxy_must_be_meant(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        sink = WebhookSink(options_for(receiver, proxy_from_environment=True), FakeSinkContext())
        with pytest.raises(ConfigurationError, match="allow_plain_http"):
            sink.open()
        sink.close()

    def test_https_goes_through_a_tunnel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "")
        with receiving(answer(502)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            options = {"url": "https://hook.example/secret-path", "proxy_from_environment": True}
            with opened(proxy, **options) as sink, pytest.raises(Retry, match="the proxy failed"):
                sink.publish(EVENTS[:1])
            assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "hook.example:443")


def test_nothing_is_sent_unencrypted_to_a_public_address(inside_netns: NetNs) -> None:
    """The network is the test's own, and the public address in it is this host's."""
    inside_netns.ip("link set lo up", "address add 8.8.8.8/32 dev lo")
    with socket.create_server(("8.8.8.8", 0)) as server:
        connection = PrivateConnection("8.8.8.8", server.getsockname()[1], timeout=5)
        with pytest.raises(NotAnswered, match="allow_plain_http"):
            connection.request("POST", "/", b"body")
        with server.accept()[0] as peer:
            assert peer.recv(100) == b""
        connection.close()


def test_check_requests_options_and_returns_the_status(receiver: Receiver) -> None:
    receiver.always = answer(405)
    with closed(receiver, secret=SECRET) as sink:
        shown = sink.check()
    assert shown == (
        f"http://127.0.0.1:{receiver.port} answers (to OPTIONS: status 405); requests are signed, as "
        "application/cloudevents+json (Express, n8n and Node-RED read application/json only: "
        'format = "binary" or "plain")'
    )
    with closed(receiver, format="binary") as sink:
        assert sink.check().endswith("requests are not signed, as application/json")
    with closed(receiver, batch=True) as sink:
        assert "application/cloudevents-batch+json (Express" in sink.check()
    assert [request.method for request in receiver.requests] == ["OPTIONS"] * 3
    receiver.close()
    with closed(receiver) as sink, pytest.raises(Retry, match="cannot connect"):
        sink.check()
    receiver.listen()


def echo(exchange: Exchange) -> None:
    """Responds, like a server under development, with everything that it received."""
    request = exchange.request
    answer(400, f"cannot {request.method} {request.target} {request.headers}".encode())(exchange)


@pytest.mark.parametrize("behaviour", [echo, take_and_reset, raw(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"), hang])
def test_no_secret_is_in_an_error_or_a_log_line(
    behaviour: Callable[[Exchange], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # As in the service, which shows what libraries log from WARNING up.
    caplog.set_level(logging.WARNING)
    token = tmp_path / "token"
    token.write_text("t0k3n-t0k3n", encoding="utf-8")
    secrets = ["T0P53CR3T", "hunter22", "t0k3n-t0k3n", SECRET.removeprefix("whsec_")]
    with receiving(behaviour) as receiver:
        url = f"{receiver.url}/T0P53CR3T?key=hunter22"
        options = {"url": url, "secret": SECRET, "token_file": token, "headers": {"X-Key": "hunter22"}, "timeout": 0.3}
        errors: list[BaseException | None] = []
        with opened(receiver, **options) as sink:
            try:
                sink.publish(EVENTS[:1])
            except (Retry, Rejected) as error:
                errors = [error, error.__cause__]
            shown = [str(errors), repr(sink._poster), repr(sink._authentication), caplog.text, *capfd.readouterr()]
    assert not [secret for secret in secrets for text in shown if secret in text]


def test_the_loggers_of_libraries_are_left_alone(receiver: Receiver) -> None:
    loggers = [logging.getLogger(name) for name in ("urllib3", "urllib3.connection", "urllib3.connectionpool")]
    before = [(logger.level, logger.disabled, list(logger.filters), list(logger.handlers)) for logger in loggers]
    with opened(receiver) as sink:
        sink.publish(EVENTS[:1])
    after = [(logger.level, logger.disabled, list(logger.filters), list(logger.handlers)) for logger in loggers]
    assert after == before
