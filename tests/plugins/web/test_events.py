"""`/events`: exactly once for whoever returns, the snapshot for whoever cannot go on, and nobody waits for a viewer."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import aclosing, closing

from publisher.events import Event
from publisher.service.service import Service
from publisher.testing import EPOCH, FakeSinkContext, make_events, make_snapshot
from publisher_web.shown.host import ShownHost
from publisher_web.stream.messages import LastSeen
from publisher_web.stream.viewer import PageViewer
from tests.fixtures.poll import wait_for
from tests.fixtures.sse import SseClient
from tests.plugins.web.conftest import PageHouse, state_of

# 4,096 messages, and what two sockets hold.
_MORE_THAN_IS_KEPT = 8000
Opened = Callable[..., SseClient]


def newest(service: Service) -> int:
    seq: int = service.status()["seq"]
    return seq


def published(house: PageHouse, service: Service, times: int) -> int:
    """Makes so many changes, waits until the sink has them, and returns the newest event's seq."""
    wanted = newest(service) + times
    house.change(times)
    wait_for(lambda: state_of(service).get("seq") == wanted, what=f"event {wanted}")
    return wanted


def test_a_viewer_gets_the_rows_and_then_each_change_once(house: PageHouse, opened: Opened) -> None:
    with house.page():
        viewer = opened()
        viewer.until_snapshot()
        house.change(50)
        viewer.until_change(50)
        assert viewer.seqs == list(range(1, 51))
        [marker, row] = [message for message in viewer.messages if message.name == "message" and not message.is_change]
        assert (marker.data["snapshot"]["position"], marker.id, row.id) == (0, None, f"{marker.data['epoch']}-{0:016d}")
        assert [message.data["in_sync"] for message in viewer.messages if message.name == "node"] == [False, True]
        assert [message.id for message in viewer.messages if message.is_change] == [c["id"] for c in viewer.changes]
        assert all(Event.from_json(json.dumps(change).encode()).seq for change in viewer.changes)


def test_text_is_the_line_for_people(house: PageHouse, opened: Opened) -> None:
    with house.page():
        viewer = opened("/events?text=1")
        viewer.until_snapshot()
        house.change()
        viewer.until_change(1)
        [change] = viewer.changes
        text = change.pop("text")
        assert text == Event.from_json(json.dumps(change).encode()).text()


def test_whoever_returns_gets_exactly_what_it_missed(house: PageHouse, opened: Opened) -> None:
    with house.page() as service:
        first = opened()
        first.until_snapshot()
        published(house, service, 10)
        first.until_change(10)
        last = first.last_id
        first.close()
        published(house, service, 20)
        for given in ({"Last_Event_ID": last}, {}):
            viewer = opened("/events" if given else f"/events?since={last}", **given)
            viewer.until_change(30)
            house.change()
            viewer.until_change(newest(service) or 31)
            assert viewer.seqs[:20] == list(range(11, 31))
            assert viewer.snapshots == 0
            assert [m.data["in_sync"] for m in viewer.messages if m.name == "node"] == [True]


def test_nothing_is_lost_or_twice_over_a_restart_of_the_publisher(house: PageHouse, opened: Opened) -> None:
    with house.page() as service:
        viewer = opened()
        viewer.until_snapshot()
        published(house, service, 5)
        viewer.until_change(5)
        last = viewer.last_id or ""
        published(house, service, 700)
    viewer.until_closed()
    epoch = last.partition("-")[0]
    with house.page() as service:
        places = (5, 6, 300, 5, 705)
        returned = [opened(Last_Event_ID=f"{epoch}-{place:016d}") for place in places]
        returned[0].until_change(705)
        published(house, service, 3)
        for place, each in zip(places, returned, strict=True):
            each.until_change(708)
            assert each.seqs == list(range(place + 1, 709))
            assert each.snapshots == 0


def test_a_snapshot_comes_between_the_events_before_and_after_it_however_late_a_viewer_is() -> None:
    async def seen() -> list[tuple[int, bool]]:
        shown = ShownHost(FakeSinkContext(), skips=False, settles=False)
        shown.take(make_snapshot(seq=0))
        viewer = PageViewer(shown, LastSeen(EPOCH, 0), with_text=False)
        shown.stream.viewers.add(viewer)
        shown.take([*make_events(5), *make_snapshot(seq=5), *make_events(5, first=6)])
        found: list[tuple[int, bool]] = []
        async with aclosing(viewer.pieces()) as pieces:
            async for piece in pieces:
                blocks = [
                    block for block in piece.decode().split("\n\n") if "data: {" in block and "event:" not in block
                ]
                events = [json.loads(block.partition("data: ")[2]) for block in blocks]
                found += [(event["seq"], event["snapshot"] is not None) for event in events]
                if (10, False) in found:
                    break
        shown.close()
        return found

    found = asyncio.run(seen())
    assert [seq for seq, is_row in found if not is_row] == list(range(1, 11)), "each once, in order"
    rows = [place for place, (_, is_row) in enumerate(found) if is_row]
    assert rows
    assert rows == list(range(5, 5 + len(rows))), "the snapshot is between 5 and 6"


