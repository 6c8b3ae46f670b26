"""The states of a session with the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection
    from .readback import ReadBack


@dataclass(frozen=True)
class Disconnected:
    """There is no connection; `Reconnect` has the time of the next attempt."""


@dataclass(frozen=True)
class Claiming:
    """Connected, and asking whether another publisher has this node; nothing is published yet."""

    connection: Connection
    readback: ReadBack


@dataclass(frozen=True)
class Restoring:
    """Connected, but the broker may lack states: all of them are published before anything else."""

    connection: Connection
    readback: ReadBack


@dataclass(frozen=True)
class Ready:
    """Connected, and the broker has every state."""

    connection: Connection
    readback: ReadBack


@dataclass(frozen=True)
class Closed:
    """Over."""


SessionState = Disconnected | Claiming | Restoring | Ready | Closed
