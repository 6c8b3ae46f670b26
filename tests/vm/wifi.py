"""Simulated radios (mac80211_hwsim) in the guest, and an open network for them."""

from __future__ import annotations

from tests.vm.guest import Guest

NETWORK = "home"
ACCESS_POINT = f"""\
interface=wlan1
driver=nl80211
ssid={NETWORK}
hw_mode=g
channel=1
"""


def add_radios(guest: Guest, number: int) -> None:
    """Loads the driver with this number of radios: wlan0, wlan1, and hwsim0, which hears them all."""
    guest.run(f"modprobe mac80211_hwsim radios={number}")


def start_access_point(guest: Guest) -> None:
    """Turns wlan1 into the access point of the network; returns when it is one."""
    guest.run("cat >hostapd.conf; hostapd -B -t -f hostapd.log hostapd.conf", stdin=ACCESS_POINT)
    guest.run("until iw dev wlan1 info | grep -q 'type AP'; do sleep 0.1; done")


def stop_access_point(guest: Guest) -> None:
    """Turns wlan1 into an idle station again."""
    guest.run("kill $(pidof hostapd); while pidof hostapd; do sleep 0.1; done; iw dev wlan1 set type managed")
