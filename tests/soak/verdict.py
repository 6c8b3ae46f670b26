"""The verdict: after every fault has ended, each observer has everything, and the same as the kernel."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from publisher.events import IpInterface
from tests.fixtures.program import State, comparable
from tests.fixtures.random_routes import published, shown
from tests.soak.house import NODE, House
from tests.soak.observers import Retained
from tests.soak.publishing import Sample
from tests.soak.run import Run
from tests.soak.stream import Key, Stream

_SETTLE_SECONDS = 300.0
_MARK_MTU = 1444
_LOOKS, _LOOK_SECONDS = 4, 4.0
# Caches fill, and a journal that becomes full is read in larger pages; a leak goes on.
_MOST_GROWTH, _MOST_DESCRIPTORS = 1.6, 12


def settle(house: House) -> list[str]:
    """Waits until every observer has had the last change; returns what did not come."""
    house.home.ip(f"link set mark mtu {_MARK_MTU}")
    deadline = time.monotonic() + _SETTLE_SECONDS
    late = [
        f"{name}: the last change did not arrive within {_SETTLE_SECONDS:.0f} s; status: {house.status()}"
        for name, stream in house.streams.items()
        if not _wait(lambda stream=stream: _has_mark(stream), deadline)  # type: ignore[misc]  # of this round
    ]
    if not late and not _wait(lambda: _is_quiet(house), deadline):
        late = [f"no quiet within {_SETTLE_SECONDS:.0f} s: the kernel's rows and the observers' differ all the time"]
    return late


def _wait(condition: Callable[[], bool], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)  # a condition of several processes
    return True


def _has_mark(stream: Stream) -> bool:
    with stream.lock:
        marks = [key for key, state in stream.states.items() if _is_mark(state)]
    return {family for _, family in marks} == {"inet", "inet6"}


def _is_mark(state: State) -> bool:
    return (state["interface"]["alias"], state["interface"]["mtu"]) == ("mark", _MARK_MTU)


def _is_quiet(house: House) -> bool:
    """Returns whether nothing is on its way. What differs for a reason is found afterwards."""
    sinks = house.status().get("sinks", {})
    behind = sum(sink["behind"] for sink in sinks.values())
    before = house.rows()
    ends = {stream.at for name, stream in house.streams.items() if name != "program"}
    time.sleep(0.5)  # what is on its way arrives
    return bool(sinks) and not behind and len(ends) == 1 and house.rows() == before and house.subscriber.in_sync


def findings(house: House, run: Run) -> Iterator[str]:
    """Yields each thing that is wrong, once everything is quiet."""
    for stream in house.streams.values():
        yield from stream.findings
    yield from _of_the_states(house)
    yield from _of_the_program(house)
    yield from _of_the_journal(house)
    yield from _of_the_endings(house)
    yield from _of_the_log(house)
    yield from _of_the_use(run.samples, house.publisher.sample())


def _of_the_states(house: House) -> list[str]:
    """Returns the differences that stay: an address that runs out just now is not one."""
    for _ in range(_LOOKS):
        rows = house.rows()
        found = [*_of_the_kernel(house, rows), *_of_the_retained(house, rows)]
        for name in ("file", "webhook", "subscriber"):
            found += _differences(name, dict(house.streams[name].states), rows)
        if not found:
            break
        time.sleep(_LOOK_SECONDS)  # for what changes by itself, and cannot be awaited
    return found


def _differences(name: str, found: Mapping[Key, State], rows: Mapping[Key, State]) -> Iterator[str]:
    for key in sorted(rows.keys() | found.keys()):
        mine, theirs = found.get(key), rows.get(key)
        if mine == theirs:
            continue
        if mine is None or theirs is None:
            alias = (mine or theirs or {})["interface"]["alias"]
            yield f"{name}: {key} ({alias}) is {'missing' if mine is None else 'no longer there, and was not removed'}"
        else:
            parts = [
                f"{part}.{member}: {_of(mine[part], member)!r}, and in the kernel {_of(theirs[part], member)!r}"
                for part in ("row", "interface")
                for member in sorted({*mine[part], *theirs[part]})
                if _of(mine[part], member) != _of(theirs[part], member)
            ]
            parts += [
                f"{part}: {mine[part]}, and in the kernel {theirs[part]}"
                for part in ("addresses", "default_routes")
                if mine[part] != theirs[part]
            ]
            yield f"{name}: {key} ({theirs['interface']['alias']}) differs in {'; '.join(parts)}"


def _of(part: Mapping[str, Any], member: str) -> Any:
    return part.get(member, "unknown")


def _of_the_kernel(house: House, rows: Mapping[Key, State]) -> Iterator[str]:
    """Compares the rows with `ip`, which is nobody's code of ours."""
    links = {link["ifname"]: link for link in json.loads(house.home.run("ip -j addr"))}
    names = {row["interface"]["alias"] for row in rows.values()}
    if names != set(links):
        yield f"kernel: interfaces {sorted(names ^ set(links))} are only in `ip` or only in the rows"
    for (_, family), row in rows.items():
        link = links.get(row["interface"]["alias"])
        if link is None:
            continue
        has = {(entry["local"], entry["prefixlen"]) for entry in link["addr_info"] if entry["family"] == family}
        told = {(entry["address"], entry["prefix_length"]) for entry in row["addresses"]}
        here = (row["interface"]["mtu"], row["row"]["interface_index"], row["interface"]["admin_status"])
        if has != told or here != (link["mtu"], link["ifindex"], "up" if "UP" in link["flags"] else "down"):
            yield f"kernel: {link['ifname']} {family} is {here} {sorted(told ^ has)}, and `ip` shows another"
    models = [IpInterface.model_validate_json(json.dumps(row)) for row in _whole_rows(house)]
    if differing := published(models) ^ shown(house.home):
        yield f"kernel: default routes {sorted(map(str, differing))} are only in `ip` or only in the rows"