def test_a_new_epoch_gives_the_snapshot(house: PageHouse, opened: Opened) -> None:
    with house.page():
        viewer = opened()
        viewer.until_snapshot()
        last = viewer.last_id
    for file in house.path.parent.glob("journal.sqlite3*"):
        file.unlink()
    with house.page():
        returned = opened(Last_Event_ID=last)
        returned.until_snapshot()
        assert returned.messages[-1].data["epoch"] != viewer.messages[-1].data["epoch"]


def test_what_is_no_longer_in_the_journal_is_made_up_for_by_the_snapshot(house: PageHouse, opened: Opened) -> None:
    with house.page() as service:
        viewer = opened()
        viewer.until_snapshot()
        last = viewer.last_id
        viewer.close()
        published(house, service, 700)
    with closing(sqlite3.connect(house.path)) as journal, journal:
        journal.execute("DELETE FROM events WHERE seq < 600")
    with house.page():
        returned = opened(Last_Event_ID=last)
        returned.until_snapshot()
        assert returned.seqs == []


def test_an_id_that_is_none_of_ours_gives_the_snapshot(house: PageHouse, opened: Opened) -> None:
    with house.page() as service:
        published(house, service, 3)
        epoch = service.status()["epoch"]
        for wrong in ("x", "0-0", f"{epoch}-{10**16 - 1}", f"{epoch}--1", f"{epoch}-" + "9" * 400, "%00%0a"):
            viewer = opened(f"/events?since={wrong}")
            viewer.until_snapshot()
            viewer.until_change(published(house, service, 1))
            assert len(viewer.seqs) == 1


def test_a_requested_snapshot_reaches_each_viewer(house: PageHouse, opened: Opened) -> None:
    with house.page():
        viewers = [opened() for _ in range(3)]
        for viewer in viewers:
            viewer.until_snapshot()
        for _ in range(5):
            house.change(20)
            house.source.resync("overrun")
            house.change(20)
        for viewer in viewers:
            viewer.until_change(200)
            viewer.until_snapshot(2)
            assert viewer.seqs == list(range(1, 201)), "the snapshots are between the events, and replace none"
            assert "overrun" in {message.data.get("cause") for message in viewer.messages if not message.is_change}


def test_a_viewer_that_stops_reading_holds_up_nobody_and_then_gets_the_snapshot(
    house: PageHouse, opened: Opened
) -> None:
    with house.page() as service:
        slow, quick = opened(), opened()
        slow.until_snapshot()
        quick.until_snapshot()
        reading = threading.Thread(target=quick.until_change, args=(_MORE_THAN_IS_KEPT,))
        reading.start()
        house.change(_MORE_THAN_IS_KEPT)
        reading.join(120)
        assert not reading.is_alive()
        assert quick.seqs == list(range(1, _MORE_THAN_IS_KEPT + 1))
        slow.until_snapshot(2)
        last = published(house, service, 1)
        slow.until_change(last)
        end = next(m.data["seq"] for m in reversed(slow.messages) if m.ends_snapshot)
        before = [seq for seq in slow.seqs if seq <= end]
        assert before == list(range(1, len(before) + 1)), "each in order, up to those that it did not read"
        assert [seq for seq in slow.seqs if seq > end] == list(range(end + 1, last + 1))


def test_a_hundred_viewers_get_everything(house: PageHouse, opened: Opened) -> None:
    with house.page():
        viewers = [opened() for _ in range(100)]
        for viewer in viewers:
            viewer.until_snapshot()
        house.change(100)
        for viewer in viewers:
            viewer.until_change(100)
            assert viewer.seqs == list(range(1, 101))


def test_with_settle_whoever_returns_after_a_restart_gets_the_snapshot(house: PageHouse, opened: Opened) -> None:
    with house.page(settle="50ms"):
        viewer = opened()
        viewer.until_snapshot()
        house.change(3)
        viewer.until_change(3)
        assert viewer.messages[0].data["skips"] is True
        last = viewer.last_id
    with house.page(settle="50ms"):
        opened(Last_Event_ID=last).until_snapshot()


def test_a_filter_leaves_holes_and_no_snapshots(house: PageHouse, opened: Opened) -> None:
    with house.page(only={"interfaces": ["eth9"]}):
        viewer = opened()
        viewer.until_snapshot()
        house.change(3)
        with house.events() as other:
            other.until_snapshot()
            assert [m.data["snapshot"]["count"] for m in other.messages if m.name == "message"] == [0]
        assert viewer.changes == []
