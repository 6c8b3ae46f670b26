"""A fleet to which faults happen by a seed: three servers, played nodes, and one real node with random changes."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

from publisher.events import Event, IpInterface
from publisher.journal.event_log import newest_event
from publisher.journal.rows import decoded_row, select_rows
from publisher_nats.options import NatsOptions
from publisher_nats.stream import bucket_config
from tests.faults import changing
from tests.fixtures.bucket_writer import BucketWriter
from tests.fixtures.nats import NatsCluster, NatsServer
from tests.fixtures.netns import NetNs
from tests.fixtures.poll import wait_for
from tests.fixtures.program import Program, comparable, journal_events
from tests.fleet.judge import Judge
from tests.fleet.players import JOURNAL, RECORDING, SINK, Players
from tests.fleet.recordings import write_changes, write_rest

BUCKET, LEASE = "interfaces", 6
STREAM = f"KV_{BUCKET}"
REAL = "nas"
"""The name of the real node; `Program` has it."""
_TOGETHER = 10
"""So many nodes are played by one process, at most."""
_ROWS, _LINKS, _LATER = 8, 6, 50


class End(NamedTuple):
    """The end of a node's journal."""

    epoch: str
    seq: int


class Fleet:
    """`with Fleet(...) as fleet:` runs all of it, in the calling thread's network namespace."""

    def __init__(self, netns: NetNs, folder: Path, seed: int, nodes: int) -> None:
        self.seed = seed
        self.done: Counter[str] = Counter()
        """The faults that happened, by name."""
        self.history: list[str] = []
        self._netns, self._folder = netns, folder
        self._began = time.monotonic()
        self._chance = Random(f"{seed} servers")
        names = [f"node{number:03d}" for number in range(nodes)]
        self.cluster = NatsCluster(folder)
        self.played = folder / "played"
        together = min(_TOGETHER, math.ceil(nodes / 2))
        self.players = [Players(self.played, names[at : at + together]) for at in range(0, nodes, together)]
        self._copies: list[Path] = []
        self._stack = ExitStack()
        self._write_recordings(names)

    @property
    def nodes(self) -> list[str]:
        return [REAL, *(node for players in self.players for node in players.nodes)]

    @property
    def url(self) -> str:
        """The URL for a viewer."""
        return "nats://" + ",".join(f"127.0.0.1:{server.port}" for server in self.cluster.servers)

    def _write_recordings(self, names: Sequence[str]) -> None:
        for name in names:
            (self.played / name).mkdir(parents=True)
            chance = Random(f"{self.seed} {name}")
            seconds = chance.uniform(20, 90)
            write_changes(self.played / name / RECORDING, chance, rows=_ROWS, seconds=seconds, every=1.0)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.cluster)
            self._make_bucket()
            # Without the detection of duplicates nothing changes a while after the last change.
            self._netns.sysctl("net/ipv6/conf/default/accept_dad", 0)
            self._netns.ip("link add mark type ifb", *(f"link add f{n} type ifb" for n in range(_LINKS)))
            table: dict[str, Any] = {
                "type": "nats",
                "servers": self.cluster.urls,
                "bucket": BUCKET,
                "lease": f"{LEASE}s",
            }
            (self.played / SINK).write_text(json.dumps(table))
            lines = ["[sinks.fleet]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
            self.program = Program(self._netns, self._folder / "real", *lines)
            stack.callback(self._kill_real)
            self.program.start()
            for players in self.players:
                stack.callback(players.kill)
                players.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_bucket(self) -> None:
        """Makes the bucket as the sink would, but for its history, which is without a limit.

        Stores that are put back may lack more events than the 64 of each row that a bucket keeps: publishers write them
        again within seconds, while the servers still refuse the judge its consumer.
        """
        options = NatsOptions.model_validate({"servers": self.cluster.urls, "bucket": BUCKET})
        config = bucket_config(options, len(self.cluster.servers)) | {"max_msgs_per_subject": -1}
        with BucketWriter(self.cluster.urls) as writer:
            writer.api(f"STREAM.CREATE.{STREAM}", config)

    def happen(self, seconds: float, judge: Judge) -> None:
        """Has faults happen for so many seconds; once all stores are put back to a copy, and the judge reads anew."""
        begun = time.monotonic()
        errors: list[BaseException] = []
        over = threading.Event()
        publishers = threading.Thread(target=self._kill_publishers, args=(over, errors), name="kills of publishers")
        with changing(self._change_real(), pause=0.2):
            publishers.start()
            try:
                self.leader_is_killed()
                self.all_servers_are_killed(copy=True)
                copied = len(judge.stored)
                self.server_is_killed()
                self._some_faults(begun + seconds / 2)
                wait_for(lambda: len(judge.stored) > copied + _LATER, what="messages that the older stores do not have")
                self.all_stores_are_put_back(judge)
                self._some_faults(begun + seconds)
            finally:
                over.set()
                publishers.join()
        if errors:
            raise errors[0]

    def _some_faults(self, until: float) -> None:
        while time.monotonic() < until:
            fault = self._chance.choices(
                [self.leader_is_killed, self.server_is_killed, self.all_servers_are_killed], [5, 3, 1]
            )[0]
            fault()
            self._pause(self._chance, 2.0)

    def leader_is_killed(self) -> None:
        self._note("leader killed")
        self._kill_one(self.cluster.leader(STREAM))

    def server_is_killed(self) -> None:
        self._note("server killed")
        self._kill_one(self._chance.choice(self.cluster.servers))

    def _kill_one(self, server: NatsServer) -> None:
        server.kill()
        self._pause(self._chance, 8.0)
        self._start_servers()

    def all_servers_are_killed(self, *, copy: bool = False) -> None:
        self._note("all servers killed")
        self.cluster.kill()
        if copy:
            self._copies = [self._folder / f"copy of {server.name}" for server in self.cluster.servers]
            for server, place in zip(self.cluster.servers, self._copies, strict=True):
                server.copy_store(place)
        self._pause(self._chance, 2.0)
        self._start_servers()

    def all_stores_are_put_back(self, judge: Judge) -> None:
        """Puts all stores back to the copy."""
        self._note("all stores put back")
        self.cluster.kill()
        for server, place in zip(self.cluster.servers, self._copies, strict=True):
            server.put_back(place)
        judge.put_back()
        self._start_servers()

    def _start_servers(self) -> None:
        # Where one lags, the next kill would leave no majority with everything.
        self.cluster.start()
        self._say("servers are current")

    def _kill_publishers(self, over: threading.Event, errors: list[BaseException]) -> None:
        chance = Random(f"{self.seed} publishers")
        kills: list[Callable[[], None]] = [*(lambda one=one: self._restart(one, chance) for one in self.players)]
        kills.append(lambda: self._restart_real(chance))
        try:
            while not over.wait(chance.uniform(0, 2 * 3.0)):
                self._note("publishers killed")
                chance.choice(kills)()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            errors.append(error)

    def _restart(self, players: Players, chance: Random) -> None:
        players.kill()
        self._pause(chance, 1.0)
        players.start()

    def _restart_real(self, chance: Random) -> None:
        self._kill_real()
        self._pause(chance, 1.0)
        self.program.start()

    def end_real(self) -> None:
        """Ends the real node in order."""
        self.program.end()
        self.program.process = None

    def _kill_real(self) -> None:
        process, self.program.process = self.program.process, None
        if process is not None:
            process.kill()
            assert process.wait(30) == -9, f"the real node ended by itself: {self.program.log()[-3000:]}"

    def _change_real(self) -> Callable[[], None]:
        chance = Random(f"{self.seed} changes")

        def change() -> None:
            name, number = f"f{chance.randrange(_LINKS)}", chance.randrange(1, 9)
            changes = (
                f"link set {name} up",
                f"link set {name} down",
                f"link set {name} mtu {1300 + 100 * number}",
                f"addr add 192.0.2.{number}/24 dev {name}",
                f"addr flush dev {name}",
                f"link del {name}",
                f"link add {name} type ifb",
                f"link add {name} type ifb",
            )
            self._netns.ip(chance.choice(changes), force=True)

        return change

    def rest(self) -> None:
        """Starts every server, kills every publisher and starts it again with nothing more to change."""
        self._say("rest")
        self.cluster.start()
        rows = {}
        for players in self.players:
            players.kill()
            for node in players.nodes:
                chance = Random(f"{self.seed} {node} at rest")
                rows[node] = write_rest(self.played / node / RECORDING, chance, rows=_ROWS)
            players.start()
        for node, expected in rows.items():
            states = {f"{row.luid}.{row.family}": state_of(row) for row in expected}
            wait_for(lambda: self.rows(node) == states, what=f"the last changes of {node}")  # noqa: B023 - called at once
        self.program.mark(1400)

    def journal(self, node: str) -> Path:
        """Returns the path of a node's journal."""
        return self.program.journal if node == REAL else self.played / node / JOURNAL

    def events(self, node: str) -> dict[int, bytes]:
        """Returns the bytes of every event in a node's journal, by seq."""
        return journal_events(self.journal(node))

    def end(self, node: str) -> End:
        """Returns the end of a node's journal."""
        return journal_end(self.journal(node))

    def rows(self, node: str) -> dict[str, Any]:
        """Returns the rows of a node's journal by `<luid>.<family>`, as they can be compared."""
        return journal_rows(self.journal(node))

    def log(self, node: str) -> str:
        """Returns the log of a node's process."""
        if node == REAL:
            return self.program.log()
        return next(players.log() for players in self.players if node in players.nodes)

    def _note(self, fault: str) -> None:
        self.done[fault] += 1
        self._say(fault)

    def _say(self, what: str) -> None:
        self.history.append(f"{time.monotonic() - self._began:.1f} {what}")

    def _pause(self, chance: Random, seconds: float) -> None:
        """Waits for a random time: any moment will do for a fault."""
        time.sleep(chance.uniform(0, seconds))


def state_of(row: IpInterface | Event) -> dict[str, Any]:
    """Returns the state of a row as JSON values, without what changes and makes no event."""
    members = {"row", "interface", "addresses", "default_routes"}
    return comparable(json.loads(row.model_dump_json(include=members)))


def journal_end(journal: Path) -> End:
    """Returns the end of a journal that a service writes."""
    with _reading(journal) as connection:
        [[epoch]] = connection.execute("SELECT value FROM meta WHERE name = 'epoch'")
        return End(epoch, newest_event(connection)[0])


def journal_rows(journal: Path) -> dict[str, Any]:
    """Returns the rows of a journal by `<luid>.<family>`, as they can be compared."""
    with _reading(journal) as connection:
        return {f"{row.luid}.{row.family}": state_of(row) for row in map(decoded_row, select_rows(connection))}


def _reading(journal: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True))
