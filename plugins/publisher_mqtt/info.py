"""The payload of `info`: what the publisher says of itself, and how far the retained states are."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import publisher

from .payloads import Info

if TYPE_CHECKING:
    from publisher import SinkContext

    from .retained import RetainedState


def info_bytes(board: RetainedState, context: SinkContext, instance: str) -> bytes:
    """`seq` is the newest event that the states hold, `resynced` the last snapshot: after an overrun, what was missed.

    `instance` is another at each start, so that a publisher knows its own `info` from a rival's.
    """
    newest = board.newest
    return Info(
        version=publisher.__version__,
        node=context.node,
        instance=instance,
        epoch=newest.epoch if newest else context.epoch,
        seq=newest.seq if newest else 0,
        os=platform.system().lower(),
        families=("inet", "inet6"),
        rows=board.rows,
        resynced=board.resynced,
    ).json_bytes
