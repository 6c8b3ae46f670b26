"""Every error code that Windows documents for a function that the source calls, and the rows that it leads to.

The codes are those of the functions' pages (https://learn.microsoft.com/en-us/windows/win32/api/netioapi/). A code that
is not documented for a function is trouble: everything is read again, and nothing is taken for removed.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from publisher.errors import SourceError
from publisher.sources import Remove, Resync
from tests.windows.inside.standin import DELETED, StandIn
from tests.windows.inside.test_source import CollectedUpdates, following

INET, INET6, OTHER = ("eth0", "inet"), ("eth0", "inet6"), ("eth1", "inet")
ALL = {INET, INET6, OTHER}
TROUBLE = "trouble"
NOT_CALLED = "not called"

Rows = set[tuple[str, str]] | str


class Case(NamedTuple):
    """A function's error code: the rows of a source that begins with it, and after the change of a known interface."""

    function: str
    code: int
    at_start: Rows
    later: Rows
    family: str | None = None


CASES = [
    # Absent: only this function decides that, of an interface that is reported as removed in one family.
    Case("GetIpInterfaceEntry", 2, ALL, {OTHER}),
    Case("GetIpInterfaceEntry", 1168, ALL, {OTHER}),
    Case("GetIpInterfaceEntry", 50, ALL, {INET, OTHER}, "inet6"),
    Case("GetIpInterfaceEntry", 87, ALL, TROUBLE),
    Case("GetIpInterfaceEntry", 5, ALL, TROUBLE),
    Case("GetIpInterfaceTable", 1168, set(), ALL),
    Case("GetIpInterfaceTable", 1168, {INET, OTHER}, ALL, "inet6"),
    Case("GetIpInterfaceTable", 50, {INET, OTHER}, ALL, "inet6"),
    Case("GetIpInterfaceTable", 8, TROUBLE, TROUBLE),
    Case("GetIpInterfaceTable", 87, TROUBLE, TROUBLE),
    Case("GetIpInterfaceTable", 2, TROUBLE, TROUBLE),
    # The IP interfaces exist: what is known of them stays, and without anything known they are left out.
    Case("GetIfEntry2Ex", 2, set(), ALL),
    Case("GetIfEntry2Ex", 87, TROUBLE, TROUBLE),
    Case("GetIfEntry2Ex", 1168, TROUBLE, TROUBLE),
    Case("GetIfEntry2Ex", 50, TROUBLE, TROUBLE),
    Case("GetUnicastIpAddressTable", 1168, ALL, ALL),
    Case("GetUnicastIpAddressTable", 50, ALL, ALL, "inet6"),
    Case("GetUnicastIpAddressTable", 8, TROUBLE, TROUBLE),
    Case("GetUnicastIpAddressTable", 87, TROUBLE, TROUBLE),
    Case("GetUnicastIpAddressTable", 2, TROUBLE, TROUBLE),
    Case("GetIpForwardTable2", 1168, ALL, ALL),
    Case("GetIpForwardTable2", 50, ALL, ALL, "inet6"),
    Case("GetIpForwardTable2", 8, TROUBLE, TROUBLE),
    Case("GetIpForwardTable2", 87, TROUBLE, TROUBLE),
    Case("GetIpForwardTable2", 2, TROUBLE, TROUBLE),
    Case("GetIfStackTable", 1168, ALL, ALL),
    Case("GetIfStackTable", 8, TROUBLE, TROUBLE),
    Case("GetIfStackTable", 87, TROUBLE, TROUBLE),
    Case("GetIfStackTable", 2, TROUBLE, TROUBLE),
    Case("GetIfStackTable", 50, TROUBLE, TROUBLE),
    *(
        Case(function, code, TROUBLE, NOT_CALLED)
        for function in ("NotifyIpInterfaceChange", "NotifyUnicastIpAddressChange", "NotifyRouteChange2")
        for code in (6, 8, 87, 5)
    ),
]
KNOWN_BY_ITS_CODE = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.function}-{case.code}-{case.family}"
)


@pytest.fixture
def host(standin: StandIn) -> StandIn:
    standin.add("eth0")
    standin.add("eth1", ["inet"])
    standin.stack("eth1", "eth0")
    standin.add_address("eth0", "192.0.2.1/24")
    standin.add_address("eth0", "2001:db8::1/64")
    standin.set_route("eth0", "192.0.2.254")
    standin.set_route("eth0", "fe80::1")
    return standin


def keys(update: Resync) -> set[tuple[str, str]]:
    return {(row.interface.alias, row.family) for row in update.rows}


@KNOWN_BY_ITS_CODE
def test_a_source_that_begins_with_this_code(host: StandIn, case: Case) -> None:
    host.fail(case.function, case.code, times=-1, family=case.family)
    follower = CollectedUpdates()
    updates = iter(follower.source.updates())
    if case.at_start == TROUBLE:
        with pytest.raises(SourceError, match=rf"{case.function}: .*\(error {case.code}\)"):
            next(updates)
        return
    [first] = next(updates)
    assert isinstance(first, Resync)
    assert keys(first) == case.at_start
    follower.source.close()
    assert list(updates) == []


@KNOWN_BY_ITS_CODE
def test_a_change_that_is_read_with_this_code(host: StandIn, case: Case) -> None:
    if case.later == NOT_CALLED:
        return
    with following() as follower:
        follower.resync("startup")
        if case.later == TROUBLE:
            host.fail(case.function, case.code, times=2, family=case.family)
            assert _rows_after_trouble(host, follower) == ALL
            assert follower.log.lines(f"{case.function}: ")
        elif case.function == "GetIpInterfaceEntry":
            host.fail(case.function, case.code, times=-1, family=case.family)
            assert _rows_after_a_delete(host, follower) == case.later
        else:
            host.fail(case.function, case.code, times=-1, family=case.family)
            host.report("eth0", "inet", DELETED)
            follower.source.resync()
            assert keys(_next_resync(follower)) == case.later


def _next_resync(follower: CollectedUpdates) -> Resync:
    """Returns the next one; nothing is removed before."""
    while not isinstance(update := follower.next(), Resync):
        assert not isinstance(update, Remove)
    return update


def _rows_after_trouble(host: StandIn, follower: CollectedUpdates) -> set[tuple[str, str]]:
    host.change("eth0", "inet", NlMtu=1400, report=True)
    follower.source.resync()
    resync = _next_resync(follower)
    assert resync.rows[0].row.nl_mtu == 1400
    return keys(resync)


def _rows_after_a_delete(host: StandIn, follower: CollectedUpdates) -> set[tuple[str, str]]:
    """Returns the rows that are left when eth0 was reported as removed; each that is not is in the log."""
    host.report("eth0", "inet", DELETED)
    rows = set(ALL)
    for alias, family in (INET, INET6):
        update = follower.next()
        if isinstance(update, Remove):
            assert (update.luid, update.family) == (host.luid(alias), family)
            rows.remove((alias, family))
            known_as = f"the IP interface {host.luid(alias)} {family} ({alias})"
            assert follower.log.lines(f"{known_as} is removed: GetIpInterfaceEntry: ")
    return rows
