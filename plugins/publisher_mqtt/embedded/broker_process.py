"""The embedded broker's own process. Run as a script with the path of rumqttd's TOML; imports nothing of publisher.

It ends when its standard input does. The system closes that pipe when the parent goes, by `kill -9` too, on Linux and
on Windows alike; PR_SET_PDEATHSIG would do it on Linux only, and already at the end of the thread that started us.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading


def main(config_path: str) -> None:
    """Serve until standard input ends."""
    # Ctrl+C and a service manager's SIGTERM reach the whole group; the parent still has deliveries to finish here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    from iotcore import IotCoreBroker

    # rumqttd puts every packet's span into the log as an error.
    logging.disable(logging.CRITICAL)
    broker = IotCoreBroker(config_path=config_path)
    broker.check_ports()  # raises OSError, where rumqttd would go on without a listener
    broker.run_forever()


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # rumqttd has no way to be stopped


if __name__ == "__main__":
    main(sys.argv[1])