def _whole_rows(house: House) -> list[State]:
    rows: list[State] = json.loads(house.publisher_says("snapshot", "--json"))
    for row in rows:
        del row["luid"], row["family"]
    return rows


def _of_the_program(house: House) -> Iterator[str]:
    """Checks that the program ran for each event that its filter passes, from its first one on."""
    mine, file = house.streams["program"], house.streams["file"]
    first = min(mine.seqs, default=0)
    wanted = {seq for seq, alias in file.about.items() if seq >= first and _passes(alias)}
    if lost := sorted(wanted - mine.seqs.keys()):
        yield f"program: did not run for {len(lost)} events, from {lost[:10]} on"
    if more := sorted(seq for seq in mine.seqs.keys() - wanted if seq in file.about):
        yield f"program: ran for events that its filter leaves out: {more[:10]}"
    others = (seq for seq, digest in mine.seqs.items() if file.seqs.get(seq, digest) != digest)
    if differing := sorted(others):
        yield f"program: got other bytes than the file for events {differing[:10]}"


def _passes(alias: str) -> bool:
    return alias == "mark" or (len(alias) == 2 and alias[0] == "e")


def _of_the_retained(house: House, rows: Mapping[Key, State]) -> Iterator[str]:
    base = f"interfaces/{NODE}/"
    reader = Retained(house.far, house.broker_port, f"{base}#")
    found = reader.read(lambda topics: _states(topics, base).keys() == rows.keys() and f"{base}info" in topics, 30)
    yield from _differences("retained", {key: comparable(state) for key, state in _states(found, base).items()}, rows)
    info = json.loads(found.get(f"{base}info", b"{}"))
    seq = house.streams["file"].at
    if (info.get("seq"), info.get("rows")) != (seq, len(rows)):
        yield f"retained: info has seq {info.get('seq')} and {info.get('rows')} rows: there are {seq} and {len(rows)}"
    if found.get(f"{base}status") != b"online":
        yield f"retained: the status is {found.get(f'{base}status')!r}"
    extra = [topic for topic in found if not topic.endswith(("/state", "/info", "/status", "/kept"))]
    if extra:
        yield f"retained: topics that are nobody's: {extra[:5]}"


def _states(topics: Mapping[str, bytes], base: str) -> dict[Key, State]:
    found: dict[Key, State] = {}
    for topic, payload in topics.items():
        parts = topic.removeprefix(base).split("/")
        if len(parts) == 3 and parts[2] == "state":
            state = json.loads(payload)
            members = ("row", "interface", "addresses", "default_routes")
            found[parts[0], parts[1]] = {name: state[name] for name in members}
    return found


def _of_the_journal(house: House) -> Iterator[str]:
    """Checks that the journal's events are without a hole, and those of the file."""
    file = house.streams["file"]
    before = file.at
    path = f"file:{house.disk}/journal.sqlite3?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as connection:
        events = dict(connection.execute("SELECT seq, data FROM events ORDER BY seq"))
    seqs = list(events)
    # The kernel may have changed something of itself meanwhile.
    _wait(lambda: file.at >= seqs[-1], time.monotonic() + _SETTLE_SECONDS)
    if seqs != list(range(seqs[0], seqs[0] + len(seqs))) or not before <= seqs[-1] <= file.at:
        yield f"journal: {len(seqs)} events from {seqs[0]} to {seqs[-1]}, and the file ends at {file.at}"
    digests = {seq: hashlib.blake2b(data, digest_size=8).digest() for seq, data in events.items()}
    differing = [seq for seq, digest in digests.items() if file.seqs.get(seq, digest) != digest]
    if differing:
        yield f"journal: other bytes than in the file for events {differing[:10]}"


def _of_the_endings(house: House) -> Iterator[str]:
    """A publisher ends when it is asked to, and does not start where the disk takes nothing."""
    for ending in house.publisher.endings:
        refused = ending.status == 1 and any(fault.startswith("disk") for fault in ending.faults)
        wanted = ending.wanted and ending.status in (0, -9, -15)
        if not refused and not wanted:
            yield f"publisher: ended with {ending.status} by itself, beside {ending.faults or 'no fault'}"


def _of_the_log(house: House) -> Iterator[str]:
    log = (house.folder / "log").read_text(errors="replace")
    if traces := log.count("Traceback (most recent call last)"):
        yield f"log: {traces} tracebacks"


def _of_the_use(samples: list[Sample], last: Sample | None) -> Iterator[str]:
    """Compares the last third with the first: of the same age, since a process warms up."""
    third = len(samples) // 3
    if third >= 3:
        first, end = (max(one.mebibytes for one in part) for part in (samples[:third], samples[-third:]))
        if end > _MOST_GROWTH * first:
            yield f"publisher: {first:.0f} MiB in the first third of the calm moments, {end:.0f} in the last"
    usual = statistics.median(one.descriptors for one in samples) if len(samples) > 2 else None
    if last and usual is not None and last.descriptors > usual + _MOST_DESCRIPTORS:
        yield f"publisher: {last.descriptors} descriptors in the end, and {usual:g} in the median of the calm moments"
