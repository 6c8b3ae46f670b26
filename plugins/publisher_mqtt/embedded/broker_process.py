"""The process of the embedded broker: a script that takes the path of rumqttd's TOML and imports nothing of publisher.

It ends when its standard input ends. The system closes that pipe when the parent ends, also by `kill -9`, on Linux and
on Windows; PR_SET_PDEATHSIG would do so on Linux only, and already at the end of the thread that started the process.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading


def main(config_path: str) -> int:
    """Serves until standard input ends; returns 1 when it cannot, after a line with the reason on standard output."""
    # Ctrl+C and a service manager's SIGTERM reach the whole group, while the parent still finishes its deliveries here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    try:
        _serve(config_path)
    except Exception as error:  # noqa: BLE001 - whatever iotcore raises is why there is no broker
        os.write(1, (str(error).replace("\n", " ") or type(error).__name__).encode(errors="replace") + b"\n")
    return 1


def _serve(config_path: str) -> None:
    from iotcore import IotCoreBroker

    # rumqttd logs every packet's span as an error.
    logging.disable(logging.CRITICAL)
    broker = IotCoreBroker(config_path=config_path)
    broker.check_ports()  # raises OSError; rumqttd itself would continue without a listener
    broker.run_forever()


def _end_with_standard_input() -> None:
    # Not sys.stdin: its lock would be held when the interpreter ends for another reason, which is a fatal error.
    while os.read(0, 4096):
        pass
    os._exit(0)  # rumqttd has no way to be stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
