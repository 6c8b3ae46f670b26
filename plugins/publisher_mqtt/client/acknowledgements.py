"""PUBACK packets, taken out of what the broker sends."""

from __future__ import annotations

from collections.abc import Callable

_PUBACK, _SHORTEST = 0x40, 4
_MORE = 0x80


class Acknowledgements:
    """Takes each PUBACK (MQTT 5, 3.4) out of a stream of packets, and leaves every other packet as it is.

    paho makes a table of properties for each acknowledgement: with what it does around that, a third of the time that a
    message costs. So they are counted here, and paho never sees them. `take` is given the packet identifier and the
    reason code.
    """

    def __init__(self, take: Callable[[int, int], None]) -> None:
        self._take = take
        self._rest = b""
        self._passing = 0

    def take(self, data: bytes) -> bytes:
        """Takes them out of the next bytes; returns the others, as far as it is known where they belong."""
        data, at = self._rest + data, 0
        others = b""
        while at < len(data):
            if self._passing == 0:
                if (end := _end_of(data, at)) is None:
                    break
                if data[at] == _PUBACK and end - at >= _SHORTEST:
                    if end > len(data):
                        break
                    self._take(data[at + 2] << 8 | data[at + 3], data[at + 4] if end - at > _SHORTEST else 0)
                    at = end
                    continue
                self._passing = end - at
            part = data[at : at + self._passing]
            others += part
            at += len(part)
            self._passing -= len(part)
        self._rest = data[at:]
        return others


def _end_of(data: bytes, start: int) -> int | None:
    """Returns where the packet ends that starts here; `None` while its length is not there (MQTT 5, 1.5.5)."""
    length = shift = 0
    for at in range(start + 1, min(start + 5, len(data))):
        length |= (data[at] & ~_MORE) << shift
        shift += 7
        if data[at] < _MORE:
            return at + 1 + length
    # Longer than any length may be: paho is to find that out.
    return len(data) if len(data) >= start + 5 else None
