"""Hosts that are not as usual: no clock, no IPv6, the journal on a share; and addresses' origins of an older kernel."""

from __future__ import annotations

import re

import pytest

from tests.vm.conftest import Boot
from tests.vm.guest import Machine
from tests.vm.service import GuestService, alias, is_of_instance


def test_clock_that_jumps_from_1970_gives_nobody_the_luid_of_another(boot_anew: Boot) -> None:
    guest = boot_anew(Machine(clock="1970-01-02T00:00:00"))
    service = GuestService(guest)
    guest.ip("link add wg-home type wireguard")
    service.start()
    assert guest.run("date +%Y").strip() == "1970"
    known = service.luids()
    guest.ip("link del wg-home")
    service.settle()
    guest.run("date --set 2026-11-25")
    assert [event for event in service.settle() if is_of_instance(event)] == []
    guest.ip("link add wg-work type wireguard")
    service.settle()
    guest.ip("link add wg-home type wireguard")
    service.settle()
    luids = service.luids()
    assert luids == {**known, "wg-work": luids["wg-work"]}
    service.stop()
    assert service.start() == []
    assert service.complaints() == []


def test_host_without_ipv6_is_followed(boot_anew: Boot) -> None:
    guest = boot_anew(Machine(kernel_line="ipv6.disable=1"))
    service = GuestService(guest)
    service.start()
    guest.ip("link add dummy1 type dummy", "addr add 192.0.2.1/24 dev dummy1")
    added = service.settle()
    assert {(alias(event), event.family) for event in added} == {("dummy1", "inet")}
    guest.ip("link del dummy1")
    removed = service.settle()
    assert {alias(event) for event in removed} == {"dummy1"}
    # Before it, a slow kernel may report that the address was removed.
    assert removed[-1].notification_type == "delete_instance"
    assert service.complaints() == []


@pytest.mark.parametrize("cache", ["none", "mmap"])
def test_journal_on_a_share_is_kept_over_a_restart(boot_anew: Boot, cache: str) -> None:
    guest = boot_anew(Machine())
    guest.run("modprobe 9p")
    guest.run(f"mount -t 9p -o trans=virtio,version=9p2000.L,cache={cache} share /mnt/share")
    service = GuestService(guest, journal=f"/mnt/share/{cache}.sqlite3")
    service.start()
    guest.ip("link add dummy1 type dummy")
    assert {alias(event) for event in service.settle()} == {"dummy1"}
    known = service.luids()
    service.stop()
    assert service.start() == []
    assert service.luids() == known
    guest.ip("link del dummy1")
    assert {alias(event) for event in service.settle()} == {"dummy1"}
    service.stop()


def test_addresses_have_their_origins(boot_anew: Boot) -> None:
    """IFA_PROTO (Linux 5.18) names the kernel's own addresses."""
    guest = boot_anew(Machine())
    service = GuestService(guest)
    guest.ip("link add dummy1 type dummy", "link set dummy1 up")
    guest.ip("addr add 192.0.2.1/24 dev dummy1", "addr add 2001:db8::1/64 dev dummy1")
    # Leases are addresses that end; the second one of a network is secondary.
    guest.ip(*(f"addr add 192.0.2.{host}/24 dev dummy1 valid_lft 600 preferred_lft 300" for host in (2, 3)))
    service.start()
    origins = {
        re.sub("^fe80::.*", "fe80::", address.address): (address.prefix_origin, address.suffix_origin)
        for event in service.events
        for address in event.addresses or ()
    }
    assert origins == {
        "127.0.0.1": ("well_known", "well_known"),
        "::1": ("well_known", "well_known"),
        "192.0.2.1": ("manual", "manual"),
        "2001:db8::1": ("manual", "manual"),
        "192.0.2.2": ("other", "other"),
        "192.0.2.3": ("other", "other"),
        "fe80::": ("well_known", "link_layer_address"),
    }
