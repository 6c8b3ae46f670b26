"""The name of a host in events, unless it is configured."""

from __future__ import annotations


def node_from(hostname: str) -> str:
    """Returns a name for the host that every broker takes: what is no letter, digit, `_` or `-` becomes `-`.

    The whole of `nas.home.lan` is kept, as `nas-home-lan`: two hosts may have their first label in common. NATS 2.9
    takes neither `.` nor a space, and Home Assistant only these characters.
    """
    made = "".join(character if character.isalnum() or character in "_-" else "-" for character in hostname[:63])
    return made or "localhost"
