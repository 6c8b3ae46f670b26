"""One node as its subscriber follows it: snapshot, changes, gaps, epochs, replay; and whatever anybody sends."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from publisher.client import NodeStatus
from publisher.client import nodes as nodes_module
from publisher.client.collected import CollectedRows
from publisher.client.received import EventPlace, NodeInfo, read_event
from publisher.events import Cause, Event, InitialNotification, Key, SnapshotStarted
from publisher.sink import Cursor
from publisher.testing import EPOCH, make_event, make_events, make_snapshot
from publisher_mqtt.messages import state_bytes
from tests.fixtures.followed_node import NEWER_EPOCH, NODE, FollowedNodes, eth, key_of


def added(seq: int, number: int, **more: Any) -> Event:
    return make_event(seq, "add_instance", eth(number), **more)


def changed(seq: int, number: int = 0, **more: Any) -> Event:
    return make_event(seq, "parameter_notification", eth(number, nl_mtu=1000 + seq), **more)


def deleted(seq: int, number: int, **more: Any) -> Event:
    return make_event(seq, "delete_instance", eth(number), **more)


def following(seq: int = 5, rows: int = 1, **options: Any) -> FollowedNodes:
    """Returns a node whose rows were given."""
    about = FollowedNodes(**options).connect()
    about.status()
    about.info(seq, rows)
    for number in range(rows):
        about.state(added(seq - rows + 1 + number, number))
    assert about.status_of.in_sync
    assert len(about.rows) == rows
    about.given.clear()
    return about


def test_the_states_are_a_snapshot_when_there_are_as_many_as_info_says() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(7, 2)
    about.state(added(3, 0))
    assert about.told == []
    assert not about.status_of.in_sync
    about.state(added(7, 1))
    about.settle()
    [started, first, second, status] = about.given
    assert isinstance(started, SnapshotStarted)
    assert isinstance(first, InitialNotification)
    assert isinstance(second, InitialNotification)
    assert (started.snapshot.count, first.snapshot.position, second.snapshot.position) == (2, 1, 2)
    assert len({started.id, first.id, second.id}) == 3
    assert status == about.status_of
    assert (about.status_of.in_sync, about.status_of.seq, about.asked) == (True, 7, [])


def test_the_snapshot_is_as_far_as_info_says_so_that_a_deletion_before_it_is_no_gap() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(9, 1)
    about.state(added(3, 0))
    about.settle()
    about.live(changed(10))
    assert about.told == ["snapshot 1 9", "row eth0 9", "eth0 10"]


def test_a_state_that_comes_before_its_event_does_not_make_the_event_old() -> None:
    about = following(5)
    about.live(changed(6), changed(7))
    assert about.told == ["eth0 6", "eth0 7"]
    about.state(changed(9), retained=False)  # a batch: its states first
    about.event(changed(8), changed(9))
    assert about.told == ["eth0 8", "eth0 9"]


def test_an_event_that_the_snapshot_contains_does_not_come_again() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(6, 1)
    about.state(changed(6))
    about.settle()
    about.event(changed(5), changed(6), changed(7))
    assert about.told == ["snapshot 1 6", "row eth0 6", "eth0 7"]


def test_rows_that_may_lack_an_event_are_given_when_it_came() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(5, 2)
    about.state(added(3, 0))
    about.state(changed(7, 1))  # of a batch: event 6 may be of eth0
    assert about.told == []
    about.event(changed(6), changed(7, 1), changed(8))
    assert about.told == ["snapshot 2 7", "row eth0 7", "row eth1 7", "eth0 8"]


def test_rows_that_may_lack_an_event_are_asked_for_when_nothing_comes() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(7, 1)
    about.state(changed(8))
    about.pass_seconds(1.0)
    assert (about.told, about.asked) == ([], [None])


def test_what_comes_while_rows_are_collected_is_in_the_snapshot() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(7, 2)
    about.state(added(3, 0))
    about.live(deleted(8, 0), added(9, 2))
    about.info(8, 3, retained=False)
    assert about.told == []
    about.state(added(5, 1))
    about.info(9, 2, retained=False)
    assert about.told == ["snapshot 2 9", "row eth1 9", "row eth2 9"]
    about.live(changed(10, 1))
    assert about.told == ["eth1 10"]


def test_info_says_that_no_event_is_missing_from_newer_states() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(7, 1)
    about.state(changed(8))
    about.info(8, 1, retained=False)
    assert about.told == ["snapshot 1 8", "row eth0 8"]
    about.event(changed(8))  # of another publisher's resend
    assert about.told == []
    assert (about.status_of.in_sync, about.asked) == (True, [])


def test_rows_that_are_counted_before_their_states_come_are_waited_for() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(7, 2)
    about.state(changed(7))
    about.settle()
    about.live(added(8, 1))
    assert about.told == ["snapshot 2 8", "row eth0 8", "row eth1 8"]
    about.info(8, 3, retained=False)
    about.pass_seconds(1.0)
    about.live(added(9, 2))
    assert about.told == ["+ eth2 9"]
    about.pass_seconds(3.0)
    assert (about.status_of.in_sync, about.asked) == (True, [])


@pytest.mark.parametrize("hidden", ["info", "states", "all"])
def test_what_is_retained_and_hidden_is_asked_for(hidden: str) -> None:
    about = FollowedNodes().connect()
    about.status()
    if hidden == "states":
        about.info(5, 1)
    if hidden == "info":
        about.state(added(5, 0))
    about.pass_seconds(1.0)
    about.answer(make_snapshot([eth(0)], seq=5)[1:], "snapshot")
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    assert about.asked == [None]


def test_where_nobody_answers_the_states_are_given_after_some_seconds() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.state(added(5, 0))
    about.pass_seconds(12.0)
    assert about.asked == [None, None]
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    assert not about.status_of.in_sync
    about.live(changed(6))
    assert about.told == ["eth0 6"]


def test_a_node_of_which_only_a_status_is_left_is_not_waited_for_for_ever() -> None:
    about = FollowedNodes().connect()
    about.status(online=False)
    about.pass_seconds(2.0)
    assert not about.nodes.is_busy
    about.status()
    assert about.nodes.is_busy
    about.pass_seconds(20.0)
    assert not about.nodes.is_busy
    about.info(5, 1)
    about.state(added(5, 0))
    assert about.told == ["snapshot 1 5", "row eth0 5"]


def test_a_node_that_comes_back_is_asked_at_once() -> None:
    about = following(5)
    about.connect()
    about.status(online=False)
    about.status()  # back, and its rows are not there yet
    about.pass_seconds(1.0)
    about.status(online=False)
    about.status()
    about.pass_seconds(1.0)
    assert about.asked == [5, 5]


def test_a_refused_question_is_not_waited_for() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.state(added(5, 0))
    about.pass_seconds(1.0)
    about.nodes.refused(NODE)
    assert about.told == ["snapshot 1 5", "row eth0 5"]


def test_where_info_is_hidden_and_nobody_answers_a_reconnect_gives_nothing_again() -> None:
    about = FollowedNodes().connect()
    for _ in range(3):
        about.connect()
        about.status()
        about.state(added(5, 0))
        about.pass_seconds(12.0)
    assert about.told == ["snapshot 1 5", "row eth0 5"]


def test_a_steady_stream_of_events_does_not_hold_the_snapshot_up() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(5, 2)
    for seq in range(6, 30):
        about.live(changed(seq))
        about.pass_seconds(0.1)
    assert about.asked == [None]


def test_a_node_that_is_offline_gives_its_rows_and_says_so() -> None:
    about = FollowedNodes().connect()
    about.status(online=False)
    about.info(5, 1)
    about.state(added(5, 0))
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    assert (about.status_of.online, about.status_of.in_sync) == (False, True)
    about.status()
    assert about.status_of.online


def test_the_states_of_an_offline_node_are_given_though_info_does_not_fit() -> None:
    about = FollowedNodes().connect()
    about.status(online=False)
    about.info(5, 3)
    about.state(added(6, 0))
    about.pass_seconds(1.0)
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    assert not about.status_of.in_sync
    assert about.asked == []
    about.status()
    about.live(changed(6, 1), changed(7))  # an event that was cut off at the node's end is sent again
    assert about.told == ["eth1 6", "eth0 7"]


def test_a_gap_is_asked_for_and_the_missed_events_come_in_order() -> None:
    about = following(5, rows=2)
    about.live(changed(9))
    assert (about.asked, about.told, about.status_of.in_sync) == ([5], [], False)
    about.live(changed(10))  # published before the answer, which has it, too
    about.answer([changed(6), deleted(7, 1), added(8, 2), changed(9), changed(10)])
    assert about.told == ["eth0 6", "- eth1 7", "+ eth2 8", "eth0 9", "eth0 10"]
    about.live(changed(11))
    assert about.told == ["eth0 11"]
    assert about.status_of.in_sync
    assert {key.key.luid for key in about.rows} == {eth(0).luid, eth(2).luid}


def test_a_gap_that_is_too_old_is_healed_by_the_rows() -> None:
    about = following(5, rows=2)
    about.live(changed(5000))
    about.answer(make_snapshot([eth(0), eth(7)], seq=5000)[1:], "snapshot")
    [cause] = {event.cause for event in about.given if isinstance(event, SnapshotStarted)}
    assert cause == "overrun"
    assert about.told == ["snapshot 2 5000", "row eth0 5000", "row eth7 5000"]
    assert {row.interface.alias for row in about.rows.values()} == {"eth0", "eth7"}


def test_an_answer_of_which_a_part_is_lost_is_asked_for_again() -> None:
    about = following(5)
    about.live(changed(9))
    about.part({"position": 0, "count": 4, "answer": "events", "epoch": EPOCH, "seq": 9})
    about.part({"position": 1, "count": 4, "event": json.loads(changed(6).json_bytes)})
    about.part({"position": 3, "count": 4, "event": json.loads(changed(8).json_bytes)})
    about.pass_seconds(1.0)
    assert about.asked == [5, 6]
    about.answer([changed(7), changed(8), changed(9)])
    assert about.told == ["eth0 6", "eth0 7", "eth0 8", "eth0 9"]


def test_a_question_without_an_answer_is_asked_again_and_then_the_states_are_looked_at() -> None:
    about = following(5)
    about.live(changed(9))
    about.pass_seconds(50.0)
    assert (about.asked, about.again) == ([5, 5, 5, 5], [NODE])
    about.info(9, 1)
    about.state(changed(9))
    assert about.told == ["snapshot 1 9", "row eth0 9"]
    assert about.status_of.in_sync


def test_a_node_that_was_restarted_is_asked_again_at_once() -> None:
    about = following(5)
    about.event(changed(7))
    about.pass_seconds(4.0)
    assert about.asked == [5, 5]
    about.status(online=False)
    about.status()
    about.pass_seconds(0.5)
    assert about.asked == [5, 5, 5]
    about.answer([changed(6), changed(7)])
    assert about.told == ["eth0 6", "eth0 7"]


def test_one_question_at_a_time_and_not_more_than_some_a_second() -> None:
    about = following(5)
    for seq in range(7, 100, 2):
        about.event(changed(seq))
        about.answer([], seq=about.questions[-1].since.seq if about.questions[-1].since else 0)
    assert len(about.questions) == 1
    about.pass_seconds(0.5)
    assert len(about.questions) <= 3


def test_a_gap_at_the_end_is_seen_by_the_info() -> None:
    about = following(5)
    about.info(6, 1, retained=False)
    assert about.asked == [5]


def test_rows_that_info_does_not_have_are_asked_for_once() -> None:
    about = following(5, rows=2)
    about.state(deleted(5, 1), retained=False)  # cleared without an event, as after another publisher's start
    about.info(5, 1, retained=False)
    about.pass_seconds(3.0)
    assert about.asked == [None]
    about.answer(make_snapshot([eth(0)], seq=5)[1:], "snapshot")
    assert len(about.rows) == 1
    for _ in range(2):
        about.info(5, 3, retained=False)
        about.pass_seconds(5.0)
    assert about.asked == [None]
    assert not about.status_of.in_sync


def test_states_that_the_broker_does_not_take_are_not_waited_for() -> None:
    about = following(5)
    about.live(added(6, 1))
    about.info(6, 1, retained=False, missing=1)
    assert (about.status_of.in_sync, about.asked) == (True, [])


@pytest.mark.parametrize("retained", [True, False])
def test_a_hole_is_no_gap_where_the_sink_skips_events(retained: bool) -> None:
    about = following(5)
    about.info(5, 1, retained=retained, skips=True)
    about.live(changed(9), changed(20))
    assert (about.told, about.asked) == (["eth0 9", "eth0 20"], [])
    assert about.status_of.skips
    about.info(30, 1, retained=False, skips=True)
    assert about.asked == [20]


def test_repeats_are_dropped_and_other_nodes_are_others() -> None:
    about = following(5)
    about.event(changed(6), changed(6), changed(5), changed(7))
    about.event(make_event(80, node="other"), node="other")
    assert about.told == ["eth0 6", "eth0 7"]
    assert about.asked == []


def test_a_new_epoch_is_a_new_snapshot() -> None:
    about = following(5, rows=2)
    about.state(added(0, 0, epoch=NEWER_EPOCH), retained=False)
    about.info(0, 1, epoch=NEWER_EPOCH, retained=False)
    assert about.told == ["snapshot 1 0", "row eth0 0"]
    assert about.status_of.epoch == NEWER_EPOCH
    assert len(about.rows) == 1
    about.event(changed(99))  # late
    about.live(changed(1, epoch=NEWER_EPOCH))
    assert about.told == ["eth0 1"]
    assert about.asked == []


def test_after_a_reconnect_without_a_change_nothing_comes() -> None:
    about = following(5)
    about.nodes.disconnected()
    assert not about.status_of.in_sync
    about.connect()
    about.status()
    about.info(5, 1)
    about.state(added(5, 0))
    assert (about.told, about.asked, about.status_of.in_sync) == ([], [], True)
    about.live(changed(6))
    assert about.told == ["eth0 6"]


def test_after_a_reconnect_what_was_missed_is_asked_for() -> None:
    about = following(5)
    about.connect()
    about.status()
    about.info(7, 1)
    about.state(changed(7))
    about.settle()
    assert about.asked == [5]
    about.live(changed(8))
    about.answer([changed(6), changed(7), changed(8)])
    assert about.told == ["eth0 6", "eth0 7", "eth0 8"]
    about.live(changed(9))
    assert about.told == ["eth0 9"]


def test_after_a_reconnect_an_offline_node_that_changed_gives_its_rows_again() -> None:
    about = following(5)
    about.connect()
    about.status(online=False)
    about.info(7, 1)
    about.state(changed(7))
    assert about.told == []  # it may be about to come back
    about.pass_seconds(5.0)
    assert about.told == ["snapshot 1 7", "row eth0 7"]


def test_after_a_reconnect_an_offline_node_that_did_not_change_gives_nothing() -> None:
    about = FollowedNodes().connect()
    for _ in range(2):
        about.connect()
        about.status(online=False)
        about.info(5, 1)
        about.state(changed(7))  # it was killed before its next info
        about.pass_seconds(6.0)
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    about.status()
    about.live(changed(8))
    assert about.asked == [5]


@pytest.mark.parametrize("older", [{"epoch": EPOCH}, {"epoch": "0" * 16}], ids=["seq", "epoch"])
def test_the_states_of_an_older_store_replace_no_rows_while_the_node_is_offline(older: dict[str, Any]) -> None:
    about = following(5)
    about.live(added(6, 1), changed(7))
    about.given.clear()
    about.connect()
    about.status(online=False)
    about.info(5, 1, **older)
    about.state(added(5, 0, **older))
    about.pass_seconds(10.0)
    assert (about.told, about.asked) == ([], [])
    assert len(about.rows) == 2
    assert not about.nodes.is_busy
    about.status()
    about.live(changed(8))
    about.pass_seconds(1.0)
    if about.asked:
        about.answer([changed(8)])
    assert about.told == ["eth0 8"]
    about.info(8, 2, retained=False)
    assert about.status_of.in_sync


def test_an_older_epoch_is_taken_when_the_node_itself_says_so() -> None:
    about = following(5)
    about.connect()
    about.status(online=False)
    about.info(7, 1, epoch="0" * 16)
    about.state(changed(7, epoch="0" * 16))
    about.pass_seconds(10.0)
    about.status()  # of a backup
    about.pass_seconds(1.0)
    assert (about.told, about.asked) == ([], [5])
    about.answer(make_snapshot([eth(0)], seq=7, epoch="0" * 16)[1:], "snapshot", seq=7, epoch="0" * 16)
    assert about.told == ["snapshot 1 7", "row eth0 7"]


def test_events_after_rows_that_were_not_whole_do_not_make_them_whole() -> None:
    about = FollowedNodes().connect()
    about.status(online=False)
    about.info(5, 2)
    about.state(added(3, 0))
    about.pass_seconds(1.0)
    assert about.told == ["snapshot 1 5", "row eth0 5"]
    about.status()
    about.event(changed(7))
    about.answer([changed(6), changed(7)])
    assert about.told == ["eth0 6", "eth0 7"]
    assert not about.status_of.in_sync
    about.info(7, 2, retained=False)
    about.pass_seconds(3.0)
    assert about.asked == [5, None]


def test_a_broker_that_lost_its_store_and_a_publisher_that_comes_back_make_nothing_twice() -> None:
    about = following(5)
    about.connect()
    about.pass_seconds(20.0)
    about.state(added(5, 0), retained=False)
    about.status()
    about.info(5, 1, retained=False)
    about.live(changed(6))
    assert about.told == ["eth0 6"]
    assert about.status_of.in_sync


def test_since_is_like_a_reconnect() -> None:
    about = FollowedNodes(since={NODE: Cursor(EPOCH, 5)}).connect()
    about.status()
    about.info(7, 1)
    about.state(changed(7))
    about.settle()
    about.answer([changed(6), changed(7)])
    about.live(changed(8))
    assert about.told == ["eth0 6", "eth0 7", "eth0 8"]
    assert about.status_of.in_sync


def test_since_the_rows_do_not_come_as_well() -> None:
    about = FollowedNodes(since={NODE: Cursor(EPOCH, 5)}).connect()
    about.status()
    about.info(7, 3)
    for state in (added(3, 0), added(4, 1), changed(6, 2), changed(5, 3)):
        about.state(state)
    about.pass_seconds(1.0)
    about.answer([changed(6, 2), deleted(7, 3)])
    about.live(changed(8))
    about.info(8, 3, retained=False)
    about.pass_seconds(5.0)
    assert about.told == ["eth2 6", "- eth3 7", "eth0 8"]
    assert (about.asked, about.status_of.in_sync) == ([5], True)


def test_since_an_older_epoch_is_a_snapshot() -> None:
    about = FollowedNodes(since={NODE: Cursor("0" * 16, 5)}).connect()
    about.status()
    about.info(7, 1)
    about.state(changed(7))
    about.settle()
    about.live(changed(8))
    assert about.told == ["snapshot 1 7", "row eth0 7", "eth0 8"]


def test_states_of_an_older_epoch_are_those_of_an_older_store_unless_the_node_says_so() -> None:
    about = FollowedNodes(since={NODE: Cursor("f" * 16, 5)}).connect()
    about.status()
    about.info(7, 1)
    about.state(changed(7))
    about.settle()
    assert (about.told, about.asked) == ([], [5])
    about.answer(make_snapshot([eth(0)], seq=7)[1:], "snapshot", seq=7)
    about.live(changed(8))
    assert about.told == ["snapshot 1 7", "row eth0 7", "eth0 8"]


def test_a_late_retained_state_shows_an_event_that_was_missed() -> None:
    about = following(5)
    about.state(added(6, 1))
    assert about.asked == [5]
    about.answer([added(6, 1)])
    about.state(added(4, 2))
    about.pass_seconds(1.0)
    assert about.asked == [5, None]


def test_a_node_that_is_forgotten_has_no_rows() -> None:
    about = following(5)
    about.nodes.info(NODE, b"", retained=False)
    assert about.told == ["snapshot 0 5"]
    assert (len(about.rows), about.status_of.online) == (0, False)


def test_a_reader_without_room_gets_what_it_missed_when_it_has_room() -> None:
    about = following(5, room=1)
    about.room = 1
    about.live(changed(6), changed(7), changed(8))
    assert about.told == ["eth0 6"]
    about.pass_seconds(1.0)
    assert about.asked == []
    about.room = 100
    about.pass_seconds(1.0)
    assert about.asked == [6]
    about.answer([changed(7), changed(8)])
    assert about.told == ["eth0 7", "eth0 8"]


def test_rows_that_a_reader_had_no_room_for_are_asked_for_again() -> None:
    about = following(5, room=2)
    about.room = 0
    about.info(5, 2, retained=False)
    about.pass_seconds(3.0)
    rows = make_snapshot([eth(0), eth(1)], seq=5)[1:]
    about.answer(rows, "snapshot")
    about.room = 100
    about.pass_seconds(1.0)
    assert about.asked == [None, None]
    about.answer(rows, "snapshot")
    assert about.told == ["snapshot 2 5", "row eth0 5", "row eth1 5"]


def test_only_the_nodes_that_are_wanted() -> None:
    about = FollowedNodes(nodes=("other",)).connect()
    about.status()
    about.status(node="other")
    assert list(about.statuses) == ["other"]


def test_the_topic_says_which_node_it_is() -> None:
    about = following(5)
    about.event(changed(6, node="before-it-was-renamed"))
    [event] = about.given
    assert event.node == NODE


# Newer versions.


def test_members_of_a_newer_version_are_left_alone() -> None:
    about = following(5)
    members = json.loads(changed(6).json_bytes) | {"weather": "fine"}
    members["interface"]["colour"] = "blue"
    members["kinds"] = ["mtu_changed", "rainbow"]
    about.nodes.event(NODE, key_of(changed(6)), json.dumps(members).encode())
    [event] = about.given
    assert isinstance(event, Event)
    assert event.kinds == ("mtu_changed", "other")
    assert b"weather" not in event.json_bytes


def test_an_event_that_only_a_newer_version_can_read_is_no_gap() -> None:
    about = following(5)
    members = json.loads(changed(6).json_bytes)
    members["interface"]["oper_status"] = "glowing"
    about.nodes.event(NODE, key_of(changed(6)), json.dumps(members).encode())
    about.live(changed(7))
    assert (about.told, about.asked) == (["eth0 7"], [])


def test_a_state_that_only_a_newer_version_can_read_is_left_out_and_counts() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(6, 2)
    members = json.loads(state_bytes(added(5, 0)))
    members["interface"]["oper_status"] = "glowing"
    about.nodes.state(NODE, key_of(added(5, 0)), json.dumps(members).encode(), retained=True)
    about.state(added(6, 1))
    assert about.told == ["snapshot 1 6", "row eth1 6"]


def test_a_reduced_state_is_a_row_without_its_lists() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(5, 1)
    members = json.loads(state_bytes(make_event(5, "add_instance", eth(0, addresses=["192.0.2.1/24"]))))
    del members["addresses"]
    members["reduced"] = ["addresses"]
    about.nodes.state(NODE, Key(eth(0).luid, "inet"), json.dumps(members).encode(), retained=True)
    assert about.told == ["snapshot 1 5", "row eth0 5"]


def test_events_in_cloudevents_are_read_too() -> None:
    wrapped: dict[str, Any] = {"specversion": "1.0", "data": json.loads(changed(3).json_bytes) | {"weather": "fine"}}
    assert read_event(json.dumps(wrapped).encode()) == changed(3)


# Whatever anybody publishes.


PLANTED = [
    b"",
    b"{",
    b"[]",
    b"3",
    b'{"position": 1}',
    b"\xff",
    b'{"row": {}}',
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"epoch":"01926f6e8c7e4b3f","seq":1e999}',
    b'{"epoch":"01926f6e8c7e4b3f","seq":' + b"9" * 5000 + b"}",
    b'{"epoch":"\\ud800","seq":1}',
    b"\x00",
    b"NaN",
    b" " * (2 << 20),
]


def senders(about: FollowedNodes, node: str) -> list[Callable[[bytes], object]]:
    key = Key(eth(0).luid, "inet")
    return [
        lambda payload: about.nodes.status(node, payload),
        lambda payload: about.nodes.info(node, payload, retained=True),
        lambda payload: about.nodes.info(node, payload, retained=False),
        lambda payload: about.nodes.state(node, key, payload, retained=True),
        lambda payload: about.nodes.state(node, key, payload, retained=False),
        lambda payload: about.nodes.event(node, key, payload),
        lambda payload: about.nodes.answer(node, payload),
    ]


def test_whatever_is_published_the_subscription_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    about = following(5)
    times = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
    late = [json.dumps(json.loads(changed(6).json_bytes) | {"time": time}).encode() for time in times]
    for payload in [*PLANTED, *late]:
        for node in (NODE, "other", "x" * 300, ""):
            for send in senders(about, node):
                send(payload)
                about.pass_seconds(0.2)
    assert about.nodes.unreadable > 100
    lines = [line for line in caplog.messages if "a received message cannot be read" in line]
    assert 1 < len(lines) < about.nodes.unreadable / 10
    assert "times in 60 s)" in lines[-1]
    about.connect()
    about.status()
    about.info(7, 1)
    about.state(changed(7))
    about.pass_seconds(1.0)
    if about.asked[-1] is not None:
        about.answer([changed(6), changed(7)])
    assert about.told[-1].endswith(" 7")


def test_an_event_under_the_topic_of_another_row_is_refused() -> None:
    about = following(5, rows=2)
    about.nodes.event(NODE, Key(eth(1).luid, "inet"), changed(6, 0).json_bytes)
    about.nodes.state(NODE, Key(eth(1).luid, "inet"), state_bytes(changed(6, 0)), retained=False)
    assert (about.told, about.nodes.unreadable) == ([], 2)


def test_nodes_and_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "MOST_NODES", 10)
    monkeypatch.setattr(nodes_module, "MOST_ROWS", 20)
    about = FollowedNodes().connect()
    for number in range(100):
        about.status(node=f"node{number}")
        about.state(make_event(1, "add_instance", eth(number), node="node0"), node="node0")
    about.pass_seconds(20.0)
    assert len(about.statuses) == 10
    assert len(about.rows) <= 20


def test_the_rows_of_an_answer_are_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(nodes_module, "MOST_ROWS", 20)
    about = following(5)
    about.event(changed(7))
    about.answer(make_snapshot([eth(number) for number in range(100)], seq=7)[1:], "snapshot")
    assert about.told == []
    assert "too many rows" in caplog.text


def test_states_by_the_thousand_are_collected_in_a_time_that_grows_with_them_alone() -> None:
    def seconds(count: int) -> float:
        return min(once(count) for _ in range(5))

    def once(count: int) -> float:
        rows = CollectedRows()
        info = NodeInfo(epoch=EPOCH, seq=count, rows=count)
        began = time.process_time()
        for number in range(count):
            rows.put_unreadable(Key(f"{number:016x}", "inet"), EventPlace(epoch=EPOCH, seq=number))
            rows.is_whole(info)
        return time.process_time() - began

    # 8 times as many: a loop over all of them at each message takes 64 times as long. The least of five: a collection
    # of garbage, which has all of the test process to look at, can take longer than either.
    assert min(seconds(8_000) for _ in range(5)) < 30 * min(seconds(1_000) for _ in range(5))


def test_a_seq_that_was_made_up_does_not_hide_the_next_gap() -> None:
    about = following(5)
    about.info(1 << 62, 1, retained=False)
    assert about.asked == [5]
    about.answer([changed(6)])
    about.pass_seconds(1.0)
    about.live(changed(9))
    assert about.asked == [5, 6]


def test_a_seq_that_was_made_up_where_events_are_skipped_ends_with_the_nodes_word() -> None:
    about = following(5)
    about.info(5, 1, retained=False, skips=True)
    about.event(make_event(1 << 20, "parameter_notification", eth(0)))
    for seq in range(6, 11):
        about.live(changed(seq))
        about.info(seq, 1, retained=False, skips=True)
    assert about.asked == [None]
    about.answer(make_snapshot([eth(0)], seq=10)[1:], "snapshot")
    about.given.clear()
    about.live(changed(11))
    assert about.told == ["eth0 11"]


@pytest.mark.parametrize("planted", ["info", "state", "event"])
def test_an_epoch_that_was_made_up_ends_with_the_nodes_answer(planted: str) -> None:
    about = following(5)
    forged = changed(7, 3, epoch="f" * 16)
    if planted == "info":
        about.info(7, 0, epoch="f" * 16, retained=False)
    elif planted == "state":
        about.state(forged, retained=False)
    else:
        about.event(forged)
    for event in make_events(8, first=6):
        about.live(event)
        about.pass_seconds(0.1)
    about.pass_seconds(2.0)
    assert about.asked
    if about.asked[-1] is None:
        about.answer(make_snapshot([eth(0)], seq=13)[1:], "snapshot")
    else:
        about.answer(make_events(8, first=6))
    about.given.clear()
    about.live(changed(14))
    assert about.told == ["eth0 14"]
    assert about.status_of.epoch == EPOCH
    assert len(about.rows) == 1


def test_an_info_that_was_made_up_takes_no_rows_away() -> None:
    about = following(5)
    about.info(5, 0, retained=False, epoch="f" * 16)
    about.pass_seconds(1.0)
    assert (about.told, about.asked) == ([], [5])
    about.answer([], seq=5)
    about.live(changed(6))
    assert about.told == ["eth0 6"]
    assert about.status_of.in_sync


def test_an_info_that_was_made_up_before_the_subscription_hides_no_rows() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(5, 0, epoch="f" * 16)
    about.state(added(3, 0))
    about.pass_seconds(1.0)
    assert (about.told, about.asked) == ([], [None])
    about.answer(make_snapshot([eth(0)], seq=3)[1:], "snapshot", seq=3)
    about.live(changed(4))
    assert about.told == ["snapshot 1 3", "row eth0 3", "eth0 4"]


def test_a_stream_that_ends_leaves_the_place_of_the_last_event() -> None:
    about = FollowedNodes()
    about.nodes.streamed_status(json.dumps({"node": NODE, "online": True, "in_sync": True}).encode())
    for event in (*make_snapshot([eth(0)], seq=5), changed(6)):
        about.nodes.streamed(event.json_bytes)
    about.nodes.disconnected()
    assert about.statuses[NODE] == NodeStatus(NODE, online=False, in_sync=False, epoch=EPOCH, seq=6)


def test_a_retained_state_of_a_made_up_epoch_does_not_hide_the_others() -> None:
    about = FollowedNodes().connect()
    about.status()
    about.info(5, 1)
    about.state(changed(7, 3, epoch="f" * 16))
    about.state(added(5, 0))
    about.pass_seconds(1.0)
    assert about.asked == [None]
    about.pass_seconds(10.0)
    assert about.told == ["snapshot 1 5", "row eth0 5"]


def test_mutated_messages_are_counted_and_end_nothing() -> None:
    chance = random.Random(20261125)
    about = following(5)
    head = {"position": 0, "count": 1, "answer": "events", "epoch": EPOCH, "seq": 7}
    part = {"position": 1, "count": 1, "event": json.loads(changed(7).json_bytes)}
    real = [
        state_bytes(changed(6)),
        changed(6).json_bytes,
        changed(8).json_bytes,
        json.dumps(head).encode(),
        json.dumps(part).encode(),
        b'{"epoch":"01926f6e8c7e4b3f","seq":5,"rows":1}',
    ]
    pieces = [b"[" * 500, b"{", b'"', b"\\ud800", b"1e999", b"9" * 4400, b"null", b"\xff", b"0001-01-01T00:00:00Z", b""]
    ways = senders(about, NODE)
    for _ in range(5000):
        payload = chance.choice(real)
        at, upto = sorted(chance.randrange(len(payload) + 1) for _ in range(2))
        payload = payload[:at] + chance.choice(pieces) + payload[chance.choice([at, at + 1, upto]) :]
        chance.choice(ways)(payload)
        about.now += 0.01
        about.nodes.tick()
    assert about.nodes.unreadable > 1000


CAUSES: list[Cause] = ["notification", "startup", "overrun", "reconcile"]


@pytest.mark.parametrize("cause", CAUSES)
def test_events_of_every_cause_are_events(cause: Cause) -> None:
    about = following(5)
    about.event(changed(6, cause=cause))
    assert about.told == ["eth0 6"]
