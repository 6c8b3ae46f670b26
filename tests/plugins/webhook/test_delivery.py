"""The whole way from a real journal over real workers to a receiver that fails in every known way."""

from __future__ import annotations

import itertools
import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import trustme

from publisher.delivery.backoff import Backoff
from publisher.delivery.worker import Worker
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.sink import SinkOptions
from publisher.testing import Recorder, make_events, make_row
from publisher_webhook.options import WebhookOptions
from publisher_webhook.sink import WebhookSink
from tests.fixtures.pipeline import ask
from tests.fixtures.poll import wait_for
from tests.fixtures.starved import judged_while_awake
from tests.fixtures.waking import wake
from tests.fixtures.webhook_server import (
    Behaviour,
    Exchange,
    Receiver,
    Request,
    answer,
    drip,
    hang,
    ok,
    raw,
    receiving,
    refuse_to_read,
    take_and_reset,
)
from tests.plugins.webhook.conftest import SECRET

TOKEN = "t0k3n-t0k3n-t0k3n"
PATH = "T0P53CR3T-path"
QUICK = Backoff(first=0.02, most=0.1)


class Host:
    """A host with a journal, a webhook and another sink, connected as in the service; keeps its log."""

    def __init__(self, directory: Path, receiver: Receiver, **options: Any) -> None:
        self.path = directory / "journal.sqlite"
        self.receiver = receiver
        token = directory / "token"
        token.write_text(TOKEN, encoding="utf-8")
        self.options: dict[str, Any] = {
            "url": f"{receiver.url}/{PATH}",
            "secret": SECRET,
            "token_file": token,
            "connect_timeout": 60,
            "timeout": 60,
            **options,
        }
        self.lines: list[str] = []
        self._log = logging.Logger("publisher", logging.DEBUG)
        self._log.addHandler(LinesHandler(self.lines))
        self.other = Recorder()
        self.max_events = 1000

    def start(self, *, wait: bool = True, **changed: Any) -> None:
        """Opens the journal and starts both sinks; with `wait`, returns when both have the snapshot or have ended."""
        self.journal = Journal.open(self.path, node="testnode", max_events=self.max_events)
        if self.journal.rows() is None:
            self.journal.replace_rows([make_row()])
        options = WebhookOptions.model_validate(self.options | changed)
        self.hook = self._worker("hook", lambda context: WebhookSink(options, context), options)
        self.beside = self._worker("beside", self.other.make_sink, SinkOptions())
        self.hook.start()
        self.beside.start()
        if wait:
            for worker in (self.hook, self.beside):
                wait_for(partial(has_a_place, worker), what=f"{worker.name} has the snapshot")

    def happen(self, count: int = 5) -> list[Event]:
        """Appends so many events and wakes the sinks."""
        events = make_events(count, self.journal.seq + 1, epoch=self.journal.epoch)
        self.journal.append(events)
        wake(self.hook)
        wake(self.beside)
        return events

    def stop(self, timeout: float = 60.0) -> bool:
        """Stops both sinks and returns whether the webhook has delivered everything."""
        began = time.monotonic()
        done = self.hook.stop(timeout)
        assert time.monotonic() - began < timeout + 10  # a receiver that plays for time takes longer
        assert self.beside.stop(timeout)
        self.journal.close()
        return done

    def dead_letters(self) -> dict[str, str]:
        self.journal.commit()
        return {letter.event.id: letter.reason for letter in self.journal.dead_letters("hook")}

    def _worker(self, name: str, make: Any, options: SinkOptions) -> Worker:
        return Worker(
            name,
            make,
            destination=options.destination,
            fingerprint=options.model_dump_json(),
            journal=self.journal,
            log=self._log,
            backoff=QUICK,
        )


