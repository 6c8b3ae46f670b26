"""The broker for `publisher run` without a configuration: this host's if there is one, else an embedded one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from publisher import DefaultSinks, Log

from .broker import LOOPBACK, EmbeddedBroker, EmbeddedBrokerError, ask

_UNUSABLE = {
    "foreign": "{place} is used by a program that is not an MQTT broker",
    "login": "the MQTT broker on {place} wants a user and a password: set them in a configuration (publisher init)",
}


def prepare(log: Log, *, port: int = 1883, base: str = "interfaces") -> DefaultSinks:
    """Finds or starts a broker on 127.0.0.1; without one there is no sink, and a line gives the reason."""
    place = f"{LOOPBACK}:{port}"
    answer = ask(LOOPBACK, port)
    if answer == "nothing":
        return _start(log, port, base)
    if answer == "broker":
        log.info("using the MQTT broker that listens on %s", place)
        return DefaultSinks(
            _sink(port, base), (f"Publishing to the MQTT broker that listens on {place}.", *_try(port, base))
        )
    return _without(_UNUSABLE[answer].format(place=place))


def _start(log: Log, port: int, base: str) -> DefaultSinks:
    broker = EmbeddedBroker(port, log=log)
    try:
        broker.start()
    except EmbeddedBrokerError as error:
        return _without(str(error))
    log.info("embedded MQTT broker started on %s: MQTT 3.1.1 on port %d, MQTT 5 on %d", LOOPBACK, port, broker.port_5)
    line = f"Publishing to an embedded MQTT broker on {LOOPBACK}:{port}: for a first try, on this host only."
    sink = _sink(port, base)
    sink["mqtt"]["volatile"] = True  # what it retains ends with it
    return DefaultSinks(sink, (line, *_try(port, base)), broker.close)


def _without(reason: str) -> DefaultSinks:
    # Not logged: the line is printed in any case, and a terminal would show it twice.
    return DefaultSinks({}, (f"No MQTT in this run: {reason}.",))


def _sink(port: int, base: str) -> dict[str, dict[str, Any]]:
    # 3.1.1, since the embedded broker speaks MQTT 5 on a port of its own, and the broker found may be such a one.
    return {"mqtt": {"type": "mqtt", "url": f"mqtt://{LOOPBACK}:{port}", "protocol": "3.1.1", "base": base}}


def _try(port: int, base: str) -> tuple[str, str]:
    # Double quotes, which every shell takes, cmd.exe too.
    return (
        f'Subscribe:  mosquitto_sub -h {LOOPBACK} -p {port} -v -t "{base}/#"',
        f"or watch:   {_command()} watch mqtt://{LOOPBACK}:{port}",
    )


def _command() -> str:
    """Returns the command for a shell: with its path where the shell does not find it, as after `make run`."""
    if shutil.which("publisher"):
        return "publisher"
    started = Path(sys.argv[0])
    return str(started) if started.stem == "publisher" else f"{sys.executable} -m publisher"
