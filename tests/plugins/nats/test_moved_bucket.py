"""A bucket that was put back to an older state, deleted, or was away, while the sink was connected."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from publisher import Cursor
from publisher.testing import EPOCH, make_event, make_events, make_row, make_snapshot
from tests.fixtures.nats import NatsServer
from tests.fixtures.nats_bucket import BucketReader, reading
from tests.fixtures.nats_sinks import filled, new_bucket, opened
from tests.fixtures.poll import wait_for


@pytest.fixture
def reader(nats_server: NatsServer) -> Iterator[BucketReader]:
    with reading(nats_server.url, new_bucket()) as one:
        yield one


def seqs(reader: BucketReader) -> list[int]:
    return [event["seq"] for event in reader.events()]


def test_what_an_older_copy_lacks_is_written_again(
    nats_server: NatsServer, reader: BucketReader, tmp_path: Path
) -> None:
    events = make_events(40)
    with filled(nats_server.url, reader.bucket) as one:
        one.publish(events[:10])
        nats_server.stop()
        nats_server.copy_store(tmp_path / "copy")
        nats_server.start()
        wait_for(lambda: (one.context.run_jobs(), one.cursor())[1], what="the connection")
        one.publish(events[10:30])
        nats_server.stop()
        nats_server.put_back(tmp_path / "copy")
        nats_server.start()
        requested = one.context.snapshots_requested
        wait_for(lambda: (one.context.run_jobs(), one.context.snapshots_requested > requested)[1], what="a connection")
        assert "put back" in str(one.fails(events[30:]))
        assert one.cursor() == Cursor(EPOCH, 10)
        one.publish(events[10:])
        assert seqs(reader) == list(range(1, 41))


def test_a_bucket_that_was_deleted_is_made_and_filled_again(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        one.publish(make_events(3))
        reader.api(f"STREAM.DELETE.KV_{reader.bucket}")
        one.fails(make_events(1, first=4))
        requested = one.context.snapshots_requested
        assert one.cursor() is None
        assert one.context.snapshots_requested > requested
        one.publish(make_snapshot(seq=4))
        assert len(reader.rows("testnode.*.*")) == 3


def test_a_bucket_that_was_made_anew_is_filled_again(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        one.publish(make_events(3))
        reader.api(f"STREAM.PURGE.KV_{reader.bucket}")
        one.fails(make_events(1, first=4))
        requested = one.context.snapshots_requested
        assert one.cursor() is None
        assert one.context.snapshots_requested > requested


def test_an_empty_bucket_at_open_is_filled(nats_server: NatsServer, reader: BucketReader) -> None:
    with opened(nats_server.url, reader.bucket) as one:
        assert one.context.snapshots_requested == 1
    with filled(nats_server.url, reader.bucket) as one:
        assert one.cursor() == Cursor(EPOCH, 0)
    with opened(nats_server.url, reader.bucket) as one:
        assert one.context.snapshots_requested == 0


def test_a_connection_that_is_lost_is_made_again_without_an_event(
    nats_server: NatsServer, reader: BucketReader
) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        nats_server.kill()
        wait_for(lambda: len(one.context.jobs) > 1, what="a job that connects again")
        nats_server.start()
        delays = [delay for delay, _ in one.context.jobs]
        assert 1.0 <= min(delays) <= 3.0
        wait_for(lambda: (one.context.run_jobs(), one.sink.connection is not None and one.sink.connection.is_open)[1])
        assert not one.context.snapshots_requested > 1


def test_close_returns_soon_though_the_server_takes_nothing(nats_server: NatsServer, reader: BucketReader) -> None:
    addresses = [f"10.{number // 250}.{number % 250}.1/24" for number in range(1500)]
    large = [make_event(1, row=make_row(addresses=addresses))] * 250
    with filled(nats_server.url, reader.bucket) as one:
        one.be_impatient()
        nats_server.pause()
        try:
            one.fails(large)  # what the kernel does not take any more waits in the client
            one.fails(large)
            began = time.monotonic()
            one.sink.close()
            assert time.monotonic() - began < 10  # a second; the machine may be busy
        finally:
            nats_server.resume()


def test_the_status_names_a_server_that_is_away_while_nothing_waits_to_be_sent(nats_server: NatsServer) -> None:
    with filled(nats_server.url, new_bucket()) as one:
        assert one.context.trouble is None
        nats_server.stop()
        wait_for(lambda: (one.context.run_jobs(), one.context.trouble)[1], what="the reason in the status")
        assert f"not connected: {nats_server.url[7:]} cannot be reached" in (one.context.trouble or "")
        nats_server.start()
        wait_for(lambda: (one.context.run_jobs(), one.context.trouble is None)[1], what="no reason any more")
