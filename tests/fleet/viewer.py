"""A viewer of a fleet: `publisher.subscribe`, which reconnects throughout."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple, Self

import publisher
from publisher.client import NodeStatus, Rows
from publisher.events import AnyEvent


class Place(NamedTuple):
    """A place among the events of a node; `begins` when a whole snapshot was received as of it."""

    epoch: str
    seq: int
    begins: bool


class Viewer:
    """Follows every node on a thread of its own; `rows` and `places` are read when it has come to rest."""

    def __init__(self, url: str) -> None:
        self.rows = Rows()
        self.places: dict[str, list[Place]] = defaultdict(list)
        self.failure: BaseException | None = None
        self.subscription = publisher.subscribe(url)
        self._thread = threading.Thread(target=self._run, name="viewer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.subscription.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            for event in self.subscription:
                self._take(event)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.failure = error

    def _take(self, event: AnyEvent) -> None:
        self.rows.apply(event)
        whole = event.snapshot
        if whole is None or whole.position == whole.count:
            self.places[event.node].append(Place(event.epoch, event.seq, whole is not None))

    def is_at(self, node: str, epoch: str, seq: int) -> bool:
        """Returns whether it has a node's event, or its rows as of it."""
        return any(place[:2] == (epoch, seq) for place in self.places[node][-1:])

    def status(self, node: str) -> NodeStatus | None:
        """Returns the state of a node, as it was received."""
        return self.subscription.nodes.get(node)

    def holes(self, node: str) -> list[tuple[Place, Place]]:
        """Returns the places that do not follow one another, and are no beginning."""
        return [
            (before, place)
            for before, place in pairwise(self.places[node])
            if not place.begins and place != (before.epoch, before.seq + 1, False)
        ]
