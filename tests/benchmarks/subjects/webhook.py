"""Sustained webhooks through journal, worker and sink, beside bare urllib3 with the same bodies to the same server."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import urllib3

from publisher.delivery.worker import Worker
from publisher.events import Event
from publisher.journal.journal import Journal
from publisher.testing import make_events, make_row
from publisher_webhook.formats import structured
from publisher_webhook.options import WebhookOptions
from publisher_webhook.sink import WebhookSink
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.workers import started
from tests.fixtures.waking import wake

EVENTS = 2000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def measure(rounds: int = 3) -> list[Figure]:
    """Events a second, signed and journalled, one request each, and in batches."""
    with receiver() as url, tempfile.TemporaryDirectory() as directory:
        bare, single, batch = [], [], []
        for number in range(rounds):
            path = Path(directory) / f"{number}.sqlite"
            bare.append(rate(lambda: post_bare(url)))
            single.append(publish(path.with_suffix(".single"), url, batch=False))
            batch.append(publish(path.with_suffix(".batch"), url, batch=True))
    return [
        Figure(f"webhooks, {what}", median(rates), "events/s", limit, "bare urllib3", median(bare), at_least=True)
        for what, rates, limit in (("signed, one event each", single, 0.5), ("in batches", batch, 4))
    ]


def rate(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return EVENTS / (time.perf_counter() - began)


def post_bare(url: str) -> None:
    headers = {"Content-Type": "application/cloudevents+json"}
    bodies = [structured(event).body for event in make_events(EVENTS)]
    with urllib3.PoolManager() as manager:
        for body in bodies:
            assert manager.request("POST", url, body=body, headers=headers).status == 204


def publish(path: Path, url: str, *, batch: bool) -> float:
    """The rate from the moment that the events are in the journal until the last is confirmed."""
    journal = Journal.open(path, node="benchmark")
    journal.replace_rows([make_row()])
    options = WebhookOptions.model_validate({"url": url, "secret": SECRET, "batch": batch})
    worker = started(lambda context: WebhookSink(options, context), options.destination, journal)
    with contextlib.closing(journal):
        wait_until(lambda: worker.status().seq == 0)
        journal.append([event_of(journal, event) for event in make_events(EVENTS)])
        measured = rate(lambda: deliver(worker))
        worker.stop(5)
    return measured


def deliver(worker: Worker) -> None:
    wake(worker)
    wait_until(lambda: worker.status().seq == EVENTS)


def event_of(journal: Journal, event: Event) -> Event:
    return event.model_copy(update={"epoch": journal.epoch})


def wait_until(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(0.001)


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """A server in a process of its own, so that it takes none of ours."""
    command = [sys.executable, "-m", __name__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/hook"
        finally:
            process.kill()


def serve() -> None:
    """Answer each request with 204, one connection at a time, as quickly as a loop can."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            with listener.accept()[0] as sock, contextlib.suppress(ConnectionError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while take_request(sock):
                    sock.sendall(ANSWER)


def take_request(sock: socket.socket) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := sock.recv(65536)):
            return False
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    missing = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(sock.recv(65536))
    return True


if __name__ == "__main__":
    serve()
