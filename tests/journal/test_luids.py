"""The table of LUIDs: what is read is validated row by row, an older one is taken over, and it is bounded."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from publisher.events import make_luid
from publisher.journal.journal import Journal
from publisher.journal.luids import TABLE, migrate_luids, read_luids, write_luids
from publisher.sources.assignments import MOST_NAMED, LuidAssignment
from publisher.sources.identity import Identity
from publisher.sources.luids import LuidAssigner, MemoryLuids

MAC = bytes.fromhex("b827eb112233")
GOOD = LuidAssignment("0006008002000000", "", b"enp1s0", b"eth0", MAC, "0000:01:00.0/", shared=True, seen=7)
ROW: dict[str, Any] = {
    "luid": GOOD.luid,
    "kind": GOOD.kind,
    "name": GOOD.name,
    "first_name": GOOD.first_name,
    "address": GOOD.address,
    "port": GOOD.port,
    "shared": 1,
    "seen": 7,
}
OLD = "CREATE TABLE luids (luid TEXT PRIMARY KEY, key BLOB NOT NULL, name BLOB NOT NULL, last_seen REAL NOT NULL)"
ROWS = "CREATE TABLE rows (luid TEXT, family TEXT, data BLOB NOT NULL, PRIMARY KEY (luid, family)) WITHOUT ROWID"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(ROWS)
        yield connection


def old_table(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    connection.execute(OLD)
    connection.executemany("INSERT INTO luids (luid, key, name, last_seen) VALUES (?, ?, ?, ?)", rows)


def test_what_was_written_is_read(connection: sqlite3.Connection) -> None:
    connection.execute(TABLE)
    other = LuidAssignment("0035abcdef000000", "veth", b"a\xff", b"a\xff")
    write_luids(connection, [GOOD, other])
    assert set(read_luids(connection).assignments) == {GOOD, other}
    write_luids(connection, [], [other.luid])
    assert read_luids(connection) == ([GOOD], 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"luid": "no hexadecimal.."},
        {"luid": "0006008002000001"},
        {"luid": "0006008003"},
        {"luid": b"0006008003000000"},
        {"luid": None},
        {"kind": b"veth"},
        {"kind": "\U0001f5a7" * 300},
        {"name": "text"},
        {"name": b""},
        {"first_name": b"x" * 300},
        {"address": b"x" * 33},
        {"port": b"p0"},
        {"shared": 2},
        {"shared": "yes"},
        {"seen": "yesterday"},
        {"seen": 1.5},
        {"seen": -1},
    ],
    ids=str,
)
def test_a_row_that_does_not_fit_is_left_out(connection: sqlite3.Connection, wrong: dict[str, Any]) -> None:
    connection.execute(TABLE)
    write_luids(connection, [GOOD])
    row = {**ROW, "luid": "0006008003000000", **wrong}
    connection.execute(f"INSERT INTO luids ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
    assert read_luids(connection) == ([GOOD], 1)


def test_text_that_is_not_utf8_is_left_out(connection: sqlite3.Connection) -> None:
    connection.execute(TABLE)
    write_luids(connection, [GOOD])
    for column in ("luid", "kind", "port"):
        connection.execute(f"INSERT OR REPLACE INTO luids SELECT * FROM luids WHERE luid = '{GOOD.luid}'")
        connection.execute(f"UPDATE luids SET {column} = CAST(x'fffe' AS TEXT)")
        assert read_luids(connection) == ([], 1)
        assert connection.text_factory is str
        connection.execute("DELETE FROM luids")
        write_luids(connection, [GOOD])


def test_invalid_rows_are_reported_once_and_the_journal_opens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.sqlite3"
    with closing(Journal.open(path, node="nas")) as journal:
        journal.luids.save_luids([GOOD])
    with closing(sqlite3.connect(path)) as broken, broken:
        for number in range(3):
            broken.execute(
                f"INSERT INTO luids SELECT '{number}', kind, name, name, address, port, 'x', 'y' FROM luids LIMIT 1"
            )
    caplog.set_level(logging.WARNING)
    with closing(Journal.open(path, node="nas")) as journal:
        assert journal.luids.load_luids() == [GOOD]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"3 rows of the table luids in {path} are invalid")


# Version 2


def test_each_interface_keeps_its_luid_when_the_table_is_taken_over(connection: sqlite3.Connection) -> None:
    old_table(
        connection,
        [
            ("0006008001000000", b"6//mac=b827eb112233", b"eth0", 5.0),
            ("0035008000000000", "53/veth/name=ÿ".encode(), b"\\xff", 4.0),
            ("0006008002000000", b"6//name=eth7", b"eth7", 3.0),
            ("00c7008000000000", b"199/ipoib/mac=80000048fe800000000000000002c90300a1b2c3", b"ib0", 2.0),
            ("0083008000000000", b"131/gre/mac=0a000001", b"gre1", 1.0),
        ],
    )
    migrate_luids(connection)
    found, invalid = read_luids(connection)
    assert invalid == 0
    assigner = boot(found)
    assert assigner.assign_all(
        {
            1: Identity(6, "", b"enp1s0", MAC),
            2: Identity(53, "veth", b"\xff"),
            3: Identity(6, "", b"eth7", bytes.fromhex("b827eb445566")),
            4: Identity(199, "ipoib", b"ib0", bytes.fromhex("0002c90300a1b2c3")),
            5: Identity(131, "gre", b"gre1"),
        }
    ) == {
        1: "0006008001000000",
        2: "0035008000000000",
        3: "0006008002000000",
        4: "00c7008000000000",
        5: "0083008000000000",
    }


def test_of_several_of_one_name_the_one_that_was_there_is_taken_over(connection: sqlite3.Connection) -> None:
    tunnel = b"131/ip6tnl/mac=0e64cb49bc9d00000000000000000000"
    old_table(connection, [(make_luid(131, n), tunnel, b"t6", float(n)) for n in range(0x8000, 0x8003)])
    assert [found.luid for found in read_luids(connection).assignments] == [make_luid(131, 0x8002)]
    connection.execute("INSERT INTO rows VALUES (?, 'inet', x'')", (make_luid(131, 0x8001),))
    assert [found.luid for found in read_luids(connection).assignments] == [make_luid(131, 0x8001)]


def test_of_several_of_one_address_each_is_taken_over_and_known_by_name(connection: sqlite3.Connection) -> None:
    old_table(connection, [(make_luid(71, n), b"71//mac=b827eb112233", b"w%d" % n, float(n)) for n in (1, 2)])
    migrate_luids(connection)
    assigner = boot(read_luids(connection).assignments)
    assert assigner.assign(1, Identity(71, "", b"w1", MAC)) == make_luid(71, 1)
    assert assigner.assign(2, Identity(71, "", b"w9", MAC)) not in (make_luid(71, 1), make_luid(71, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        ("zz", b"6//name=e", b"e", 1.0),
        ("0006008001000000", b"6//name=" + "\u0100".encode(), b"e", 1.0),
        ("0006008001000000", b"\xff\xff", b"e", 1.0),
        ("0006008001000000", b"6/name=e", b"e", 1.0),
        ("0006008001000000", b"7//name=e", b"e", 1.0),
        ("0006008001000000", b"six//name=e", b"e", 1.0),
        ("0006008001000000", b"6//mac=zz", b"e", 1.0),
        ("0006008001000000", b"6//other=zz", b"e", 1.0),
        ("0006008001000000", "6//name=e", b"e", 1.0),
        ("0006008001000000", b"6//name=e", "e", 1.0),
        ("0006008001000000", b"6//name=e", b"e", "yesterday"),
    ],
    ids=str,
)
def test_an_older_row_that_does_not_fit_is_left_out(
    connection: sqlite3.Connection, wrong: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    old_table(connection, [wrong, ("0006008002000000", b"6//name=eth0", b"eth0", 1.0)])
    caplog.set_level(logging.WARNING)
    migrate_luids(connection)
    assert [found.luid for found in read_luids(connection).assignments] == ["0006008002000000"]
    assert [record.getMessage() for record in caplog.records] == [
        "1 rows of the table luids are invalid and are left out"
    ]


def test_of_an_older_table_of_100_000_no_more_is_taken_over_than_is_kept(connection: sqlite3.Connection) -> None:
    old_table(
        connection,
        ((make_luid(53, 0x8000 + n), b"53/veth/name=v%06x" % n, b"v%06x" % n, float(n)) for n in range(100_000)),
    )
    connection.execute("INSERT INTO rows VALUES (?, 'inet', x'')", (make_luid(53, 0x8000),))
    migrate_luids(connection)
    kept = read_luids(connection).assignments
    assert len(kept) == MOST_NAMED + 1
    assert {found.name for found in kept} >= {b"v000000", b"v%06x" % 99_999, b"v%06x" % (100_000 - MOST_NAMED)}


def boot(assignments: list[LuidAssignment]) -> LuidAssigner:
    """An assigner that begins with these assignments."""
    store = MemoryLuids()
    store.save_luids(assignments)
    return LuidAssigner(store)
