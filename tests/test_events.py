"""Events: values that nobody changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from publisher.events import Change, Event
from publisher.testing import make_event

CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda changed: changed.__setitem__("row.metric", None),
    "delete": lambda changed: changed.__delitem__("row.nl_mtu"),
    "clear": lambda changed: changed.clear(),
    "pop": lambda changed: changed.pop("row.nl_mtu"),
    "popitem": lambda changed: changed.popitem(),
    "setdefault": lambda changed: changed.setdefault("x", 1),
    "update": lambda changed: changed.update(x=1),
    "or": lambda changed: changed.__ior__({"x": 1}),
}


@pytest.mark.parametrize("way", CHANGES)
def test_the_changes_of_an_event_cannot_be_changed(way: str) -> None:
    """All sinks of a process share one event: what one of them wrote into it, the others received."""
    event = make_event(changed={"row.nl_mtu": Change(before={"x": 1}, after=2)})
    for seen in (event, Event.from_json(event.json_bytes), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        for part in (seen.changed, seen.changed["row.nl_mtu"].before):
            with pytest.raises(TypeError, match="make a copy"):
                CHANGES[way](part)
        assert seen == event
    assert Event.from_json(event.json_bytes).model_dump_json() == event.json_bytes.decode()


def test_an_event_without_changes_has_none_to_write_into() -> None:
    with pytest.raises(TypeError, match="make a copy"):
        make_event(1, "add_instance").changed["x"] = Change(before=1, after=2)
