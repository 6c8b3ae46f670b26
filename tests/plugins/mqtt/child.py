"""A publisher in a process of its own that a test can kill: changes its interfaces until it is told to end.

`python -m tests.plugins.mqtt.child DIRECTORY URL`; it ends well when its standard input does.
"""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from publisher.testing import make_row
from tests.plugins.mqtt.host import Host


def main(directory: str, url: str) -> None:
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    with Host(Path(directory), url) as host:
        while not over.wait(0.002):
            change(host)
        host.quiet()


def change(host: Host) -> None:
    """One random change of up to twenty interfaces: made, changed or deleted."""
    index = random.randrange(2, 22)
    row = make_row(f"eth{index}", index=index, nl_mtu=random.randrange(1280, 9000))
    if random.random() < 0.2:
        host.remove(row.key)
    else:
        host.put(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
