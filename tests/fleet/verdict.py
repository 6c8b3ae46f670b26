"""The judgement of what a fleet's stream held of a node, beside the journal of the node."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from tests.fleet.judge import Stored


@dataclass
class Verdict:
    """What was found: `events` is their number, `lost`, `repeated` and `wrong` have the seq of each one."""

    events: int = 0
    snapshots: int = 0
    lost: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.repeated or self.wrong)


def judged(stored: Iterable[Stored], epoch: str, journal: Mapping[int, bytes]) -> Verdict:
    """Returns the verdict on a node: each event of its journal is there, once, in order and with the same bytes.

    The events up to the first snapshot need not be there. `wrong` has also those of another epoch, and those that
    follow a newer one.
    """
    mine = list(stored)
    rows = [one.seq for one in mine if one.is_row and one.epoch]
    events = [one for one in mine if one.is_event]
    begin = min(rows, default=0)
    seen: dict[int, Stored] = {}
    verdict = Verdict(len(events), len(set(rows)))
    for one in events:
        if one.seq in seen:
            verdict.repeated.append(one.seq)
        seen[one.seq] = one
        if one.epoch != epoch or hashlib.sha256(journal.get(one.seq, b"")).digest() != one.digest:
            verdict.wrong.append(one.seq)
    verdict.wrong += [after.seq for before, after in pairwise(events) if after.seq < before.seq]
    verdict.lost = [seq for seq in journal if seq > begin and seq not in seen]
    return verdict
