"""Packets that are taken out of what the broker sends, before paho reads the rest."""

from __future__ import annotations

from collections.abc import Callable

_PUBACK = 0x40
# A PUBLISH with QoS 0 that is not retained.
_LIVE = 0x30
_MORE = 0x80
# The bytes of a whole PUBACK without properties, by its first two. Without a reason code it refuses nothing.
_WITHOUT_CODE, _WITH_CODE = 4, 5
_SHORT_PUBACKS = {b"\x40\x02": _WITHOUT_CODE, b"\x40\x03": _WITH_CODE}


def nothing(_topic: bytes) -> bool:
    """Returns False: no message is dropped."""
    return False


class Acknowledgements:
    """Takes each PUBACK (MQTT 5, 3.4) out of a stream of packets, and leaves every other packet as it is.

    paho makes a table of properties for each acknowledgement: with what it does around that, a third of the time that a
    message costs. So they are counted here, and paho never sees them. `take` is given the packet identifier and the
    reason code.

    Live messages of QoS 0 on topics for which `drops` returns True go the same way: what a publisher reads back comes
    with all that it sends meanwhile, and paho takes longer for one than we do for sending it.
    """

    def __init__(self, take: Callable[[int, int], None], drops: Callable[[bytes], bool] = nothing) -> None:
        self._take = take
        self._drops = drops
        self._rest = b""
        self._left = 0
        self._is_taken = False

    def take(self, data: bytes) -> bytes:
        """Takes them out of the next bytes; returns the others, as far as it is known where they belong."""
        data, at = self._rest + data, 0
        others = b""
        while at < len(data):
            if self._left == 0:
                short = _SHORT_PUBACKS.get(data[at : at + 2])
                if short is not None and at + short <= len(data):
                    self._take(data[at + 2] << 8 | data[at + 3], data[at + 4] if short == _WITH_CODE else 0)
                    at += short
                    continue
                if (bounds := _bounds(data, at)) is None:
                    break
                body, end = bounds
                if (is_taken := self._is_for_us(data, data[at], body, end)) is None:
                    break
                self._is_taken, self._left = is_taken, end - at
            size = min(self._left, len(data) - at)
            if not self._is_taken:
                others += data[at : at + size]
            at += size
            self._left -= size
        self._rest = data[at:]
        return others

    def _is_for_us(self, data: bytes, kind: int, body: int, end: int) -> bool | None:
        """Returns whether paho is not to see this packet, after taking what it says; `None` while that is not there.

        What follows, as a reason in words or a payload, may be long, and is dropped as it comes.
        """
        if kind == _PUBACK and end - body >= 2:
            if len(data) < min(end, body + 3):
                return None
            self._take(data[body] << 8 | data[body + 1], data[body + 2] if end - body > 2 else 0)
            return True
        if kind == _LIVE and end - body >= 2:
            topic = body + 2
            if len(data) < topic or len(data) < min(end, topic_end := topic + (data[body] << 8 | data[body + 1])):
                return None
            return self._drops(data[topic:topic_end])
        return False


def _bounds(data: bytes, start: int) -> tuple[int, int] | None:
    """Returns where the body of a packet begins and ends; `None` while its length is not there (MQTT 5, 1.5.5)."""
    length = shift = 0
    for at in range(start + 1, min(start + 5, len(data))):
        length |= (data[at] & ~_MORE) << shift
        shift += 7
        if data[at] < _MORE:
            return at + 1, at + 1 + length
    # Longer than any length may be: paho is to find that out.
    return (len(data), len(data)) if len(data) >= start + 5 else None
