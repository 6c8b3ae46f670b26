"""Two publishers with one node name: one is refused and says so, and nothing of the other's is damaged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from publisher import Retry
from publisher.testing import make_events, make_row, make_snapshot
from tests.fixtures.nats import NatsServer
from tests.fixtures.nats_bucket import BucketReader, reading
from tests.fixtures.nats_sinks import OTHER_EPOCH, OpenSink, filled, new_bucket, opened, write_status
from tests.fixtures.poll import wait_for

WORDS = "another publisher uses the node name testnode"


@pytest.fixture
def reader(nats_server: NatsServer) -> Iterator[BucketReader]:
    with reading(nats_server.url, new_bucket()) as one:
        yield one


def everything(reader: BucketReader) -> list[tuple[str, bytes]]:
    return [(one.key, one.value) for one in reader.stored()]


def test_one_with_another_journal_waits_for_the_end_of_the_first(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as first:
        first.publish(make_events(2))
        write_status(reader, online=True, instance=first.sink.instance)
        before = everything(reader)
        second = OpenSink(nats_server.url, reader.bucket, OTHER_EPOCH)
        with pytest.raises(Retry, match=WORDS):
            second.sink.open()
        second.sink.close()
        assert everything(reader) == before
        first.publish(make_events(1, first=3))
    with filled(nats_server.url, reader.bucket, OTHER_EPOCH):
        assert {one.json["epoch"] for one in reader.rows().values()} == {OTHER_EPOCH}


@pytest.mark.parametrize("count", [1, 200], ids=["plain messages", "atomic batch"])
def test_the_second_of_a_copied_host_is_refused(nats_server: NatsServer, reader: BucketReader, count: int) -> None:
    with filled(nats_server.url, reader.bucket) as first, opened(nats_server.url, reader.bucket) as second:
        write_status(reader, online=True, instance=first.sink.instance)
        first.publish(make_events(3))
        before = everything(reader)
        for _ in range(2):
            assert WORDS in str(second.fails(make_events(count, row=make_row(nl_mtu=1280))))
        with pytest.raises(Retry, match=WORDS):
            second.cursor()
        assert everything(reader) == before
        first.publish(make_events(2, first=4))


def test_the_refused_one_goes_on_when_the_other_has_ended(nats_server: NatsServer, reader: BucketReader) -> None:
    with opened(nats_server.url, reader.bucket) as second:
        with filled(nats_server.url, reader.bucket) as first:
            write_status(reader, online=True, instance=first.sink.instance)
            assert WORDS in str(second.fails(make_snapshot()))
            with pytest.raises(Retry, match=WORDS):
                second.cursor()
        requested = second.context.snapshots_requested
        second.cursor()
        assert second.context.snapshots_requested > requested
        second.publish(make_snapshot(seq=7))
        assert {one.json["seq"] for one in reader.rows("testnode.*.*").values()} == {7}


def test_a_refused_one_waits_a_lease_though_the_status_is_its_own(
    nats_server: NatsServer, reader: BucketReader
) -> None:
    """Both write the status at first; the other one's is there again when it renews its lease."""
    with (
        opened(nats_server.url, reader.bucket, lease="2s") as second,
        filled(nats_server.url, reader.bucket) as first,
    ):
        write_status(reader, online=True, instance=second.sink.instance)
        assert WORDS in str(second.fails(make_snapshot()))
        first.publish(make_events(1))
        wait_for(lambda: goes_on(second), what="the end of the lease")


def goes_on(one: OpenSink) -> bool:
    try:
        return one.cursor() is not None
    except Retry:
        return False