class LinesHandler(logging.Handler):
    """Appends each record to a list, as a line with its traceback."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


def has_a_place(worker: Worker) -> bool:
    """Returns whether the worker follows the journal, or has ended."""
    status = worker.status()
    return status.seq is not None or status.state == "ended"


@pytest.fixture
def host(tmp_path: Path, receiver: Receiver) -> Iterator[Host]:
    host = Host(tmp_path, receiver)
    yield host
    assert_nothing_secret(host)


def assert_nothing_secret(host: Host) -> None:
    texts = [*host.lines, str(host.hook.status()), host.hook.name]
    for secret in (TOKEN, PATH, SECRET, SECRET.removeprefix("whsec_")):
        assert not [text for text in texts if secret in text]


def tail(requests: Sequence[Request]) -> list[Request]:
    """Returns the requests that are no part of a snapshot."""
    return [request for request in requests if request.headers["webhook-id"].count("-") == 1]


def ids(requests: Sequence[Request]) -> list[str]:
    return [request.headers["webhook-id"] for request in requests]


def delivered(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in tail(receiver.requests) if 200 <= request.status < 300]


def wait_for_delivery(host: Host, last: Event) -> None:
    wait_for(lambda: (host.hook.status().seq or 0) >= last.seq, what=f"{last.id} delivered: {host.hook.status()}")


def assert_in_order_with_same_bodies(requests: Sequence[Request], events: Sequence[Event]) -> None:
    in_order = [identity for identity, _ in groupby(ids(requests))]
    wanted = [event.id for event in events]
    assert in_order == [identity for identity in wanted if identity in in_order]
    bodies = {(request.headers["webhook-id"], request.body) for request in requests}
    assert len(bodies) == len({identity for identity, _ in bodies})


FAULTS: dict[str, tuple[list[Behaviour], int]] = {
    "500 three times": ([answer(500)] * 3, 4),
    "503 and 408 and 425": ([answer(503), answer(408), answer(425)], 4),
    "reset before it took the request": ([refuse_to_read] * 3, 1),
    "reset after it took the request": ([take_and_reset] * 2, 3),
    "garbage": ([raw(b"\x16\x03\x01 what\r\n\r\n")], 2),
    "half an answer": ([raw(b"HTTP/1.1 20")], 2),
    "half a body after success": ([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", status=200)], 1),
}
DELAYS: dict[str, Behaviour] = {"hang": hang, "drip": drip(b"HTTP/1.1 200 OK\r\n\r\n", every=0.2)}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_event_arrives_in_order_whatever_the_receiver_does(fault: str, host: Host, receiver: Receiver) -> None:
    behaviours, tries = FAULTS[fault]
    # The snapshot of one row is two requests; the second event meets the fault.
    receiver.script += [ok, ok, ok, *behaviours]
    host.start()
    assert_delivered_in_order(host, tries)


@pytest.mark.parametrize("delay", DELAYS)
def test_every_event_arrives_in_order_when_an_answer_takes_too_long(delay: str, tmp_path: Path) -> None:
    attempts = itertools.count()

    def is_sent_again() -> None:
        folder = tmp_path / str(next(attempts))
        folder.mkdir()
        with receiving(ok, ok, ok, DELAYS[delay]) as receiver:
            host = Host(folder, receiver)
            try:
                host.start(timeout=1.5)
                assert_delivered_in_order(host, tries=2)
            finally:
                host.stop()
            assert_nothing_secret(host)

    # On a busy machine another answer takes too long, too.
    judged_while_awake(is_sent_again, within=0.7)


def assert_delivered_in_order(host: Host, tries: int) -> None:
    """Has five events happen, of which the second one meets the fault and is tried so often; all must arrive."""
    events = host.happen(5)
    wait_for_delivery(host, events[-1])
    requests = tail(host.receiver.requests)
    assert delivered(host.receiver) == [event.id for event in events]
    assert_in_order_with_same_bodies(requests, events)
    assert Counter(ids(requests)) == {event.id: tries if event is events[1] else 1 for event in events}
    assert host.dead_letters() == {}
    assert [event.id for event in host.other.wait_for_seq(events[-1].seq) if event.snapshot is None] == ids_of(events)
    assert host.stop()


def ids_of(events: Sequence[Event]) -> list[str]:
    return [event.id for event in events]


def test_the_snapshot_comes_first_and_whole(host: Host, receiver: Receiver) -> None:
    host.start()
    [start, row] = receiver.wait(lambda requests: len(requests) >= 2)
    assert b'"snapshot":{' in start.body
    assert b'"position":0,"count":1' in start.body
    assert b'"position":1,"count":1' in row.body
    assert host.stop()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_obeyed(form: str, host: Host, receiver: Receiver) -> None:
    def later(exchange: Exchange) -> None:
        moment = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        answer(429, retry_after="1" if form == "seconds" else moment)(exchange)

    receiver.script += [ok, ok, later]
    host.start()
    events = host.happen(2)
    wait_for_delivery(host, events[-1])
    first, second, _ = tail(receiver.requests)
    assert ids([first, second]) == [events[0].id] * 2
    # A date has whole seconds: up to one is lost. Without Retry-After it would be tried after 0.02 s at most.
    assert second.time - first.time > 0.9
    assert host.stop()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answer(400, b"we know no such luid"), "status 400 Bad Request: we know no such luid"),
        (answer(413, b"too large"), f"status 413 {HTTPStatus(413).phrase}: too large"),
    ],
)
def test_what_is_refused_is_a_dead_letter_and_the_rest_goes_on(
    behaviour: Behaviour, reason: str, host: Host, receiver: Receiver
) -> None:
    receiver.script += [ok, ok, ok, behaviour]
    host.start()
    events = host.happen(4)
    wait_for_delivery(host, events[-1])
    assert ids(tail(receiver.requests)) == ids_of(events)  # each of them once
    [(refused, recorded)] = host.dead_letters().items()
    assert refused == events[1].id
    assert reason in recorded
    assert host.stop()


def test_a_receiver_that_is_redeployed_loses_nothing(host: Host, receiver: Receiver) -> None:
    receiver.script += [ok, ok, *map(answer, (404, 404, 401, 403, 502, 301))]
    host.start()
    events = host.happen(4)
    wait_for_delivery(host, events[-1])
    assert ids(tail(receiver.requests)) == [events[0].id] * 6 + ids_of(events)
    assert not host.dead_letters()
    assert host.stop()


def test_a_dead_letter_that_is_sent_again_keeps_its_id_and_body(host: Host, receiver: Receiver) -> None:
    receiver.script += [ok, ok, answer(422), answer(422), ok, answer(422)]
    host.start()
    events = host.happen(3)
    wait_for_delivery(host, events[-1])
    assert list(host.dead_letters()) == ids_of(events[:2])
    ask(host.journal, host.hook, kind="retry")  # the first is refused once more
    wait_for(lambda: list(host.dead_letters()) == [events[0].id], what="the second letter delivered")
    ask(host.journal, host.hook, kind="retry", dead_letter=host.journal.dead_letters("hook")[0].id)
    wait_for(lambda: not host.dead_letters(), what="the first letter delivered")
    requests = tail(receiver.requests)
    assert ids(requests[3:]) == [events[0].id, events[1].id, events[0].id]
    assert len({request.body for request in requests}) == 3
    assert host.stop()


def test_dead_letters_hold_no_secret_of_a_receiver_that_echoes(host: Host, receiver: Receiver) -> None:
    def echo(exchange: Exchange) -> None:
        request = exchange.request
        answer(400, f"{request.method} {request.target}: {request.headers}".encode())(exchange)

    receiver.script += [ok, ok, echo]
    host.start()
    wait_for_delivery(host, host.happen(1)[-1])
    [reason] = host.dead_letters().values()
    assert "webhook-id" in reason
    assert not [secret for secret in (PATH, TOKEN) if secret in reason]
    assert host.stop()


def test_nothing_is_sent_after_410_until_the_configuration_changes(host: Host, receiver: Receiver) -> None:
    receiver.script += [ok, ok, ok, answer(410, b"unsubscribed")]
    host.start()
    events = host.happen(3)
    wait_for(lambda: host.hook.status().state == "ended", what="the sink to end")
    assert "410 Gone: unsubscribed" in str(host.hook.status().error)
    assert any("stopped until its options change: the receiver takes no more events" in line for line in host.lines)
    events += host.happen(2)
    host.other.wait_for_seq(events[-1].seq)
    assert len(tail(receiver.requests)) == 2
    host.stop()

    host.start()
    assert host.hook.status().state == "ended"
    events += host.happen(1)
    host.other.wait_for_seq(events[-1].seq)
    assert len(tail(receiver.requests)) == 2
    host.stop()

    host.start(format="binary")
    wait_for_delivery(host, events[-1])
    assert ids(tail(receiver.requests)[2:]) == ids_of(events[1:])
    assert host.stop()


def test_a_url_that_changed_is_a_new_subscriber(host: Host, receiver: Receiver) -> None:
    host.start()
    wait_for_delivery(host, host.happen(2)[-1])
    assert host.stop()
    host.start(format="plain")  # with another format it is the same subscriber
    wait_for_delivery(host, host.happen(1)[-1])
    assert len(receiver.requests) == 2 + 3
    assert host.stop()
    host.start(url=host.options["url"] + "/other")
    snapshot = receiver.wait(lambda requests: len(requests) >= 5 + 2)[5:]
    assert [request.target.endswith("/other") for request in snapshot] == [True, True]
    assert not tail(snapshot)
    assert host.stop()


def test_a_certificate_of_another_name_costs_nothing_but_time(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    contexts = {}
    for name in ("other.example", "127.0.0.1"):
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(contexts[name])
    with receiving(tls=contexts["other.example"]) as receiver:
        host = Host(tmp_path, receiver, ca_file=tmp_path / "ca.pem")
        host.start(wait=False)
        events = host.happen(3)
        wait_for(lambda: host.hook.status().failures >= 2, what="two tries")
        assert "no secure connection" in str(host.hook.status().error)
        host.other.wait_for_seq(events[-1].seq)
        assert not receiver.requests
        receiver.tls = contexts["127.0.0.1"]
        wait_for_delivery(host, events[-1])
        # Either as a part of the snapshot or after it.
        assert b'"metric":3,' in receiver.requests[-1].body
        assert len(set(ids(receiver.requests))) == len(receiver.requests)
        assert host.stop()
        assert_nothing_secret(host)


def test_down_for_longer_than_the_journal_remembers_the_snapshot_heals(host: Host, receiver: Receiver) -> None:
    host.max_events = 10
    host.start()
    before = host.happen(2)
    wait_for_delivery(host, before[-1])
    receiver.close()
    missed = host.happen(30)
    wait_for(lambda: host.hook.status().failures >= 2, what="two tries")
    receiver.listen()
    wait_for_delivery(host, missed[-1])
    after = host.happen(2)
    wait_for_delivery(host, after[-1])
    healed = receiver.requests[2 + len(before) :]
    assert ids(tail(healed)) == ids_of(after)
    assert ids(healed[2:]) == ids_of(after)  # the snapshot first, once
    assert f'"metric":{missed[-1].seq},'.encode() in healed[1].body
    assert host.stop()


@pytest.mark.parametrize("behaviour", [hang, drip(b"HTTP/1.1 200 OK\r\n\r\n", 1.0)], ids=["hang", "drip"])
def test_stop_does_not_wait_for_a_receiver_that_plays_for_time(
    behaviour: Behaviour, host: Host, receiver: Receiver
) -> None:
    receiver.script += [ok, ok, ok, behaviour]
    host.start(timeout=15)
    events = host.happen(3)
    wait_for(lambda: len(receiver.requests) == 4, what="the request that hangs")
    left_behind = host.hook
    assert not host.stop(timeout=1)
    receiver.close()  # ends the abandoned thread
    wait_for(lambda: not left_behind._thread.is_alive(), what="the thread to end")
    receiver.listen()
    host.start(url=host.options["url"])
    wait_for_delivery(host, events[-1])
    assert ids(tail(receiver.requests)) == ids_of([events[0], events[1], events[1], events[2]])
    assert host.stop()


def test_stop_amid_many_events_repeats_none_of_them(host: Host, receiver: Receiver) -> None:
    answered = threading.Event()

    def late(exchange: Exchange) -> None:
        answered.wait(60)
        ok(exchange)

    receiver.script += [ok, ok, *[ok] * 3, late]
    host.start()
    events = host.happen(60)
    receiver.wait(lambda requests: len(requests) == 6)
    host.hook.retire(0.0)
    answered.set()
    host.hook.join(60)
    host.stop()
    assert len(receiver.requests) == 6
    host.start()
    wait_for_delivery(host, events[-1])
    assert ids(tail(receiver.requests)) == ids_of(events)
    assert host.stop()


def test_other_sinks_do_not_wait_for_a_receiver_that_hangs(host: Host, receiver: Receiver) -> None:
    receiver.script += [hang]
    host.start(wait=False)
    receiver_has_it = wait_for(lambda: receiver.requests, what="the request that hangs")
    events = host.happen(50)
    host.other.wait_for_seq(events[-1].seq)
    assert len(receiver_has_it) == 1
    receiver.close()
    receiver.listen()
    wait_for_delivery(host, events[-1])
    assert host.stop()


def test_batches_go_the_whole_way(host: Host, receiver: Receiver) -> None:
    receiver.script += [ok, answer(500)]
    host.start(batch=True)
    events = host.happen(250)
    wait_for_delivery(host, events[-1])
    _, failed, *requests = receiver.requests
    assert (failed.body, failed.headers["webhook-id"]) == (requests[0].body, requests[0].headers["webhook-id"])
    assert len(requests) == 3
    assert host.stop()
