"""The messages of a batch: large ones, refused ones, snapshots, deletes, and events that come late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from publisher import Cursor, Rejected
from publisher.testing import EPOCH, make_event, make_events, make_row, make_snapshot
from publisher_nats import writer
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.nats_bucket import BucketReader, reading
from tests.fixtures.nats_sinks import filled, new_bucket, opened

MIB = 1 << 20


@pytest.fixture
def reader(nats_server: NatsServer) -> Iterator[BucketReader]:
    with reading(nats_server.url, new_bucket()) as one:
        yield one


def seqs(reader: BucketReader) -> list[int]:
    return [event["seq"] for event in reader.events()]


def position(reader: BucketReader) -> Any:
    return reader.rows("testnode.position")["testnode.position"].json


def spread(count: int, first: int = 1) -> list[Any]:
    """Returns events of many rows: a bucket keeps 64 values of each."""
    rows = [make_row(f"eth{index}", index=index) for index in range(2, 102)]
    return [make_event(seq, row=rows[seq % 100], changed={}) for seq in range(first, first + count)]


def test_each_value_is_the_event_and_the_position_is_behind_it(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        [event] = make_events(1)
        one.publish([event])
        *_, stored, last = reader.stored()
        assert (stored.key, stored.value) == (f"testnode.{event.luid}.inet", event.json_bytes)
        assert (last.key, last.json) == ("testnode.position", {"epoch": EPOCH, "seq": 1, "id": event.id})


@pytest.mark.parametrize("replicas", [1, 3])
def test_more_events_than_one_batch_takes(nats_cluster: NatsCluster, replicas: int) -> None:
    events = spread(2500)
    with reading(nats_cluster.urls, new_bucket()) as reader:
        with filled(nats_cluster.urls, reader.bucket, replicas=replicas) as one:
            one.publish(events)
            assert seqs(reader) == list(range(1, 2501))
            assert one.cursor() == Cursor(EPOCH, 2500)
        assert reader.api(f"STREAM.INFO.KV_{reader.bucket}")["config"]["num_replicas"] == replicas


def test_a_snapshot_of_more_rows_than_one_batch_takes(nats_cluster: NatsCluster) -> None:
    rows = [make_row(f"eth{index}", index=index) for index in range(2, 2302)]
    with reading(nats_cluster.urls, new_bucket()) as reader, filled(nats_cluster.urls, reader.bucket) as one:
        before = position(reader)
        snapshot = make_snapshot(rows, seq=9)
        one.publish(snapshot[:1200])
        assert position(reader) == before
        assert one.cursor() == Cursor(EPOCH, 0)
        one.publish(snapshot[1200:])
        assert position(reader)["seq"] == 9
        assert len(reader.rows("testnode.*.*")) == 2300


def test_a_snapshot_that_was_interrupted_by_a_lost_connection_deletes_what_it_lacks(
    nats_server: NatsServer, reader: BucketReader
) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        rows = [make_row(f"eth{index}", index=index) for index in range(10, 20)]
        snapshot = make_snapshot(rows, seq=3)
        one.publish(snapshot[:5])
        nats_server.kill()
        left = one.fails(snapshot[5:])
        nats_server.start()
        one.sink._not_before = 0.0
        one.cursor()
        one.publish(snapshot[5 + left.index :])
        assert {one.json["interface"]["alias"] for one in reader.rows("testnode.*.*").values()} == {
            f"eth{index}" for index in range(10, 20)
        }


def test_only_the_nodes_own_keys_are_deleted(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        for key in ("testnode2.0006008001000000.inet", "testnode.note", "other"):
            reader.put(key, b"{}")
        one.cursor()
        one.publish(make_snapshot([]))
        assert reader.rows().keys() == {
            "testnode2.0006008001000000.inet",
            "testnode.note",
            "other",
            "testnode.position",
        }


def test_a_sink_without_snapshots_deletes_nothing(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket):
        pass
    with opened(nats_server.url, reader.bucket, snapshot=False) as one:
        one.publish(make_snapshot([], cause="overrun"))
        assert len(reader.rows("testnode.*.*")) == 3


def test_a_delete_is_a_marker_with_the_event_and_is_swept_away_later(
    nats_server: NatsServer, reader: BucketReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writer._REMOVED["Nats-TTL"] == "1s"
    monkeypatch.setitem(writer._REMOVED, "Nats-TTL", "10m")  # so that it is read before it ends
    gone = make_event(2, "delete_instance", make_row())
    with filled(nats_server.url, reader.bucket) as one:
        one.publish([*make_events(1), gone])
        assert gone.luid is not None
        key = f"testnode.{gone.luid}.inet"
        [*_, marker] = reader.stored(key)
        assert marker.is_deleted
        assert marker.value == gone.json_bytes
        assert key not in reader.rows()
        live = {f"$KV.{reader.bucket}.{key}" for key in reader.rows("testnode.*.*")}
        writing = one.sink._writer
        assert writing is not None
        one.sink.run(writing.sweep(live))
        assert reader.stored(key), "it is kept for a day"
        one.sink.run(writing.sweep(live, older=timedelta(seconds=-60)))
        [removed] = reader.stored(key)
        assert (removed.value, removed.headers["Nats-TTL"]) == (b"", "10m")
        assert len(reader.rows("testnode.*.*")) == 2
        one.publish(make_events(1, first=3))
        assert seqs(reader)[-1] == 3


def test_an_event_that_comes_late_does_not_become_the_state(nats_server: NatsServer, reader: BucketReader) -> None:
    """A dead letter that is sent again is older than its row."""
    events = make_events(5)
    with filled(nats_server.url, reader.bucket) as one:
        one.publish(events)
        one.publish([events[2]])
        assert seqs(reader) == [1, 2, 3, 4, 5, 3, 5]
        assert one.cursor() == Cursor(EPOCH, 5)
        assert position(reader)["id"] == events[4].id


@pytest.mark.parametrize("count", [2, 300], ids=["plain messages", "atomic batch"])
def test_an_event_that_is_too_large_is_rejected_and_the_others_are_stored(tmp_path: Any, count: int) -> None:
    events = spread(count)
    large = make_event(count + 1, row=make_row(addresses=[f"10.{a}.{b}.1/24" for a in range(8) for b in range(100)]))
    after = make_events(1, first=count + 2)
    with (
        NatsServer(tmp_path, config="max_payload: 32768") as server,
        reading(server.url, new_bucket()) as reader,
        filled(server.url, reader.bucket) as one,
    ):
        with pytest.raises(Rejected, match=r"more than the 32768 .*max_payload.*raise that limit") as refused:
            one.publish([*events, large, *after])
        assert refused.value.index == count
        one.publish(after)
        assert seqs(reader) == [*range(1, count + 1), count + 2]


def test_a_full_stream_is_tried_again_with_the_servers_words(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket) as one:
        config = reader.api(f"STREAM.INFO.KV_{reader.bucket}")["config"] | {"max_bytes": 20_000}
        assert "error" not in reader.api(f"STREAM.UPDATE.KV_{reader.bucket}", config)
        events = spread(200)
        refused = one.fails(events)
        assert "maximum bytes exceeded" in str(refused)
        stored = seqs(reader)
        assert stored == list(range(1, len(stored) + 1))
        cursor = one.cursor()
        assert cursor is not None
        assert cursor.seq == len(stored)
        config["max_bytes"] = -1
        reader.api(f"STREAM.UPDATE.KV_{reader.bucket}", config)
        one.publish(events[cursor.seq :])
        assert seqs(reader) == list(range(1, 201))


def test_garbage_in_the_position_is_replaced_by_a_snapshot(nats_server: NatsServer, reader: BucketReader) -> None:
    with filled(nats_server.url, reader.bucket):
        pass
    reader.put("testnode.position", b"\xff{not json")
    with opened(nats_server.url, reader.bucket) as one:
        assert one.context.snapshots_requested == 1
        one.publish(make_snapshot(seq=4))
        assert json.loads(reader.rows("testnode.position")["testnode.position"].value)["seq"] == 4
